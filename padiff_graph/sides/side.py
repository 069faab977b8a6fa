"""A model that lives elsewhere, as the user names it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from padiff_graph.errors import UsageError, UsageTypeError

__all__ = ["Side"]


@dataclass(frozen=True)
class Side:
    """A model that another interpreter makes and runs; stands wherever a model does.

    Attributes:
        target: `package.module:function` or `path/to/file.py:function`. The function takes nothing
            and returns (model, inputs), or a dict with "model" and, where there are any, "inputs",
            "loss" and "optimizer".
        python: the interpreter; None for this one. It needs this package and the model's own
            framework.
        ray: not there yet.
        weights: a .safetensors file, an index of such files (.index.json) or a folder of them, for
            a model that is built without numbers (torch's meta device, Paddle's LazyGuard) since
            it is larger than the memory. Each weight is read when it is used.

    Raises:
        UsageError, UsageTypeError: for what cannot be meant.
    """

    target: str
    python: str | None = None
    ray: object = None
    weights: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.target, str):
            raise UsageTypeError(
                "Side: target is 'package.module:function' or 'path/to/file.py:function'; found "
                f"{type(self.target).__qualname__}"
            )
        if self.ray is not None:
            raise UsageError("Side: ray cannot be asked for yet; leave it out")
        if self.weights is not None and not isinstance(self.weights, (str, os.PathLike)):
            raise UsageTypeError(
                "Side: weights is the path of a .safetensors file, an .index.json or a folder; "
                f"found {type(self.weights).__qualname__}"
            )
        if self.python is not None and shutil.which(self.python) is None:
            raise UsageError(
                f"Side: there is no interpreter {self.python}; name an executable file"
            )
