"""Known places where the frameworks themselves do not compute the same: a small table with facts.

| fact | where |
| --- | --- |
| the running variance is updated with the unbiased batch variance (torch) or the biased one (Paddle), a factor n / (n - 1) | batch normalisation in training mode |
"""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["biased_variance"]


def biased_variance(before: Array, first: Array, second: Array, count: float, tolerance: float = 1e-5) -> bool:
    """Whether two updated running variances differ by exactly the factor count / (count - 1).

    With momentum m and batch variance v, one side has (1-m) before + m v, the other (1-m) before +
    m v count/(count-1). So one - count (one - other), for the side with the larger update, is
    (1-m) before: the same share of `before` in every channel, between 0 and 1.

    Args:
        before: the running variance before the step, the same on both sides.
        first, second: after it.
        count: elements that each variance is taken over.
        tolerance: relative; rounding of the difference is amplified by `count`.
    """
    if count <= 1 or before.shape != first.shape or before.shape != second.shape:
        return False
    old, one, other = (array.astype(np.float64) for array in (before, first, second))
    if not old.all() or np.array_equal(one, other):
        return False
    small, large = (one, other) if float((other - one).sum()) > 0 else (other, one)
    share = (large - count * (large - small)) / old
    slack = tolerance * (1 + count * float(np.abs(large).max()) / max(float(np.abs(old).min()), 1e-30) * 1e-3)
    middle = float(np.median(share))
    return bool(-slack <= middle <= 1 + slack and np.abs(share - middle).max() <= slack)
