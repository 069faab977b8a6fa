"""Leaving a layer and Paddle's global state as they were, bit for bit, also after an exception."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import paddle

from padiff_graph.capture.paddle import internals, values
from padiff_graph.capture.paddle.state import kept
from padiff_graph.capture.python_state import PythonState, Watch

__all__ = ["quiet"]

OWN = frozenset(vars(paddle.nn.Layer())) - {"training"}
"""Attributes that Paddle keeps in every layer, without the mode: a forward may change it."""

Copies = Mapping[int, tuple[Any, Any]]
"""Tensors with their numbers, by identity."""


@contextmanager
def quiet(model: paddle.nn.Layer, *, values: bool = True) -> Iterator[Watch]:
    """Puts back every attribute of every layer and of what it holds, however deep, hooks, modes,
    gradients, random states and default dtype; with `values` also the numbers of tensors.

    Numbers are copied beforehand and written back only where they differ, so that a tensor that was
    not changed is not touched.
    """
    named = _named(model)
    every = frozenset(id(tensor) for tensor in named.values())
    layers = model.named_sublayers(include_self=True)
    python = PythonState(layers, _Tensors(), OWN, every, values, (paddle.nn.Layer,))
    numbers = _copied(named) if values else {}
    generators = random.getstate(), np.random.get_state()
    with ExitStack() as undo:
        # set_value and batch norm write without counting a version: numbers have to be looked at
        undo.callback(_put_numbers_back, numbers)
        undo.callback(python.restore)
        undo.callback(np.random.set_state, generators[1])
        undo.callback(random.setstate, generators[0])
        with kept(model):
            yield Watch(python, lambda: _written(named, numbers))


class _Tensors:
    """Paddle's word on tensors that stand in Python attributes."""

    def is_tensor(self, value: object) -> bool:
        return isinstance(value, internals.TENSOR)

    def copied(self, tensor: Any) -> Any:
        """Its numbers; None for one that waits for a first run or stands for a shape only."""
        if not hasattr(tensor, "_is_initialized") or not tensor._is_initialized():
            return None
        return values.copied(tensor)

    def unchanged(self, tensor: Any, numbers: Any) -> bool:
        return _same(tensor, numbers)

    def put_back(self, tensor: Any, numbers: Any) -> None:
        with paddle.no_grad():
            tensor.set_value(numbers)


def _named(model: paddle.nn.Layer) -> dict[str, Any]:
    """Parameters and buffers by name, each once."""
    seen: set[int] = set()
    named: dict[str, Any] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named


def _copied(named: Mapping[str, Any]) -> Copies:
    """Every tensor with its numbers; those that wait for a first run have none."""
    held = [tensor for tensor in named.values() if tensor._is_initialized()]
    return {id(tensor): (tensor, values.copied(tensor)) for tensor in held}


def _put_numbers_back(numbers: Copies) -> None:
    for tensor, before in numbers.values():
        if not _same(tensor, before):
            with paddle.no_grad():
                tensor.set_value(before)


def _written(named: Mapping[str, Any], numbers: Copies) -> frozenset[str]:
    """Names of tensors that do not hold these numbers any more."""
    return frozenset(
        name
        for name, tensor in named.items()
        if id(tensor) in numbers and not _same(tensor, numbers[id(tensor)][1])
    )


def _same(tensor: Any, numbers: Any) -> bool:
    """Whether a tensor still holds its numbers; NaN counts as NaN."""
    if tensor.shape != numbers.shape:
        return False
    comparable = tensor.dtype == numbers.dtype and tensor.dtype in values.COMPARABLE
    if comparable and math.prod(tensor.shape) and values.same(tensor, numbers):
        return True
    floating = tensor.dtype in (paddle.float32, paddle.float64)
    return np.array_equal(tensor.numpy(), numbers.numpy(), equal_nan=floating)
