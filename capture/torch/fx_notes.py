"""What is noted while a tracer runs: the user's line and module on each fx node, numbers taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import fx
from torch.overrides import TorchFunctionMode

from padiff_graph.capture.torch import internals
from padiff_graph.capture.torch.fx_places import MODULES, SOURCE, innermost_frame

__all__ = ["ASKED", "noted_calls", "noted_detaching", "noted_sources", "noted_takings"]

TAKINGS = ("numpy", "tolist", "__array__")
"""Methods of tensors that hand all numbers to Python unseen by tracers; `item` they see."""
ASKED = "asked_for"
"""Key of a node's notes: true where the model asked for it, false where autograd did by itself."""
DETACHING = ("detach", "detach_", "__get__")
"""Calls that detach: the methods, and the getter of `Tensor.data`."""


@contextmanager
def noted_sources() -> Iterator[None]:
    """Notes the user's line on every fx node that is made inside.

    It is the node's stack trace too, which torch hands on from pass to pass: else torch.export
    writes out every frame of every node, a quarter of its time.
    """

    def note(node: fx.Node) -> None:
        source = innermost_frame(sys._getframe(2))
        if source:
            node.meta[SOURCE] = source
            file, _, line = source.rpartition(":")
            node.stack_trace = f'File "{file}", line {line}'

    with internals.made_nodes(note):
        yield


@contextmanager
def noted_calls(model: torch.nn.Module) -> Iterator[None]:
    """Notes module path and call on every fx node that is made inside, as torch.export does."""
    names = {id(module): name for name, module in model.named_modules()}
    counts: dict[str, int] = {}
    stack: list[tuple[str, str]] = [("L__self__", "")]

    def enter(module: torch.nn.Module, args: Any) -> None:
        name = names.get(id(module), stack[-1][1])
        counts[name] = counts.get(name, -1) + 1
        stack.append((f"{name}@{counts[name]}", name))

    def leave(module: torch.nn.Module, args: Any, result: Any) -> None:
        stack.pop()

    def note(node: fx.Node) -> None:
        node.meta[MODULES] = {key: (name, "") for key, name in stack}

    every = torch.nn.modules.module
    with ExitStack() as hooks, internals.made_nodes(note):
        handles = [
            every.register_module_forward_pre_hook(enter),
            every.register_module_forward_hook(leave, always_call=True),
        ]
        for handle in handles:
            hooks.callback(handle.remove)
        yield


@contextmanager
def noted_detaching() -> Iterator[None]:
    """Notes on every fx node that is made inside whether the model asked to detach something then.

    Autograd detaches what it saves for a backward: below it that stands in the trace of a gradient
    that a forward asks for, and cuts nothing there.
    """
    calls = _Detaching()

    def note(node: fx.Node) -> None:
        node.meta[ASKED] = calls.depth > 0

    with internals.made_nodes(note), calls:
        yield


class _Detaching(TorchFunctionMode):  # type: ignore[misc]
    """Counts the model's calls that detach, while they run."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        detaches = getattr(func, "__name__", "") in DETACHING
        self.depth += detaches
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.depth -= detaches


@contextmanager
def noted_takings(taken: list[str]) -> Iterator[None]:
    """Notes the user's lines that hand a tensor's numbers to Python or numpy, each once."""

    def taking(method: Any) -> Any:
        def take(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            source = innermost_frame(sys._getframe(1))
            if source and source not in taken:
                taken.append(source)
            return method(tensor, *args, **kwargs)

        return take

    own = {name: vars(torch.Tensor)[name] for name in TAKINGS if name in vars(torch.Tensor)}
    try:
        for name in TAKINGS:
            setattr(torch.Tensor, name, taking(getattr(torch.Tensor, name)))
        yield
    finally:
        for name in TAKINGS:
            if name in own:
                setattr(torch.Tensor, name, own[name])
            elif name in vars(torch.Tensor):
                delattr(torch.Tensor, name)
