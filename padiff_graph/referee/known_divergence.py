"""Known places where the frameworks themselves do not compute the same: a small table with facts.

| fact | where |
| --- | --- |
| the running variance is updated with the unbiased batch variance (torch) or the biased one
(Paddle), a factor n / (n - 1) | batch normalisation in training mode |
"""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["biased_variance"]


def biased_variance(
    before: Array, first: Array, second: Array, count: float, tolerance: float = 1e-6
) -> bool:
    """Whether two updated running variances differ by exactly the factor count / (count - 1).

    With momentum m and batch variance v, the smaller update is s = (1-m) before + m v, the larger
    one l = (1-m) before + m v count/(count-1); so s = l - (l - (1-m) before) / count. The share 1-m
    is the same in every channel and between 0 and 1.

    Args:
        before: the running variance before the step, the same on both sides.
        first, second: after it.
        count: elements that each variance is taken over.
        tolerance: relative; frameworks hold the momentum in float32.
    """
    if count <= 1 or before.shape != first.shape or before.shape != second.shape:
        return False
    old, one, other = (array.astype(np.float64) for array in (before, first, second))
    if not old.all() or np.array_equal(one, other):
        return False
    small, large = (one, other) if float((other - one).sum()) > 0 else (other, one)
    share = float(np.median((large - count * (large - small)) / old))
    if not -0.1 <= share <= 1.1:
        return False
    predicted = large - (large - share * old) / count
    gap = float(np.abs(large - small).max())
    return bool(np.abs(predicted - small).max() <= tolerance * np.abs(large).max() + 0.02 * gap)
