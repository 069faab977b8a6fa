"""Whose gradient is wrong: each side's against the finite difference of its own forward, and which
one overflows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause
from padiff_graph.referee.referee import LEFTOVER, measure
from padiff_graph.referee.region_result import RegionVerdict

__all__ = ["Slope", "overflown"]

SLOPE = 1e-4
"""Relative difference of two slopes of one function: chosen far above what a finite difference in
float64 is uncertain by, and far below any wrong factor in a gradient."""


@dataclass(frozen=True, slots=True)
class Slope:
    """One directional derivative of one side: by its gradient, and by finite differences.

    Attributes:
        rounding: how finely the finite difference is known.
        bend: how much the slopes ahead and back differ.
    """

    analytic: float
    numeric: float
    rounding: float
    bend: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether the gradient is that of the forward."""
        allowed = SLOPE * max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) <= max(allowed, self.rounding)

    @property
    def bent(self) -> bool:
        """Whether the function has a kink here, where the slope between its two sides, which one
        of the gradients may happen to have, is no more right than another; a slope that is not
        finite is none."""
        straight = max(SLOPE * max(abs(self.analytic), abs(self.numeric)), 4 * self.rounding)
        return not self.bend <= straight


def overflown(
    single: tuple[Array, Array],
    double: tuple[Array, Array] | None,
    bound: float,
    operations: tuple[int, int],
) -> tuple[RegionVerdict, Cause] | None:
    """What to call gradients of which one side's is not finite where the other's is, and elsewhere
    equal.

    `operations`: how many each side computes. Where it is a single one the framework's kernel
    overflows (Paddle's silu below -88); a formula of several is the model's own.
    """
    lost = ~np.isfinite(single[0]), ~np.isfinite(single[1])
    alone = int((lost[0] & ~lost[1]).sum()), int((lost[1] & ~lost[0]).sum())
    if bool(alone[0]) == bool(alone[1]):
        return None
    side = 0 if alone[0] else 1
    if not _equal(*single, bound) and not (double is not None and _equal(*double, LEFTOVER)):
        return None
    places = {"side": side, "count": alone[side], "size": single[0].size}
    if operations[side] == 1:
        return "framework-defect", Cause.of("framework.overflow", **places)
    return "different", Cause.of("gradient.overflows", **places)


def _equal(one: Array, other: Array, bound: float) -> bool:
    """Whether two arrays agree where both are finite."""
    both = np.isfinite(one) & np.isfinite(other)
    rest = measure(one[both], other[both])
    return rest.error <= bound * rest.scale
