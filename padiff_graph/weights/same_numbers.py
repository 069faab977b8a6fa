"""Whether two weights hold the same numbers, and a weight with its axes in every order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["in_axis_orders", "same_numbers"]

CLOSE = 1e-6
"""Relative difference below which two weights are one number: a checkpoint keeps them exactly, a
conversion between dtypes of one width nearly so."""
RANK = 5
"""Most axes whose orders are tried: 120 of them."""


def same_numbers(first: Array, second: Array) -> bool:
    """Whether two arrays have one shape and hold the same numbers; NaNs are alike."""
    if first.shape != second.shape:
        return False
    first, second = np.asarray(first), np.asarray(second)
    if first.size and not _close(complex(first.reshape(-1)[0]), complex(second.reshape(-1)[0])):
        return False  # most differ in the first element already
    return bool(np.allclose(first, second, rtol=CLOSE, atol=CLOSE * 1e-2, equal_nan=True))


def _close(first: complex, second: complex) -> bool:
    """Whether two numbers may be one; NaNs may."""
    return not abs(first - second) > CLOSE * max(1.0, abs(second))


def in_axis_orders(array: Array, shape: Sequence[int]) -> Iterator[Array]:
    """The array with its axes in every order that has the shape; few axes only."""
    if len(array.shape) == len(shape) <= RANK:
        for axes in permutations(range(len(shape))):
            if tuple(array.shape[axis] for axis in axes) == tuple(shape):
                yield array.transpose(axes)
