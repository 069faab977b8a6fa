"""The tolerance that a user asks for, and how one tensor is held against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.referee.closeness import Closeness
from padiff_graph.referee.largest import PIECE, difference, whole_gaps, whole_numbers

__all__ = ["Kind", "Mode", "Quantity", "Tolerance", "quantity"]

Kind = Literal["output", "loss", "input", "parameter", "buffer"]
Mode = Literal["mean", "strict"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a difference is held against. In mode "mean" |mean(first) - mean(second)| against
    atol + rtol * |mean(second)|, as the older tool does; in mode "strict" every element.

    `named` holds (pattern, atol, rtol) of outputs that have a tolerance of their own.
    """

    rtol: float = 1e-7
    atol: float = 0.0
    mode: Mode = "mean"
    named: tuple[tuple[str, float, float], ...] = ()

    def own(self, *names: str) -> Tolerance | None:
        """The tolerance of an output by its names, of the first pattern that fits one; None where
        none does."""
        for pattern, atol, rtol in self.named:
            if any(fnmatchcase(name, pattern) for name in names):
                return Tolerance(rtol, atol, self.mode)
        return None


@dataclass(frozen=True, slots=True)
class Quantity:
    """One tensor of both sides, held against the tolerance asked for.

    Attributes:
        first, second: its name on both sides.
        error: largest absolute difference; inf where it cannot be formed.
        mean_error: the difference of the means; inf where it cannot be formed.
        scale: largest magnitude of the second's.
        rtol, atol: the tolerance that would have been needed, the other one being as asked for.
        within: whether it is within the tolerance asked for.
        reason: why it could not be formed or is not counted, "" otherwise.
        counted: whether the verdict depends on it.
        closeness: further numbers, of an output; None elsewhere.
        own: the (atol, rtol) that was asked for it by name; None where the general one was.
    """

    kind: Kind
    first: str
    second: str
    error: float
    mean_error: float
    scale: float
    rtol: float
    atol: float
    within: bool
    reason: str = ""
    counted: bool = True
    closeness: Closeness | None = None
    own: tuple[float, float] | None = None

    @property
    def relative(self) -> float:
        """The largest difference against the largest value."""
        return self.error / self.scale if self.scale else self.error


def quantity(
    kind: Kind,
    one: str,
    other: str,
    first: Array,
    second: Array,
    asked: Tolerance,
    *,
    scale: float | None = None,
    largest: tuple[float, float] | None = None,
) -> Quantity:
    """Holds one tensor against another. Equal infinities and NaNs agree; another shape is an
    infinite difference.

    Args:
        scale: the largest magnitude, where the two are known to be equal in every number.
        largest: of floats the largest difference and the largest magnitude of the second, where
            these are known.
    """
    named = kind, one, other
    if scale is not None:
        return Quantity(*named, 0.0, 0.0, scale, 0.0, 0.0, True)
    if first.shape != second.shape:
        reason = f"shape {list(first.shape)} against {list(second.shape)}"
        infinite = (math.inf, math.inf, 0.0, math.inf, math.inf)
        return Quantity(*named, *infinite, False, reason)
    if first.size == 0:
        return Quantity(*named, 0.0, 0.0, 0.0, 0.0, 0.0, True)
    if whole_numbers(first, second):
        return Quantity(kind, one, other, *_exactly(first, second))
    if asked.mode == "strict":
        gap, size, most = _gap(first, second)
        scale = float(size.max())
    else:
        most, scale = largest or difference(*_widened(first, second))
    means = _mean(first), _mean(second)
    # infinite where a number on one side has no counterpart
    mean = float(abs(means[0] - means[1])) if math.isfinite(most) else math.inf
    if asked.mode == "strict":
        needed = _needed(gap.reshape(-1), size.reshape(-1), asked)
    else:
        needed = _needed(np.asarray([mean]), np.asarray([abs(means[1])]), asked)
    return Quantity(*named, most, mean, scale, *needed)


def _needed(gap: Array, size: Array, asked: Tolerance) -> tuple[float, float, bool]:
    """(rtol, atol, whether all is within) of differences beside magnitudes: the tolerance that they
    need, each beside the other as it was asked for."""
    rtol, atol, within = 0.0, 0.0, True
    for start in range(0, gap.size, PIECE):
        error = gap[start : start + PIECE].astype(np.float64)
        held = size[start : start + PIECE].astype(np.float64)
        atol = max(atol, float((error - asked.rtol * held).max()))
        over = np.maximum(error - asked.atol, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            rtol = max(rtol, float(np.where(over > 0, over / held, 0.0).max()))
        within = within and bool((error <= asked.atol + asked.rtol * held).all())
    return rtol, atol, within


def _exactly(first: Array, second: Array) -> tuple[float, float, float, float, float, bool]:
    """(largest and mean difference, largest magnitude, rtol, atol, whether equal) of whole
    numbers."""
    scale = float(np.abs(second.astype(np.float64)).max())
    gaps = whole_gaps(first, second)
    if not gaps:
        return 0.0, 0.0, scale, 0.0, 0.0, True
    mean = sum(gaps) / len(gaps) * float(np.mean(first != second))
    return float(max(gaps)), mean, scale, math.inf, float(max(gaps)), False


def _mean(array: Array) -> Any:
    """The mean of the finite numbers."""
    wide = np.complex128 if array.dtype.kind == "c" else np.float64
    mean = array.mean(dtype=wide)
    if np.isfinite(mean):
        return mean
    finite = array[np.isfinite(array)]
    return finite.mean(dtype=wide) if finite.size else wide(0.0)


def _gap(first: Array, second: Array) -> tuple[Array, Array, float]:
    """Absolute differences, magnitudes of the second, the largest difference. Float32 stays
    float32: a difference of near values is exact in it, and half the memory is read."""
    a, b = _widened(first, second)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.asarray(a - b)
        gap = np.abs(gap, out=gap) if gap.dtype.kind == "f" else np.abs(gap)
        size = np.abs(b)
    most = float(gap.max())
    if math.isfinite(most):  # then nothing is infinite or NaN on either side
        return gap, size, most
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
    return gap, np.where(np.isfinite(size), size, 0.0), float(gap.max())


def _widened(first: Array, second: Array) -> tuple[Array, Array]:
    """Both as float64, or as they are where both are float32 already."""
    if first.dtype == second.dtype == np.float32:
        return first, second
    return _wide(first), _wide(second)


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)
