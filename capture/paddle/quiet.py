"""Leaving a layer and Paddle's global state as they were, bit for bit, also after an exception."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.state import kept

__all__ = ["quiet"]

PLAIN = (str, bytes, int, float, complex, bool, type(None), type, np.ndarray, np.generic)
COMPARABLE = (paddle.float32, paddle.float64, paddle.int32, paddle.int64, paddle.bool)
"""dtypes that Paddle compares on the CPU; others are compared by numpy."""
DEPTH = 6
"""How deep objects that a layer holds (caches, configurations, lists) are looked into."""


@contextmanager
def quiet(model: paddle.nn.Layer, *, values: bool = True) -> Iterator[None]:
    """Puts back every attribute of every layer and of what it holds, hooks, modes, gradients,
    random states and default dtype; with `values` also the numbers of parameters and buffers.

    Numbers are copied beforehand and written back only where they differ, so that a tensor that was
    not changed is not touched.
    """
    saved = [(holder, _members(holder)) for holder in _holders(model)]
    copies = _copies(saved) if values else []
    generators = random.getstate(), np.random.get_state()
    try:
        with kept(model):
            yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        for holder, members in saved:
            _restore(holder, members)
        for tensor, numbers in copies:
            # set_value and batch norm write without counting a version: numbers have to be looked
            # at
            _write_back(tensor, numbers)


def _copies(saved: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every tensor that a holder holds, with its numbers; those that wait for a first run have
    none."""
    tensors: dict[int, Any] = {}
    for _, members in saved:
        for member in _held(members):
            if isinstance(member, internals.TENSOR):
                tensors[id(member)] = member
    held = [tensor for tensor in tensors.values() if tensor._is_initialized()]
    return [(tensor, tensor.detach().clone()) for tensor in held]


def _holders(model: paddle.nn.Layer) -> Iterator[Any]:
    """Every layer, and every list, dict, set and plain object that one holds, each once."""
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(model, 0)]
    while todo:
        thing, depth = todo.pop()
        if id(thing) in seen or depth > DEPTH or _is_closed(thing):
            continue
        seen.add(id(thing))
        if isinstance(thing, paddle.nn.Layer):
            depth = 0
        if isinstance(thing, (list, set, dict)) or _attributes(thing) is not None:
            yield thing
        todo += [(member, depth + 1) for member in _held(_members(thing))]


def _is_closed(thing: Any) -> bool:
    """Whether there is nothing in a thing to look after: numbers, tensors, functions, classes."""
    if isinstance(thing, (*PLAIN, internals.TENSOR)):
        return True
    return callable(thing) and not isinstance(thing, paddle.nn.Layer)


def _attributes(thing: Any) -> dict[str, Any] | None:
    own = getattr(thing, "__dict__", None)
    return own if type(own) is dict else None


def _members(thing: Any) -> Any:
    """A shallow copy of what a holder holds: a dict or a list."""
    if isinstance(thing, dict):
        return dict(thing)
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    return dict(_attributes(thing) or {})


def _held(members: Any) -> list[Any]:
    """What a dict or a list holds, without its keys."""
    return list(members.values()) if isinstance(members, dict) else members


def _restore(holder: Any, before: Any) -> None:
    if isinstance(holder, (list, set)):
        _restore_sequence(holder, before)
        return
    own: dict[Any, Any] = holder if isinstance(holder, dict) else vars(holder)
    if list(own) != list(before) or any(own[name] is not before[name] for name in before):
        own.clear()
        own.update(before)


def _restore_sequence(holder: Any, before: list[Any]) -> None:
    now = list(holder)
    if len(now) == len(before) and all(map(operator.is_, now, before)):
        return
    holder.clear()
    if isinstance(holder, list):
        holder.extend(before)
    else:
        holder.update(before)


def _write_back(tensor: Any, numbers: Any) -> None:
    if not _same(tensor, numbers):
        with paddle.no_grad():
            tensor.set_value(numbers)


def _same(tensor: Any, numbers: Any) -> bool:
    """Whether a tensor still holds its numbers; NaN counts as NaN."""
    if tensor.shape != numbers.shape:
        return False
    comparable = tensor.dtype == numbers.dtype and tensor.dtype in COMPARABLE
    if comparable and tensor.size and bool(paddle.equal_all(tensor.detach(), numbers)):
        return True
    floating = tensor.dtype in (paddle.float32, paddle.float64)
    return np.array_equal(tensor.numpy(), numbers.numpy(), equal_nan=floating)
