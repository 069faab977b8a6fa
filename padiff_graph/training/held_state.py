"""What a user's callable keeps between its calls: counters, lists, schedulers; put back later."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["held_state", "held_tensors", "members_of", "within_reach"]

DEEPEST = 4
"""How many references away from a callable is looked: callable, closure, scheduler, its lists."""
PLAIN = (str, bytes, int, float, complex, bool, type(None), type, types.ModuleType, np.ndarray)
PutBack = Callable[[], None]


def held_state(given: Any, spared: Sequence[Any]) -> PutBack:
    """Notes what a callable holds; called, the answer puts it back.

    Args:
        given: the user's callable.
        spared: what is looked after elsewhere: optimizers, the model.
    """
    put_back = [put for thing in within_reach(given, spared) for put in _noted(thing)]

    def all_back() -> None:
        for put in put_back:
            put()

    return all_back


def held_tensors(
    given: Any, spared: Sequence[Any], is_tensor: Callable[[object], bool]
) -> list[Any]:
    """The tensors within reach of a callable, in the order in which they are found.

    Args:
        given: the user's callable.
        spared: what is looked after elsewhere: optimizers, the model.
        is_tensor: of the framework.
    """
    return [thing for thing in within_reach(given, spared) if is_tensor(thing)]


def within_reach(given: Any, spared: Sequence[Any]) -> Iterator[Any]:
    """What a callable refers to, itself first, then by how many references it is away; nothing
    behind a model or a tensor.

    Args:
        given: the user's callable.
        spared: what is looked after elsewhere, and what only it refers to.
    """
    seen = {id(thing) for thing in spared}
    todo = deque([(given, DEEPEST)])
    while todo:
        thing, depth = todo.popleft()
        if id(thing) in seen or isinstance(thing, PLAIN) or depth < 0:
            continue
        seen.add(id(thing))
        yield thing
        todo.extend((member, depth - 1) for member in members_of(thing))


def members_of(thing: Any) -> list[Any]:
    """What a callable, a container or an object that holds plain attributes refers to."""
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    if isinstance(thing, dict):
        return list(thing.values())
    bound = [thing.__self__] if hasattr(thing, "__self__") else []
    if getattr(thing, "__code__", None) is not None:
        return [*bound, *_of_function(thing)]
    if bound:
        return bound
    if _is_holder(thing):
        return list(vars(thing).values())
    return []


def _is_holder(thing: Any) -> bool:
    """Whether a thing's own attributes may be its state: no model and no tensor."""
    return hasattr(thing, "__dict__") and not (
        hasattr(thing, "named_parameters") or hasattr(thing, "shape") or isinstance(thing, type)
    )


def _of_function(function: Any) -> list[Any]:
    scope = getattr(function, "__globals__", {})
    named = [scope[name] for name in function.__code__.co_names if name in scope]
    return [
        *_contents(function),
        *(value for value in named if not isinstance(value, types.ModuleType)),
        *(getattr(function, "__defaults__", None) or ()),
    ]


def _contents(function: Any) -> Iterator[Any]:
    """What the filled cells of a closure hold."""
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _noted(thing: Any) -> list[PutBack]:
    """Puts back what one thing holds by itself."""
    if isinstance(thing, list):
        return [functools.partial(_refill_list, thing, list(thing))]
    if isinstance(thing, (dict, set)):
        return [functools.partial(_refill, thing, thing.copy())]
    if getattr(thing, "__code__", None) is not None:
        return [*_noted_cells(thing), *_noted_globals(thing)]
    if _is_holder(thing) and not callable(getattr(thing, "func", None)):
        return [functools.partial(_refill, vars(thing), dict(vars(thing)))]
    return []


def _noted_cells(function: Any) -> Iterator[PutBack]:
    for cell in getattr(function, "__closure__", None) or ():
        try:
            contents = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        yield functools.partial(setattr, cell, "cell_contents", contents)


def _noted_globals(function: Any) -> Iterator[PutBack]:
    """Plain globals that a function names: it may count in them."""
    scope = getattr(function, "__globals__", {})
    for name in function.__code__.co_names:
        if isinstance(scope.get(name), (int, float)):
            yield functools.partial(scope.__setitem__, name, scope[name])


def _refill_list(thing: list[Any], members: list[Any]) -> None:
    thing[:] = members


def _refill(thing: Any, members: Any) -> None:
    """A dict or set with what it held."""
    if isinstance(thing, dict) and _unchanged(thing, members):
        return
    thing.clear()
    thing.update(members)


def _unchanged(thing: dict[Any, Any], members: dict[Any, Any]) -> bool:
    return thing.keys() == members.keys() and all(thing[key] is members[key] for key in members)
