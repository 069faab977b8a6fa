"""Whether two arrays hold the same values at other places, and how they were moved."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.diagnosis.near import CLOSE, close
from padiff_graph.findings.cause import Cause

__all__ = ["ORDERS", "moved_values"]

RANK = 4
"""Most axes whose orders are tried: 24 of them."""
KEYS = 4
"""How many leading values sort the slices of an axis: more than float rounding leaves equal."""
ORDERS = frozenset(
    {
        "values.flipped",
        "values.transposed",
        "values.layout",
        "values.rolled",
        "values.parts_exchanged",
        "values.interleaved",
        "values.slices_permuted",
        "values.permuted",
    }
)
"""The kinds of cause that say: the same values at other places."""


def moved_values(first: Array, second: Array) -> Cause | None:
    """How the values of one array became the other's; None where they are other values.

    Args:
        first, second: float64 arrays of one shape.
    """
    if not _same_values(first, second):
        return None
    return next(_moves(first, second), Cause.of("values.permuted"))


def _same_values(first: Array, second: Array) -> bool:
    tolerance = CLOSE * float(np.abs(second).max())
    ordered = np.sort(first, axis=None), np.sort(second, axis=None)
    return np.allclose(*ordered, rtol=CLOSE, atol=tolerance)


def _moves(first: Array, second: Array) -> Iterator[Cause]:
    """Moves that explain the difference, the simplest first."""
    for axis in range(first.ndim):
        if close(np.flip(first, axis), second):
            yield Cause.of("values.flipped", axis=axis)
    yield from _axes_exchanged(first, second)
    for axis in range(first.ndim):
        for move in (_rolled, _parts_exchanged, _interleaved, _slices_permuted):
            seen = move(first, second, axis)
            if seen is not None:
                yield seen


def _axes_exchanged(first: Array, second: Array) -> Iterator[Cause]:
    """Axes in another order, alone or in front of a reshape."""
    plain = tuple(range(first.ndim))
    if first.ndim > RANK:
        return
    for axes in itertools.permutations(plain):
        if axes == plain:
            continue
        turned = np.transpose(first, axes)
        if close(turned, second):
            yield Cause.of("values.transposed", axes=axes)
        elif close(turned.reshape(second.shape), second):
            yield Cause.of("values.layout", axes=axes)


def _rolled(first: Array, second: Array, axis: int) -> Cause | None:
    extent = first.shape[axis]
    if extent < 3:
        return None
    for shift in sorted({1, -1, extent // 2}):
        if close(np.roll(first, shift, axis), second):
            return Cause.of("values.rolled", shift=shift, axis=axis)
    return None


def _halves(extent: int) -> int:
    """Half an axis; 0 where it has no two halves."""
    return extent // 2 if extent % 2 == 0 else 0


def _parts_exchanged(first: Array, second: Array, axis: int) -> Cause | None:
    half = _halves(first.shape[axis])
    if half and close(np.roll(first, half, axis), second):
        return Cause.of("values.parts_exchanged", axis=axis)
    return None


def _interleaved(first: Array, second: Array, axis: int) -> Cause | None:
    half = _halves(first.shape[axis])
    if not half:
        return None
    split = first.reshape(*first.shape[:axis], 2, half, *first.shape[axis + 1 :])
    if close(np.swapaxes(split, axis, axis + 1).reshape(first.shape), second):
        return Cause.of("values.interleaved", axis=axis)
    return None


def _slices_permuted(first: Array, second: Array, axis: int) -> Cause | None:
    """The same slices of an axis in another order, whatever moved inside them."""
    if first.shape[axis] < 2:
        return None
    if close(_sorted_slices(first, axis), _sorted_slices(second, axis)):
        return Cause.of("values.slices_permuted", axis=axis)
    return None


def _sorted_slices(array: Array, axis: int) -> Array:
    slices = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    slices = np.sort(slices, axis=1)
    order: Callable[..., Array] = np.lexsort
    return slices[order(slices.T[:KEYS])]
