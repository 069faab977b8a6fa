"""The table of frameworks, and which of them a model belongs to.

No framework is imported before a model of it (or a command that needs it) shows up.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, Protocol

from padiff_graph.capture.engine import Engine
from padiff_graph.capture.graph import ComputationGraph

__all__ = ["BACKENDS", "Backend", "MissingFrameworkError", "backend", "framework_of", "room"]

BACKENDS = {
    "torch": "padiff_graph.capture.torch.backend",
    "paddle": "padiff_graph.capture.paddle.backend",
    "onnx": "padiff_graph.capture.onnx.backend",
}
"""Module of each framework's backend; each offers the functions of `Backend`."""

INSTALL = {
    "torch": "pip install torch (CPU: pip install 'padiff-graph[cpu]')",
    "paddle": "pip install paddlepaddle, or paddlepaddle-gpu (CPU: pip install 'padiff-graph[cpu]')",
    "onnx": "pip install onnx",
}


class MissingFrameworkError(ImportError):
    """A framework is needed and not installed."""


class Backend(Protocol):
    """What `capture/<framework>/backend.py` offers, as module-level functions."""

    def trace(self, model: Any, example: Mapping[str, Any], *, below: str = "") -> ComputationGraph:
        """Captures the model in the mode it is in, uncertified; `graph.session` set, `session.rung`
        the way it took. The model and all global state are as before afterwards, also after a failure.

        Args:
            model: the model.
            example: keyword arguments of its forward.
            below: try only the ways of capturing that come after this one.

        Raises:
            CaptureError: naming the user's line and what can be done.
        """
        ...

    def engine(self, model: Any) -> Engine:
        """An engine for the model."""
        ...


def framework_of(model: Any) -> str:
    """Names the framework that a model belongs to: "torch", "paddle" or "onnx".

    Raises:
        TypeError: where the model is of none of them.
    """
    if isinstance(model, (str, os.PathLike)):
        return "onnx"
    for cls in type(model).__mro__:
        root = cls.__module__.partition(".")[0]
        if root == "torch" and cls.__name__ in ("Module", "GraphModule"):
            return "torch"
        if root == "paddle" and cls.__name__ == "Layer":
            return "paddle"
        if root.startswith("onnx") and cls.__name__ == "ModelProto":
            return "onnx"
    raise TypeError(
        f"expected a torch.nn.Module, a paddle.nn.Layer, an onnx.ModelProto or a path to an ONNX file; found {type(model).__module__}.{type(model).__qualname__}"
    )


def backend(framework: str) -> Backend:
    """Imports a framework's backend.

    Raises:
        MissingFrameworkError: where the framework is not installed; says how to install it.
    """
    _require(framework)
    module: Any = importlib.import_module(BACKENDS[framework])
    return module  # type: ignore[no-any-return]


def room(framework: str, name: str) -> Any:
    """One of a framework's modules by name ("values", "state", "optimizer"), imported when first asked for.

    Raises:
        MissingFrameworkError: as `backend`.
    """
    _require(framework)
    return importlib.import_module(f"{BACKENDS[framework].rpartition('.')[0]}.{name}")


def _require(framework: str) -> None:
    try:
        importlib.import_module(framework)
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise
        raise MissingFrameworkError(
            f"{framework} is needed here and is not installed; install it with: {INSTALL[framework]}"
        ) from None
