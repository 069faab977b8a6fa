"""Leaving a layer and Paddle's global state as they were, bit for bit, also after an exception."""

from __future__ import annotations

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
    """Puts back every attribute of every layer and of what it holds, hooks, modes, gradients, random
    states and default dtype; with `values` also the numbers of parameters and buffers.

    Numbers are copied beforehand and written back only where they differ, so that a tensor that was
    not changed is not touched.
    """
    holders = list(_holders(model))
    saved = [(holder, _members(holder)) for holder in holders]
    tensors: dict[int, Any] = {}
    for _, members in saved:
        for member in members.values() if isinstance(members, dict) else members:
            if isinstance(member, internals.TENSOR):
                tensors[id(member)] = member
    copies = (
        [
            (tensor, tensor.detach().clone())
            for tensor in tensors.values()
            if tensor._is_initialized()
        ]
        if values
        else []
    )
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
            # set_value and batch norm write without counting a version, so the numbers have to be looked at
            _write_back(tensor, numbers)


def _holders(model: paddle.nn.Layer) -> Iterator[Any]:
    """Every layer, and every list, dict, set and plain object that one holds, each once."""
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(model, 0)]
    while todo:
        thing, depth = todo.pop()
        if (
            id(thing) in seen
            or depth > DEPTH
            or isinstance(thing, (*PLAIN, internals.TENSOR))
            or (callable(thing) and not isinstance(thing, paddle.nn.Layer))
        ):
            continue
        seen.add(id(thing))
        if isinstance(thing, paddle.nn.Layer):
            depth = 0
        if isinstance(thing, (list, set, dict)) or type(getattr(thing, "__dict__", None)) is dict:
            yield thing
        members = _members(thing)
        for member in members.values() if isinstance(members, dict) else members:
            todo.append((member, depth + 1))


def _members(thing: Any) -> Any:
    """A shallow copy of what a holder holds."""
    if isinstance(thing, dict):
        return dict(thing)
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    own = getattr(thing, "__dict__", None)
    return dict(own) if type(own) is dict else []


def _restore(holder: Any, before: Any) -> None:
    if isinstance(holder, (list, set)):
        now = list(holder)
        if len(now) != len(before) or any(
            new is not old for new, old in zip(now, before, strict=True)
        ):
            holder.clear()
            if isinstance(holder, list):
                holder.extend(before)
            else:
                holder.update(before)
        return
    own: dict[Any, Any] = holder if isinstance(holder, dict) else vars(holder)
    if list(own) != list(before) or any(own[name] is not before[name] for name in before):
        own.clear()
        own.update(before)


def _write_back(tensor: Any, numbers: Any) -> None:
    if (
        tensor.shape == numbers.shape
        and tensor.dtype == numbers.dtype
        and tensor.size
        and tensor.dtype in COMPARABLE
        and bool(paddle.equal_all(tensor.detach(), numbers))
    ):
        return
    if tensor.shape == numbers.shape and np.array_equal(
        tensor.numpy(), numbers.numpy(), equal_nan=tensor.dtype in (paddle.float32, paddle.float64)
    ):
        return
    with paddle.no_grad():
        tensor.set_value(numbers)
