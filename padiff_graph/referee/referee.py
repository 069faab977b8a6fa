"""Who is right: equal, rounding, or a real difference.

A difference of rounding vanishes in float64, a real one stays. A real difference also shows in
float32, so what appears in float64 alone (a table that one side holds as float32 constants and the
other computes anew) is rounding too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause
from padiff_graph.referee.largest import difference
from padiff_graph.referee.region_result import RegionVerdict

__all__ = ["EXACT", "LEFTOVER", "Measured", "imprecise", "judge", "measure"]

LEFTOVER = 1e-6
"""Relative difference that float64 may leave between correct sides: frameworks hold some attributes
and constants as float32 (measured: momentum 2.4e-7, 1/sqrt(d) 6e-8, adaptive pooling 2e-8)."""
EXACT = 2e-9
"""The same where the structure says that an attribute differs (measured leftover of norms: 1e-10).
"""

CANCELLED = 1e-4
"""Share of its size in float32 below which a value is nothing in float64."""
COARSE = 50.0
"""How many times the rounding bound one side alone must lose to be called imprecise (float16 loses
over 100)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One tensor of both sides, measured.

    Attributes:
        error: largest absolute difference.
        scale: largest magnitude of the second's (the first's where the second's is all zero).
    """

    error: float
    scale: float


def measure(one: Array, other: Array) -> Measured:
    """Compares two arrays of one shape."""
    error, scale = difference(one, other)
    if scale == 0.0:
        scale = difference(other, one)[1]
    return Measured(error, scale)


def judge(
    single: Measured,
    bound: float,
    double: Measured | None,
    noise: float = 0.0,
    *,
    attribute: bool = False,
    precision: bool = False,
) -> RegionVerdict:
    """The verdict on one tensor.

    `bound`: relative difference that rounding explains; 0.0 for whole numbers, which do not round:
    there a difference vanishes as a whole or not at all. `double`: the float64 rerun, None where it
    was not asked for. `noise`: how far the second side's own float64 result is from its float32
    one. `attribute`: structure names a differing attribute here. `precision`: the sides compute in
    different floating dtypes here, which float64 would hide.
    """
    small = single.error <= bound * single.scale
    if double is None:
        return "equal" if small else "different"
    if precision and not small:
        return "different"
    if bound == 0.0 and double.error > 0.0:
        return "different"
    scale = max(double.scale, noise)
    if double.error <= (EXACT if attribute else LEFTOVER) * scale:
        return "equal" if small else "rounding"
    if math.isfinite(double.error) and single.error + bound * single.scale < 0.5 * double.error:
        return "rounding"
    return "different"


def imprecise(
    lost: tuple[float, float], single: Measured, double: Measured, bound: float, size: float = 0.0
) -> Cause | None:
    """The one side that alone loses precision, None where none does.

    `lost` is how far each side's own result is from its float64 rerun. Rounding that an unstable
    region amplifies shows on both sides; a cast to a coarser dtype on one. What vanishes in float64
    is all rounding: terms that cancel, on one side exactly, as the gradient of a softmax over one
    element does. `size` is how large the terms are where they may be far larger than what their sum
    comes to.
    """
    if double.scale < CANCELLED * single.scale:
        return None
    allowed = bound * max(single.scale, size)
    for side, mine, others in ((0, lost[0], lost[1]), (1, lost[1], lost[0])):
        if mine > COARSE * allowed and others <= 2 * allowed and allowed > 0:
            return Cause.of("precision.lost", side=side, lost=mine, kept=others)
    return None
