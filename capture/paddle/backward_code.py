"""What only the backward sees: gradient hooks, and custom functions, which are kept whole.

A program can hold neither. A hook stands in the graph as a node between a value and its readers; a
custom function as one node in place of the operations of its forward. Both call the model's own
Python code where they are run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paddle

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.example_numbers import FLOATING

__all__ = [
    "CUSTOM_FUNCTION",
    "GRADIENT_HOOK",
    "Context",
    "Custom",
    "Hook",
    "HookEntry",
    "custom_functions",
    "is_value",
    "rebuilt",
    "results_of_custom",
    "run_custom",
    "run_hook",
]

GRADIENT_HOOK = "padiff_graph.gradient_hook"
"""The graph's operation of a hook: its result is its operand."""
CUSTOM_FUNCTION = "padiff_graph.custom_function"
"""The graph's operation of a custom function."""

Tensor = Any


@dataclass(frozen=True)
class Hook:
    """A gradient hook registered in a forward."""

    function: Any


@dataclass(frozen=True, eq=False)
class HookEntry:
    """A hook with the line and the layer call (path, number) that registered it."""

    function: Any
    source: str
    place: tuple[str, int]


@dataclass(frozen=True, eq=False)
class Custom:
    """A custom differentiable function, kept whole: the operations of its forward are its body.

    Attributes:
        function: the user's PyLayer.
        arguments: what it was called with; program values stand for tensors.
        keywords: likewise, by name.
        results: what its forward returned, member by member.
        first: id of the last operation before its body.
        last: id of the last operation of its body.
        source: the line that calls it.
        path: path of the layer that calls it.
        call: number of that layer's call.
    """

    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    results: list[Any]
    first: int | None
    last: int | None
    source: str
    path: str = ""
    call: int = 0

    def operands(self) -> list[Any]:
        """The program values among its arguments."""
        return [argument for argument in self.arguments if is_value(argument)]

    def outputs(self) -> list[Any]:
        """The program values among its results."""
        return [result for result in self.results if is_value(result)]


class Context:
    """Stands for the context of a custom function while its forward is written down; the backward
    is not: rerunning calls the function itself."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Kept, as eager mode does, for a forward that reads it back."""
        self.container = tensors

    def saved_tensor(self) -> Any:
        """What was saved."""
        return self.container

    def mark_not_inplace(self, *_: Any) -> None:
        """No meaning here."""

    def mark_non_differentiable(self, *_: Any) -> None:
        """No meaning here."""

    def set_materialize_grads(self, _: bool) -> None:
        """No meaning here."""


def is_value(thing: Any) -> bool:
    """Whether a thing is a value of a program; `isinstance` would take tensors for values too."""
    return type(thing) is paddle.pir.Value


def results_of_custom(
    function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Any, list[Any]]:
    """Runs a custom function's forward into the program.

    Returns:
        What it returned, and the same member by member, each a value of its own that learns where
        an argument does.
    """
    with paddle.no_grad():
        returned = function.forward(Context(), *arguments, **keywords)
    values = [argument for argument in arguments if is_value(argument)]
    taken = {value.id for value in values}
    learning = any(not value.stop_gradient for value in values)
    results = []
    for member in _listed(returned):
        if is_value(member):
            if member.id in taken or member.get_defining_op() is None:
                member = paddle.assign(member)
            if learning and internals.spelled(member.dtype).startswith(FLOATING):
                member.stop_gradient = False
        results.append(member)
    return returned, results


def rebuilt(returned: Any, members: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    """Members in the structure in which a function returned them, each changed."""
    changed = [change(member) for member in members]
    return type(returned)(changed) if isinstance(returned, (tuple, list)) else changed[0]


def custom_functions(base: Any) -> list[Any]:
    """Every class below one, in the order of definition."""
    classes = []
    for child in base.__subclasses__():
        classes += [child, *custom_functions(child)]
    return classes


def run_hook(hook: Hook, tensor: Tensor) -> Tensor:
    """The tensor itself, with the hook on its gradient."""
    passed = paddle.assign(tensor)
    if not passed.stop_gradient:
        passed.register_hook(hook.function)
    return passed


def run_custom(custom: Custom, operands: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Calls a custom function on other tensors."""
    remaining = iter(operands)
    given = []
    for argument in custom.arguments:
        given.append(next(remaining) if is_value(argument) else argument)
    returned = custom.function.apply(*given, **custom.keywords)
    members = _listed(returned)
    return tuple(member for member in members if isinstance(member, internals.TENSOR))


def _listed(returned: Any) -> list[Any]:
    return list(returned) if isinstance(returned, (tuple, list)) else [returned]
