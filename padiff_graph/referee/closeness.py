"""The numbers that people ask for of two tensors: cosine, relative L2, the largest difference and
where it is. They are told, and decide nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.referee.largest import PIECE

__all__ = ["Closeness", "closeness"]


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near two tensors are.

    Attributes:
        cosine: of the angle between both as vectors; None where one is zero or not finite. Places
            with the same infinity or NaN on both sides are left out of it and of `relative_l2`.
        relative_l2: norm of the difference against the norm of the second.
        error: largest absolute difference; inf where a number has no counterpart.
        index: where that is, in `shape`; () where nothing differs.
        shape: of both.
    """

    cosine: float | None
    relative_l2: float
    error: float
    index: tuple[int, ...]
    shape: tuple[int, ...]


def closeness(first: Array, second: Array, *, equal: bool = False) -> Closeness | None:
    """Measures two tensors; None where they have other shapes or no numbers.

    Args:
        equal: whether they are known to be equal in every number.
    """
    if first.shape != second.shape or not first.size or "c" in first.dtype.kind + second.dtype.kind:
        return None
    ours, theirs = first.reshape(-1), second.reshape(-1)
    if equal:
        norm = sum(_products(wide, wide)[0] for wide in _widened(theirs))
        return Closeness(_cosine(norm, norm, norm), 0.0, 0.0, (), first.shape)
    dot = own = norm = apart = 0.0
    error, place, start = 0.0, -1, 0
    for a, b in zip(_widened(ours), _widened(theirs), strict=True):
        more = _products(a, b)
        dot, own, norm = dot + more[0], own + more[1], norm + more[2]
        here = slice(start, start + a.size)
        gap, square = _gap(a, b, (ours[here], theirs[here]))
        apart += square
        if max(gap.max(), -gap.min()) > error:
            np.abs(gap, out=gap)
            largest = int(gap.argmax())
            error, place = float(gap[largest]), start + largest
        start += a.size
    index = () if place < 0 else tuple(int(at) for at in np.unravel_index(place, first.shape))
    return Closeness(_cosine(dot, own, norm), _ratio(apart, norm), error, index, first.shape)


def _widened(flat: Array) -> Iterator[Array]:
    """A tensor's numbers as float64, piece by piece; each piece in the place of the one before."""
    wide = np.empty(min(PIECE, flat.size))
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        wide[: piece.size] = piece
        yield wide[: piece.size]


def _products(first: Array, second: Array) -> tuple[float, float, float]:
    """The scalar products of both, and of each with itself. The same infinity, or NaN, on both
    sides is made zero in both: neither angle nor norm can be told of it."""
    with np.errstate(invalid="ignore", over="ignore"):
        own = float(first @ first)
        if not math.isfinite(own):
            alike = (first == second) | (np.isnan(first) & np.isnan(second))
            alike &= ~np.isfinite(first)
            first[alike] = second[alike] = 0.0
            own = float(first @ first)
        return float(first @ second), own, float(second @ second)


def _gap(wide: Array, other: Array, plain: tuple[Array, Array]) -> tuple[Array, float]:
    """Differences, written over the first, and the sum of their squares; none between equal
    infinities and between NaNs, infinite where a number has no counterpart.

    Args:
        wide, other: as float64.
        plain: as they are.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.subtract(wide, other, out=wide)
        square = float(gap @ gap)
        if math.isfinite(square):
            return gap, square
        first, second = plain
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, np.abs(gap)))
        return gap, float(gap @ gap)


def _cosine(dot: float, first: float, second: float) -> float | None:
    length = math.sqrt(first) * math.sqrt(second) if min(first, second) > 0 else 0.0
    if not length or not math.isfinite(length) or not math.isfinite(dot):
        return None
    return max(-1.0, min(1.0, dot / length))


def _ratio(apart: float, norm: float) -> float:
    if not apart:
        return 0.0
    if not math.isfinite(apart) or not norm:
        return math.inf
    return math.sqrt(apart / norm) if math.isfinite(norm) else math.inf
