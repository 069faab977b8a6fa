"""A model that lives elsewhere, as the user names it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from padiff_graph.errors import UsageError, UsageTypeError

__all__ = ["PATIENCE", "Side"]

PATIENCE = 1800.0
"""Seconds that one answer may take where nothing else is said."""


@dataclass(frozen=True)
class Side:
    """A model that another interpreter makes and runs; stands wherever a model does.

    Attributes:
        target: `package.module:function` or `path/to/file.py:function`. The function takes nothing
            and returns (model, inputs), or a dict with "model" and, where there are any, "inputs",
            "loss" and "optimizer".
        python: the interpreter; None for this one. It needs this package and the model's own
            framework.
        ray: a Ray actor instead of an interpreter (`pip install 'padiff-graph[ray]'`): True, or a
            dict of its options ("runtime_env" with "pip", "py_executable", "working_dir", ...;
            "num_cpus", "num_gpus", "resources"), of the "address" of a cluster, and of how many
            "actors" its regions are spread over.
        weights: a .safetensors file, an index of such files (.index.json) or a folder of them, for
            a model that is built without numbers (torch's meta device, Paddle's LazyGuard) since
            it is larger than the memory. Each weight is read when it is used.
        timeout: seconds that one answer of its interpreter or actor may take; half an hour by
            itself, far above the longest step of a large model, so that only what hangs is given
            up.

    Raises:
        UsageError, UsageTypeError: for what cannot be meant.
    """

    target: str
    python: str | None = None
    ray: bool | Mapping[str, Any] | None = None
    weights: str | os.PathLike[str] | None = None
    timeout: float = PATIENCE

    def __post_init__(self) -> None:
        if not isinstance(self.target, str):
            raise UsageTypeError(
                "Side: target is 'package.module:function' or 'path/to/file.py:function'; found "
                f"{type(self.target).__qualname__}"
            )
        if self.ray is not None and self.ray is not True and not isinstance(self.ray, Mapping):
            raise UsageTypeError(
                "Side: ray is True or a dict of an actor's options; found "
                f"{type(self.ray).__qualname__}"
            )
        if self.ray is not None and self.python is not None:
            raise UsageError(
                "Side: python and ray exclude each other; an actor's interpreter is named in "
                "ray={'runtime_env': {'py_executable': ...}}"
            )
        if self.weights is not None and not isinstance(self.weights, (str, os.PathLike)):
            raise UsageTypeError(
                "Side: weights is the path of a .safetensors file, an .index.json or a folder; "
                f"found {type(self.weights).__qualname__}"
            )
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
            raise UsageTypeError(
                f"Side: timeout is a number of seconds; found {type(self.timeout).__qualname__}"
            )
        if not 0 < self.timeout < math.inf:
            raise UsageError(f"Side: timeout is above 0 seconds, and finite; found {self.timeout}")
        if self.python is not None and shutil.which(self.python) is None:
            raise UsageError(
                f"Side: there is no interpreter {self.python}; name an executable file"
            )
