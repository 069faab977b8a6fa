"""The numbers that people ask for of two tensors: cosine, relative L2, the largest difference and
where it is. They are told, and decide nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["PIECE", "Closeness", "closeness"]

PIECE = 1 << 16
"""Numbers that are widened at a time; chosen so that the pieces of both in float64, half a MiB
each, stay in a core's cache: half the time that pieces of 8 MiB take."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near two tensors are.

    Attributes:
        cosine: of the angle between both as vectors; None where one is zero or not finite.
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


def closeness(first: Array, second: Array) -> Closeness | None:
    """Measures two tensors; None where they have other shapes or no numbers."""
    if first.shape != second.shape or not first.size or "c" in first.dtype.kind + second.dtype.kind:
        return None
    ours, theirs = first.reshape(-1), second.reshape(-1)
    dot = own = norm = apart = 0.0
    error, place = 0.0, -1
    for start in range(0, ours.size, PIECE):
        a = ours[start : start + PIECE].astype(np.float64)
        b = theirs[start : start + PIECE].astype(np.float64)
        gap = _gap(a, b)
        dot, own, norm = dot + float(a @ b), own + float(a @ a), norm + float(b @ b)
        apart += float(gap @ gap)
        largest = int(gap.argmax())
        if gap[largest] > error:
            error, place = float(gap[largest]), start + largest
    index = () if place < 0 else tuple(int(at) for at in np.unravel_index(place, first.shape))
    return Closeness(_cosine(dot, own, norm), _ratio(apart, norm), error, index, first.shape)


def _gap(first: Array, second: Array) -> Array:
    """Absolute differences; none between equal infinities and between NaNs, infinite where a number
    has no counterpart."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.asarray(np.abs(first - second))
    if np.isfinite(gap).all():
        return gap
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    return np.asarray(np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap)))


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
