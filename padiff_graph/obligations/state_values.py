"""Whether two values that modules keep are the same: numbers, texts, arrays, by the way to them."""

from __future__ import annotations

import itertools

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.obligations.left_behind import Leaves
from padiff_graph.referee.tolerance import Tolerance, quantity

__all__ = ["ROUNDING", "apart", "rounding_of", "same_values", "unlike"]

ROUNDING = 1e-4
"""Share of the largest value up to which what two models keep differs by rounding: chosen ten times
above what a forward of a hundred layers in float32 carries along."""
MOST_AXES = 5
"""Up to as many axes every order of them is tried: what models keep between calls has four."""
NUMBERS = (bool, int, float, complex, np.generic, np.ndarray)
COMPARED = (*NUMBERS, str, bytes, bytearray, type(None))
"""Values that can be held against each other; classes and slices are a framework's own."""


def same_values(ours: Leaves, theirs: Leaves) -> bool:
    """Whether two values are the same as far as they can be compared; another order of the same
    numbers is another layout."""
    return unlike(ours, theirs) is None


def unlike(ours: Leaves, theirs: Leaves) -> str | None:
    """The way to the first leaf that differs; None where none does.

    Members of lists are compared with their number; of objects what both have.
    """
    for way in sorted(ours.keys() | theirs.keys()):
        if way in ours and way in theirs:
            if not _same(ours[way], theirs[way]):
                return way
        elif way.rpartition(".")[2].isdigit() or not way:
            return way
    return None


def rounding_of(array: Array) -> float:
    """Share of the largest value up to which arrays of a type differ by rounding: in half precision
    one unit in the last place is more than what float32 carries along."""
    coarse = array.dtype.kind in "fc" and float(np.finfo(array.dtype).eps)
    return max(ROUNDING, coarse)


def apart(first: Array, second: Array) -> float:
    """How far two arrays are apart, relative to the largest value; whole numbers exactly."""
    held = quantity("buffer", "", "", first, second, Tolerance())
    if first.dtype.kind in "iub" and second.dtype.kind in "iub":
        return 0.0 if held.error == 0 else np.inf
    return held.relative


def _same(ours: object, theirs: object) -> bool:
    if not isinstance(ours, COMPARED) or not isinstance(theirs, COMPARED):
        return True
    if not isinstance(ours, NUMBERS) or not isinstance(theirs, NUMBERS):
        return type(ours) is type(theirs) and ours == theirs
    first, second = np.asarray(ours), np.asarray(theirs)
    if not _numeric(first) or not _numeric(second):
        return True
    if first.shape == second.shape and apart(first, second) <= ROUNDING:
        return True
    return first.size == second.size > 1 and _laid_out_alike(first, second)


def _numeric(array: Array) -> bool:
    return array.dtype.kind in "biufc"


def _laid_out_alike(first: Array, second: Array) -> bool:
    """Whether two arrays hold the same numbers with their axes in another order, or in another
    shape: what is turned over or rolled along an axis is no layout."""
    if second.ndim > MOST_AXES:
        return apart(first.reshape(-1), second.reshape(-1)) <= ROUNDING
    orders = itertools.permutations(range(second.ndim))
    return any(
        apart(first.reshape(-1), second.transpose(order).reshape(-1)) <= ROUNDING
        for order in orders
    )
