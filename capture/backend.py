"""The one door to a framework: the table of frameworks, and what each has to offer.

Everything above `capture/` reaches torch, Paddle or ONNX through `backend(framework)`. No framework
is imported before a model of it (or a command that needs it) shows up.

To add a framework, make a folder `capture/<framework>/` and, in its `backend.py`, a `BACKEND`:

- `trace` (`padiff_graph.capture.abilities.Trace`), capturing;
- `engine`, a class of one model with the methods of `padiff_graph.capture.engine.Engine`;
- `values` and `state`, modules with the functions of `Values` and `State`;
- of `threads`, `optimizers`, `scripts`, `checkpoints`, `declared_example`, `export`, `stand_in`
  and `late_weights` those that the framework can do.

Then name it in `BACKENDS`, say in `INSTALL` how to get it and in `MODELS` how its models are told.
mypy says what is missing. The rows from native operators to the normal form come on top.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from padiff_graph.capture.abilities import (
    Checkpoints,
    DeclaredExample,
    Export,
    LateWeights,
    Optimizers,
    Scripts,
    StandIn,
    State,
    Threads,
    Trace,
    Values,
)
from padiff_graph.capture.engine import Engine
from padiff_graph.capture.remote.handles import AbsentModel

Ability = TypeVar("Ability")

__all__ = [
    "BACKENDS",
    "Backend",
    "MissingFrameworkError",
    "backend",
    "backend_here",
    "framework_of",
    "needed",
    "serving",
]

BACKENDS = {
    "torch": "padiff_graph.capture.torch.backend",
    "paddle": "padiff_graph.capture.paddle.backend",
    "onnx": "padiff_graph.capture.onnx.backend",
}
"""Module that holds each framework's `BACKEND`."""

INSTALL = {
    "torch": (
        "pip install torch (for the CPU alone with --index-url INDEX, the index of CPU builds that "
        "pytorch.org names under 'Get Started')"
    ),
    "paddle": "pip install paddlepaddle, or paddlepaddle-gpu",
    "onnx": "pip install onnx",
}

MODELS = {
    "torch": ("Module", "GraphModule"),
    "paddle": ("Layer",),
    "onnx": ("ModelProto",),
}
"""Base classes of each framework's models; they stand in a package of the framework's name."""


class MissingFrameworkError(ImportError):
    """A framework is needed and not installed."""


@dataclass(frozen=True)
class Backend:
    """One framework's abilities; None for what it cannot do.

    Attributes:
        framework: its name, as `ComputationGraph.framework`.
        trace: captures a model.
        engine: makes the engine of a model.
        values: which values are tensors, and their numbers.
        state: what a check has to leave as it was.
        threads: how many threads operations run on.
        optimizers: training.
        scripts: operations as lines of Python.
        checkpoints: reading weights from files.
        declared_example: inputs by a model's own declaration.
        export: a captured graph as a file of the framework's.
        stand_in: float64 in place of a half precision.
        function_model: makes a model of a function of one argument, a dict of tensors; None where
            the framework's models are no Python.
        late_weights: models larger than the memory.
        numberless: the way of capturing (`Session.rung`) that refuses whatever depends on a
            tensor's numbers; "" where none does.
        light_traces: whether that way costs less than a run of a large model.
    """

    framework: str
    trace: Trace
    engine: Callable[[Any], Engine]
    values: Values
    state: State
    threads: Threads | None = None
    optimizers: Optimizers | None = None
    scripts: Scripts | None = None
    checkpoints: Checkpoints | None = None
    declared_example: DeclaredExample | None = None
    export: Export | None = None
    stand_in: StandIn | None = None
    function_model: Callable[[Callable[[Any], Any]], Any] | None = None
    late_weights: LateWeights | None = None
    numberless: str = ""
    light_traces: bool = False


def framework_of(model: Any) -> str:
    """Names the framework that a model belongs to: "torch", "paddle" or "onnx".

    Raises:
        TypeError: where the model is of none of them.
    """
    if isinstance(model, (str, os.PathLike)):
        return "onnx"
    if isinstance(model, AbsentModel):
        return model.framework
    for cls in type(model).__mro__:
        package = cls.__module__.partition(".")[0]
        framework = "onnx" if package.startswith("onnx") else package
        if cls.__name__ in MODELS.get(framework, ()):
            return framework
    found = f"{type(model).__module__}.{type(model).__qualname__}"
    if model is None:
        # in Paddle 3.0 to 3.2 `Layer.eval` and `Layer.train` return nothing
        found = "None (`model.eval()` of some versions returns nothing: call it on its own line)"
    raise TypeError(
        "expected a torch.nn.Module, a paddle.nn.Layer, an onnx.ModelProto or a path to an ONNX"
        f" file; found {found}"
    )


_served: dict[str, Backend] = {}
"""Backends that stand in for a framework's own, since models of it live in another process."""


@contextmanager
def serving(backends: Mapping[str, Backend]) -> Iterator[None]:
    """Inside, `backend` answers with these."""
    before = dict(_served)
    _served.update(backends)
    try:
        yield
    finally:
        _served.clear()
        _served.update(before)


def backend(framework: str) -> Backend:
    """A framework's backend: imported, or what stands in for it where its models live elsewhere.

    Raises:
        MissingFrameworkError: where the framework is not installed; says how to install it.
    """
    return _served[framework] if framework in _served else backend_here(framework)


def backend_here(framework: str) -> Backend:
    """Imports a framework's backend; errors as of `backend`."""
    _require(framework)
    found = importlib.import_module(BACKENDS[framework]).BACKEND
    assert isinstance(found, Backend)
    return found


def needed(ability: Ability | None) -> Ability:
    """An ability that the framework is known to have.

    Raises:
        TypeError: where it has not.
    """
    if ability is None:
        raise TypeError("the framework lacks an ability that was asked of it; see its BACKEND")
    return ability


def _require(framework: str) -> None:
    try:
        importlib.import_module(framework)
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise
        raise MissingFrameworkError(
            f"{framework} is needed here and is not installed; install it with: "
            + INSTALL[framework]
        ) from None
