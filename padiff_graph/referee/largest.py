"""The largest difference of two tensors and the largest magnitude, in pieces that a core's cache
holds."""

from __future__ import annotations

import math

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["PIECE", "difference", "whole_gaps", "whole_numbers"]

PIECE = 1 << 16
"""Numbers that are looked at at a time; chosen so that the pieces of both in float64, half a MiB
each, stay in a core's cache: half the time that pieces of 8 MiB take."""
COUNTED = 1000
"""Most differing whole numbers whose distance is formed; the first ones, since one is enough."""


def whole_numbers(*arrays: Array) -> bool:
    """Whether all hold whole numbers or truth values, which have no rounding."""
    return all(array.dtype.kind in "iub" for array in arrays)


def whole_gaps(first: Array, second: Array) -> list[int]:
    """Differences of whole numbers, of the first few that differ.

    They are formed as Python's own whole numbers: float64 holds none beyond 2^53 exactly.
    """
    differ = np.asarray(first != second)
    pairs = zip(first[differ][:COUNTED], second[differ][:COUNTED], strict=True)
    return [abs(int(ours) - int(theirs)) for ours, theirs in pairs]


def difference(one: Array, other: Array) -> tuple[float, float]:
    """(largest absolute difference, largest finite magnitude of `other`). Equal infinities and NaN
    at the same place do not differ; a NaN on one side only is an infinite difference. One below the
    smallest normal number of float32 or wider is none: kernels flush such numbers to zero, or stop
    above them (Paddle's exp never falls below 2.9e-39 in float32, 3.3 on a CPU)."""
    if one.size == 0:
        return 0.0, 0.0
    if whole_numbers(one, other):
        return float(max(whole_gaps(one, other), default=0)), _largest(other.astype(np.float64))
    if other.dtype.kind not in "fc" or one.dtype.kind not in "fc":
        one, other = one.astype(np.float64), other.astype(np.float64)
    error, magnitude = _measured(one, other)
    smallest = max(_smallest(array) for array in (one, other))
    if math.isfinite(error) and math.isfinite(magnitude):
        return (error if error >= smallest else 0.0), magnitude
    with np.errstate(invalid="ignore", over="ignore"):
        gap = one - other
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    gap = np.where(same, 0, gap)
    finite = np.isfinite(other)
    magnitude = float(np.abs(other[finite]).max()) if finite.any() else 0.0
    error = math.inf if np.isnan(gap).any() else float(np.abs(gap).max())
    return (error if error >= smallest else 0.0), magnitude


def _smallest(array: Array) -> float:
    """The smallest normal number; zero of float16, whose subnormal numbers are in use."""
    return 0.0 if array.dtype == np.float16 else float(np.finfo(array.dtype).tiny)


def _measured(one: Array, other: Array) -> tuple[float, float]:
    """The same where all numbers are finite; something that is not finite elsewhere."""
    with np.errstate(invalid="ignore", over="ignore"):
        if one.dtype != other.dtype or one.dtype.kind != "f" or one.size <= PIECE:
            return _largest(one - other), _largest(other)
        ours, theirs = one.reshape(-1), other.reshape(-1)
        gap = np.empty(PIECE, one.dtype)
        found: list[tuple[float, float]] = []
        for start in range(0, ours.size, PIECE):
            piece = theirs[start : start + PIECE]
            apart = np.subtract(ours[start : start + PIECE], piece, out=gap[: piece.size])
            found.append((_largest(apart), _largest(piece)))
        error, magnitude = np.max(found, axis=0)  # which lets no NaN get lost
        return float(error), float(magnitude)


def _largest(array: Array) -> float:
    """The largest magnitude; of real numbers without a copy of them all."""
    with np.errstate(invalid="ignore", over="ignore"):
        if array.dtype.kind == "f":
            return float(max(array.max(), -array.min()))
        return float(np.abs(array).max())
