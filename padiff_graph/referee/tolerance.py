"""The tolerance that a user asks for, and how one tensor is held against it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["Kind", "Mode", "Quantity", "Tolerance", "quantity"]

Kind = Literal["output", "loss", "input", "parameter", "buffer"]
Mode = Literal["mean", "strict"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a difference is held against: atol + rtol * |second|; of the mean error in mode "mean",
    of every element in mode "strict"."""

    rtol: float = 1e-7
    atol: float = 0.0
    mode: Mode = "mean"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One tensor of both sides, held against the tolerance asked for.

    Attributes:
        first, second: its name on both sides.
        error, mean_error: largest and mean absolute difference; inf where it cannot be formed.
        scale: largest magnitude of the second's.
        rtol, atol: the tolerance that would have been needed, the other one being as asked for.
        within: whether it is within the tolerance asked for.
        reason: why it could not be formed or is not counted, "" otherwise.
        counted: whether the verdict depends on it.
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
) -> Quantity:
    """Holds one tensor against another. Equal infinities and NaNs agree; another shape is an infinite difference.

    Args:
        scale: the largest magnitude, where the two are known to be equal in every number.
    """
    if scale is not None:
        return Quantity(kind, one, other, 0.0, 0.0, scale, 0.0, 0.0, True)
    if first.shape != second.shape:
        return Quantity(
            kind,
            one,
            other,
            math.inf,
            math.inf,
            0.0,
            math.inf,
            math.inf,
            False,
            f"shape {list(first.shape)} against {list(second.shape)}",
        )
    if first.size == 0:
        return Quantity(kind, one, other, 0.0, 0.0, 0.0, 0.0, 0.0, True)
    gap, size = _gap(first, second)
    most, mean = float(gap.max()), float(gap.mean(dtype=np.float64))
    if asked.mode == "mean":
        error, held = np.asarray(mean), np.asarray(size.mean(dtype=np.float64))
    else:
        error, held = gap.astype(np.float64), size.astype(np.float64)
    atol = float(np.maximum(error - asked.rtol * held, 0.0).max())
    over = np.maximum(error - asked.atol, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rtol = float(np.where(over > 0, over / held, 0.0).max())
    within = bool((error <= asked.atol + asked.rtol * held).all())
    return Quantity(kind, one, other, most, mean, float(size.max()), rtol, atol, within)


def _gap(first: Array, second: Array) -> tuple[Array, Array]:
    """Absolute differences, and magnitudes of the second. Float32 stays float32: a difference of near
    values is exact in it, and half the memory is read."""
    plain = first.dtype == second.dtype == np.float32
    a, b = (
        (first, second)
        if plain
        else tuple(
            array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
            for array in (first, second)
        )
    )
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.asarray(a - b)
        gap = np.abs(gap, out=gap) if gap.dtype.kind == "f" else np.abs(gap)
        size = np.abs(b)
    if np.isfinite(gap.max()):  # then nothing is infinite or NaN on either side
        return gap, size
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
    return gap, np.where(np.isfinite(size), size, 0.0)
