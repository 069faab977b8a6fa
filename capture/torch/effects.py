"""Gradient effects that tracers lose: hooks set in forward, custom functions, module hooks.

A tracer follows the forward and drops what only the backward sees. For the time of a capture the
three doors through which such effects come (`Tensor.register_hook`, `autograd.Function.apply`,
`BackwardHook` of modules) call operators of our own, which every tracer records like any other.
The engine runs such nodes with what was registered, so that gradients replay as in eager.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from padiff_graph.capture.torch.fx_places import foreign
from padiff_graph.capture.torch.internals import (
    APPLY_IN_PYTHON,
    BACKWARD_HOOK_HOME,
    DATA,
    FUNCTION_APPLY,
    FUNCTION_BASE,
    REENTRANT_CHECKPOINT,
    BackwardHook,
    sets_up_context,
    tree_flatten,
    tree_unflatten,
)

__all__ = [
    "CUSTOM_FUNCTION",
    "EFFECTS",
    "GRADIENT_HOOK",
    "MODULE_BACKWARD",
    "Effects",
    "label_of",
    "recorded",
]

NAMESPACE = "padiff_graph"
GRADIENT_HOOK = f"{NAMESPACE}.gradient_hook.default"
CUSTOM_FUNCTION = f"{NAMESPACE}.custom_function.default"
MODULE_BACKWARD = (
    f"{NAMESPACE}.module_backward_inputs.default",
    f"{NAMESPACE}.module_backward_outputs.default",
)
EFFECTS = {GRADIENT_HOOK, CUSTOM_FUNCTION, *MODULE_BACKWARD}


@dataclass
class FunctionCall:
    """One call of a custom function: its class and its arguments with the tensors taken out.

    Attributes:
        function: the class.
        leaves: its arguments in a row, None where a tensor stood.
        places: where tensors stood.
        structure: how the arguments are nested.
        results: what the last call answered, in a row.
        nesting: how that is nested.
    """

    function: type
    leaves: list[Any]
    places: list[int]
    structure: Any
    results: list[Any] = field(default_factory=list)
    nesting: Any = None

    def apply(self, tensors: Sequence[Any]) -> list[torch.Tensor]:
        """Calls the function on tensors, and keeps how its answer is built."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        answer = _plainly(self.function, *tree_unflatten(leaves, self.structure))
        self.results, self.nesting = tree_flatten(answer)
        return [self.results[position] for position in self._answered()]

    def rebuild(self, tensors: Sequence[torch.Tensor]) -> Any:
        """The function's answer with tensors put in."""
        leaves = list(self.results)
        for position, tensor in zip(self._answered(), tensors, strict=True):
            leaves[position] = tensor
        return tree_unflatten(leaves, self.nesting)

    def _answered(self) -> list[int]:
        return [at for at, leaf in enumerate(self.results) if isinstance(leaf, torch.Tensor)]


@dataclass
class ModuleHooks:
    """Backward hooks of one call of a module."""

    module: torch.nn.Module
    hooks: Sequence[Any]
    pre_hooks: Sequence[Any]

    def fresh(self) -> Any:
        """torch's own bookkeeper for these hooks."""
        return BackwardHook(self.module, self.hooks, self.pre_hooks)

    def alone(self) -> Any:
        """The bookkeeper of a result whose arguments are not run: hooks that want the gradients of
        these are called there."""
        return BackwardHook(self.module, [], self.pre_hooks)


@dataclass
class Effects:
    """What was registered during a capture, by the token that stands in the graph."""

    entries: list[Any] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def add(self, entry: Any, label: str) -> int:
        """Keeps an entry and returns its token."""
        self.entries.append(entry)
        self.labels.append(label)
        return len(self.entries) - 1


ACTIVE: list[Effects] = []
"""What is being recorded to; the innermost last."""
PLAIN: list[type] = []
"""Custom functions that torch itself runs at the moment."""


def _library() -> torch.library.Library:
    library = torch.library.Library(NAMESPACE, "DEF")
    library.define("gradient_hook(Tensor(a!) x, int token) -> ()")
    library.define("custom_function(Tensor[] tensors, int token) -> Tensor[]")
    library.define("module_backward_inputs(Tensor[] tensors, int token) -> Tensor[]")
    library.define("module_backward_outputs(Tensor[] tensors, int token) -> Tensor[]")

    def custom_function(tensors: list[torch.Tensor], token: int) -> list[torch.Tensor]:
        call: FunctionCall = ACTIVE[-1].entries[token]
        return call.apply(tensors)

    def identity(tensors: list[torch.Tensor], token: int) -> list[torch.Tensor]:
        return [tensor.view_as(tensor) for tensor in tensors]

    library.impl("gradient_hook", lambda x, token: None, "CompositeImplicitAutograd")
    library.impl("custom_function", custom_function, "CompositeImplicitAutograd")
    library.impl("module_backward_inputs", identity, "CompositeImplicitAutograd")
    library.impl("module_backward_outputs", identity, "CompositeImplicitAutograd")
    return library


LIBRARY = _library()


class _Handle:
    """What `register_hook` returns during a capture: removing takes the hook back."""

    def __init__(self, effects: Effects, token: int) -> None:
        self.effects, self.token = weakref.ref(effects), token

    def remove(self) -> None:
        effects = self.effects()
        if effects is not None:
            effects.entries[self.token] = None

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def label_of(hook: Any) -> str:
    """A hook as messages and scripts name it."""
    return str(getattr(hook, "__qualname__", type(hook).__name__))


