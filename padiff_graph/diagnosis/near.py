"""When two arrays are the same numbers."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["CLOSE", "close"]

CLOSE = 1e-5
"""Relative difference below which two arrays are the same; chosen above float32 rounding of a
region."""
TINY = 1e-30
"""The least scale that a difference is held against, so that zeros can be compared."""


def close(first: Array, second: Array, tolerance: float = CLOSE) -> bool:
    """Whether two arrays of one shape differ by less than this share of the second's largest
    value."""
    if first.shape != second.shape:
        return False
    if not second.size:
        return True
    scale = max(float(np.abs(second).max()), TINY)
    return bool(np.abs(first - second).max() <= tolerance * scale)
