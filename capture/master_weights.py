"""Float32 copies of weights in half precision that an optimizer owns in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["HALVES", "MASTERED", "SETTING", "masters_of", "pieces_of", "updated_in"]

HALVES = frozenset({"bfloat16", "float16"})
"""dtypes of weights that masters are kept of."""
MASTERED = "float32"
"""What they are kept in."""
SETTING = "master weights"
"""The name of the setting that says what an update is computed and kept in."""

Array = np.ndarray[Any, Any]


def masters_of(
    foreign: Sequence[Any],
    parameters: Iterable[tuple[str, Any]],
    dtype: Callable[[Any], str],
    rounded: Callable[[Any, Any], Array],
    array: Callable[[Any], Array],
) -> dict[str, Any]:
    """Which tensor is a master of which parameter: of its shape, in float32, and the same numbers
    once rounded. Of several that fit, the first in order. Beside masters of weights in half
    precision, copies of weights in float32 are such too.

    Args:
        foreign: what an optimizer owns and the model does not.
        parameters: the model's, by name, that no optimizer owns directly.
        dtype, array: of the framework.
        rounded: the numbers of a master as a parameter would hold them.
    """
    left = [(name, own) for name, own in parameters if dtype(own) in {*HALVES, MASTERED}]
    found: dict[str, Any] = {}
    for tensor in foreign:
        if dtype(tensor) != MASTERED:
            continue
        for name, own in left:
            fits = tuple(own.shape) == tuple(tensor.shape)
            if name not in found and fits and np.array_equal(rounded(tensor, own), array(own)):
                found[name] = tensor
                break
    return found if any(dtype(own) in HALVES for name, own in left if name in found) else {}


def pieces_of(
    flat: Any,
    parameters: Iterable[tuple[str, Any]],
    dtype: Callable[[Any], str],
    rounded: Callable[[Any, Any], Array],
    array: Callable[[Any], Array],
) -> dict[str, Any]:
    """Which parts of a tensor with one axis are masters, one behind the other and zeros behind the
    last, by parameter name, as views of it. None where that is not all that it holds.

    Args:
        flat: what an optimizer owns.
        parameters, dtype, rounded, array: as of `masters_of`.
    """
    start, found, halves = 0, {}, 0
    if dtype(flat) != MASTERED or len(flat.shape) != 1:
        return {}
    numbers = flat.detach()
    for name, own in parameters:
        size = int(np.prod(tuple(own.shape)))
        if dtype(own) not in {*HALVES, MASTERED} or start + size > flat.shape[0]:
            continue
        piece = numbers[start : start + size].reshape(own.shape)
        if np.array_equal(rounded(piece, own), array(own)):
            found[name] = piece
            start += size
            halves += dtype(own) in HALVES
    return {} if not halves or array(numbers[start:]).any() else found


def updated_in(held: str, mastered: bool) -> str:
    """What updates of a weight add up in; nothing narrower than float32 is told apart.

    Args:
        held: its own dtype.
        mastered: whether a master is kept of it.
    """
    return held if held in HALVES and not mastered else MASTERED