def _register_hook(tensor: torch.Tensor, hook: Any) -> _Handle:
    effects = ACTIVE[-1]
    token = effects.add(hook, label_of(hook))
    torch.ops.padiff_graph.gradient_hook(tensor, token)
    return _Handle(effects, token)


def _plainly(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """torch's own `Function.apply`."""
    PLAIN.append(cls)
    try:
        return FUNCTION_APPLY.__get__(None, cls)(*args, **kwargs)
    finally:
        PLAIN.pop()


def _apply_by_alias(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """What torch's own `apply` ends in: a name such as `swish = SwishFunction.apply`, bound before
    the capture, comes through no other door."""
    if PLAIN:
        return super(FUNCTION_BASE, cls).apply(*args, **kwargs)
    return _apply(cls, *args, **kwargs)


def _forward_by_alias(cls: Any) -> Callable[..., Any]:
    """In place of a function's `forward`, which is all that such a name runs where `apply` is of C:
    the call is recorded from inside it."""
    forward = cls.forward
    context = 0 if sets_up_context(cls) else 1

    def door(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs) if PLAIN else _apply(cls, *args[context:], **kwargs)

    return door


def _alias_doors() -> list[tuple[Any, str, Any]]:
    """What calls of custom functions come through that were named before the capture."""
    if APPLY_IN_PYTHON:
        return [(FUNCTION_BASE, "apply", classmethod(_apply_by_alias))]
    return [
        (cls, "forward", staticmethod(_forward_by_alias(cls)))
        for cls in dict.fromkeys(_below(torch.autograd.Function))
        if not _of_torch(cls)
    ]


def _below(cls: type[Any]) -> Iterator[type[Any]]:
    """All subclasses, one with two bases twice."""
    for inner in cls.__subclasses__():
        yield inner
        yield from _below(inner)


def _of_torch(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "torch"


def _apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
    effects = ACTIVE[-1]
    if cls is REENTRANT_CHECKPOINT:
        # checkpointing changes memory, not numbers
        return args[0](*args[2:])
    leaves, structure = tree_flatten(args)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    if _of_torch(cls) or kwargs or not places:
        return _plainly(cls, *args, **kwargs)
    tensors = [leaves[place] for place in places]
    for place in places:
        leaves[place] = None
    call = FunctionCall(cls, leaves, places, structure)
    token = effects.add(call, f"{cls.__module__}.{cls.__qualname__}")
    return call.rebuild(torch.ops.padiff_graph.custom_function(tensors, token))


def _data(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor.data` of the user's code, unseen by tracers: the same memory without gradient."""
    if foreign(sys._getframe(1).f_code.co_filename):
        return DATA.__get__(tensor)
    return tensor.detach()


def _set_data(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """`tensor.data = value` of the user's code: new numbers that autograd does not see."""
    if (
        foreign(sys._getframe(1).f_code.co_filename)
        or value.shape != tensor.shape
        or value.dtype != tensor.dtype
    ):
        DATA.__set__(tensor, value)
    else:
        tensor.detach().copy_(value.detach())


class _RecordedBackwardHook:
    """In place of torch's BackwardHook: leaves a node before and one behind the module's call."""

    def __init__(self, module: Any, user_hooks: Any, user_pre_hooks: Any) -> None:
        self.token = ACTIVE[-1].add(
            ModuleHooks(module, list(user_hooks), list(user_pre_hooks)), type(module).__name__
        )

    def _through(self, operator: Any, args: Any) -> Any:
        """The tensors of a module's arguments or result, handed on by an operator of ours."""
        if isinstance(args, torch.Tensor):
            return operator([args], self.token)[0]
        if not isinstance(args, (tuple, list)):
            return args
        members = list(args)
        places = [place for place, member in enumerate(members) if isinstance(member, torch.Tensor)]
        if not places:
            return args
        handed_on = operator([members[place] for place in places], self.token)
        for place, tensor in zip(places, handed_on, strict=True):
            members[place] = tensor
        if hasattr(args, "_fields"):
            return type(args)(*members)
        return type(args)(members)

    def setup_input_hook(self, args: Any) -> Any:
        return self._through(torch.ops.padiff_graph.module_backward_inputs, args)

    def setup_output_hook(self, args: Any) -> Any:
        return self._through(torch.ops.padiff_graph.module_backward_outputs, args)


@contextmanager
def recorded() -> Iterator[Effects]:
    """Records gradient effects of what is run inside as nodes; all is put back at the end."""
    effects = Effects()
    doors: list[tuple[Any, str, Any]] = [
        (torch.Tensor, "register_hook", _register_hook),
        (torch.autograd.Function, "apply", classmethod(_apply)),
        *_alias_doors(),
        (torch.Tensor, "data", property(_data, _set_data)),
        (BACKWARD_HOOK_HOME, "BackwardHook", _RecordedBackwardHook),
    ]
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in doors]
    ACTIVE.append(effects)
    try:
        for owner, name, door in doors:
            setattr(owner, name, door)
        yield effects
    finally:
        for owner, name, original in before:
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        ACTIVE.remove(effects)
