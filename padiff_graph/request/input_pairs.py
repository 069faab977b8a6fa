"""Which input of one model corresponds to which of the other: by equal numbers.

The two sides may spell their inputs differently, but they hold the same numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.errors import UsageError

__all__ = ["InputLeaf", "pair_inputs", "pair_leaves"]

MOST_AXES = 5
"""Arrays of more axes are not tried in other layouts; chosen so that 120 orders are the most."""


@dataclass(frozen=True)
class InputLeaf:
    """One tensor of an example.

    Attributes:
        name: as `padiff_graph.capture.leaf_names` spells it.
        array: its numbers.
        dtype: in graph spelling, "bfloat16" too.
    """

    name: str
    array: Array
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} ({self.dtype}{list(self.array.shape)})"


def pair_inputs(
    first: Mapping[str, InputLeaf], second: Mapping[str, InputLeaf], sides: tuple[str, str]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The pairs of `pair_leaves`, and a note for each leaf without counterpart.

    Args:
        first, second: leaves by name.
        sides: what the two are called in messages.

    Raises:
        UsageError: inputs that should be equal differ in value, shape or dtype.
    """
    pairs = pair_leaves(
        {name: leaf.array for name, leaf in first.items()},
        {name: leaf.array for name, leaf in second.items()},
    )
    for left, right in pairs:
        if first[left].dtype != second[right].dtype:
            raise UsageError(
                f"example_inp: the inputs {left} ({sides[0]}) and {right} ({sides[1]}) hold the "
                f"same numbers in different dtypes, {first[left].dtype} and "
                f"{second[right].dtype}; give both sides the same dtype"
            )
    paired = dict(pairs)
    alone = [leaf for name, leaf in first.items() if name not in paired]
    others = [leaf for name, leaf in second.items() if name not in paired.values()]
    unequal = _meant_to_be_equal(alone, others)
    if unequal is not None:
        left_leaf, right_leaf = unequal
        raise UsageError(
            f"example_inp: both models must be given the same inputs, but {left_leaf} "
            f"({sides[0]}) and {right_leaf} ({sides[1]}) {_how_unequal(left_leaf, right_leaf)}"
        )
    return pairs, (*_alone(sides[0], alone), *_alone(sides[1], others))


def pair_leaves(
    first: Mapping[str, Array], second: Mapping[str, Array]
) -> tuple[tuple[str, str], ...]:
    """Which input of the first model corresponds to which of the second.

    By equal values; among equals by name, then by order. What has no equal is not in the answer.

    Args:
        first, second: input leaves by name, as arrays.
    """
    rest = dict(second)
    pairs: dict[str, str] = {}
    for agree in (_same_array, _same_elements, _same_layout):
        for by_name in (True, False):
            for name in [name for name in first if name not in pairs]:
                candidates = list(rest)
                if by_name:
                    candidates = [candidate for candidate in rest if candidate == name]
                for candidate in candidates:
                    if agree(first[name], rest[candidate]):
                        pairs[name] = candidate
                        del rest[candidate]
                        break
    return tuple((name, pairs[name]) for name in first if name in pairs)


def _meant_to_be_equal(
    first: list[InputLeaf], second: list[InputLeaf]
) -> tuple[InputLeaf, InputLeaf] | None:
    """A pair among what has no equal: of the same name, or at the same place of as many."""
    by_name = {leaf.name: leaf for leaf in second}
    for leaf in first:
        if leaf.name in by_name:
            return leaf, by_name[leaf.name]
    if first and len(first) == len(second):
        return first[0], second[0]
    return None


def _alone(side: str, leaves: Iterable[InputLeaf]) -> list[str]:
    return [
        f"the {side} input {leaf} has no counterpart of equal values on the other side"
        for leaf in leaves
    ]


def _how_unequal(left: InputLeaf, right: InputLeaf) -> str:
    if left.array.size != right.array.size:
        return "differ in shape"
    if left.dtype != right.dtype and _floating(left.array) != _floating(right.array):
        return "differ in dtype and values"
    ours, theirs = left.array.reshape(-1), right.array.reshape(-1)
    if ours.dtype == bool or theirs.dtype == bool:
        return f"differ at {int(np.sum(ours != theirs))} of {ours.size} elements"
    gap = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    worst = 0
    if not np.all(np.isnan(gap)):
        worst = int(np.nanargmax(gap))
    return (
        f"differ in values, by up to {gap[worst]:.3g} ({ours[worst]} and {theirs[worst]}); "
        "build both from one numpy array"
    )


def _floating(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))


def _same_array(left: Array, right: Array) -> bool:
    return left.shape == right.shape and _equal(left, right)


def _same_elements(left: Array, right: Array) -> bool:
    """The same numbers in the same order, other shapes."""
    if left.size != right.size or left.shape == right.shape:
        return False
    return _equal(left.reshape(-1), right.reshape(-1))


def _same_layout(left: Array, right: Array) -> bool:
    """The same numbers with axes in another order (NHWC against NCHW)."""
    if left.shape == right.shape or sorted(left.shape) != sorted(right.shape):
        return False
    if left.ndim > MOST_AXES:
        return False
    return any(
        tuple(left.shape[axis] for axis in order) == right.shape
        and _equal(left.transpose(order), right)
        for order in itertools.permutations(range(left.ndim))
    )


def _equal(left: Array, right: Array) -> bool:
    """Equal as the narrower of two floating dtypes, NaN included."""
    if left.dtype.kind in "OUS" or right.dtype.kind in "OUS":
        return bool(np.array_equal(left, right))
    both_inexact = left.dtype.kind in "fc" and right.dtype.kind in "fc"
    if both_inexact and left.dtype != right.dtype:
        narrow = min(left.dtype, right.dtype, key=lambda kind: kind.itemsize)
        left, right = left.astype(narrow), right.astype(narrow)
    return bool(np.array_equal(left, right, equal_nan=both_inexact))
