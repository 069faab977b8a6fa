"""Readings of one parameter held against each other: which of them stand together as its map.

Several matched operations may read one parameter. Readings of parts that do not meet are pieces of
one map; readings that meet have to tell the same of what they share, and one that tells more than
those it meets replaces them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.cover import box, disjoint
from padiff_graph.matching.parameters.readings import Reading
from padiff_graph.matching.parameters.relations import axis_orders
from padiff_graph.matching.result import Piece

__all__ = ["Agreement", "agreeing", "as_piece", "of_whole_parameter", "row_offset"]

UNIQUE = 1 << 22
"""Readings with repeats are reduced element by element up to this size."""

Shape = tuple[int, ...]


class Agreement(NamedTuple):
    """Which readings of a parameter stand together.

    Attributes:
        chosen: readings that share no element of the parameter.
        doubts: second parameters that other matched operations read in its place.
    """

    chosen: tuple[Reading, ...]
    doubts: tuple[str, ...]


def agreeing(
    readings: Sequence[Reading], shape: Shape, second_shapes: Mapping[str, Shape]
) -> Agreement:
    """The readings that stand together, the surest first.

    Args:
        readings: of one parameter of the first model, with first names.
        shape: that parameter's.
        second_shapes: of each second parameter by name.
    """
    chosen: list[Reading] = []
    doubts: set[str] = set()
    for reading in sorted(readings, key=_surest_first):
        reduced = _once(reading)
        if reduced is None or not _of_whole_tensors(reduced, shape, second_shapes):
            continue
        clash = [held for held in chosen if not _apart(held.first_view, reduced.first_view, shape)]
        if not clash:
            chosen.append(reduced)
        elif any(_says_same(held, reduced) for held in clash):
            continue
        elif _tells_more(reduced, clash):
            chosen = [held for held in chosen if held not in clash] + [reduced]
        elif reduced.second not in {held.second for held in clash}:
            doubts.add(reduced.second)
    return Agreement(tuple(chosen), tuple(sorted(doubts)))


def _surest_first(reading: Reading) -> tuple[bool, float, int]:
    return (not reading.certain, -reading.confidence, reading.match)


def _of_whole_tensors(reading: Reading, shape: Shape, second_shapes: Mapping[str, Shape]) -> bool:
    """Whether both views start from the parameters as they are stored."""
    return reading.first_view.source == math.prod(
        shape
    ) and reading.second_view.source == math.prod(second_shapes[reading.second])


def of_whole_parameter(
    chosen: Sequence[Reading], shape: Shape, second_shapes: dict[str, Shape]
) -> Reading | None:
    """A map of the whole parameter that agrees with what is read of it; only between equal
    counts."""
    names = {reading.second for reading in chosen}
    if len(names) != 1:
        return None
    second_shape = second_shapes[chosen[0].second]
    if math.prod(second_shape) != math.prod(shape):
        return None
    for order in axis_orders(shape, second_shape):
        if all(order.then(reading.second_view).same(reading.first_view) for reading in chosen):
            return chosen[0]._replace(first_view=order, second_view=View.of(second_shape))
    return None


def as_piece(reading: Reading, shape: Shape) -> Piece:
    """The piece in the first parameter's own order, where it covers all of it."""
    back = reading.first_view.inverse(shape)
    if back is not None:
        return Piece(reading.second, View.of(shape), reading.second_view.then(back))
    return Piece(
        reading.second, reading.first_view, reading.second_view.reshape(reading.first_view.shape)
    )


def row_offset(chosen: Collection[Reading], shape: Shape, second_shapes: dict[str, Shape]) -> int:
    """By how many rows like parameters are read from another start; 0 where they are not."""
    if not shape:
        return 0
    rows = math.prod(shape[1:])
    for reading in chosen:
        if second_shapes[reading.second] != shape or reading.first_view.size == 0:
            continue
        first = np.unique(reading.first_view.indices() // rows)
        second = np.unique(reading.second_view.indices() // rows)
        offset = int(first[0] - second[0])
        if offset and len(first) == len(second) and np.array_equal(first, second + offset):
            return offset
    return 0


def _once(reading: Reading) -> Reading | None:
    """The reading with every element once: a parameter broadcast over a batch is read many
    times."""
    first, second = reading.first_view, reading.second_view
    if first.padded or second.padded:
        return None
    if first.injective and second.injective:
        return reading
    small, narrow = first.unexpanded(), second.unexpanded()
    if small.shape == narrow.shape and small.injective and narrow.injective:
        return reading._replace(first_view=small, second_view=narrow)
    if first.size > UNIQUE:
        return None
    pairs = np.unique(np.stack([first.indices(), second.indices()]), axis=1)
    if len(np.unique(pairs[0])) != pairs.shape[1]:
        return None
    return reading._replace(
        first_view=_table(pairs[0], first.source), second_view=_table(pairs[1], second.source)
    )


def _table(indices: np.ndarray[Any, Any], source: int) -> View:
    return View(source, (source,)).take(0, [int(index) for index in indices])


def _apart(first: View, second: View, shape: Shape) -> bool:
    """Whether two views of one parameter read no element in common."""
    boxes = box(first, shape), box(second, shape)
    if boxes[0] is not None and boxes[1] is not None:
        return disjoint(boxes[0], boxes[1])
    if max(first.size, second.size) > UNIQUE:
        return False
    return len(np.intersect1d(first.indices(), second.indices())) == 0


def _says_same(held: Reading, reading: Reading) -> bool:
    """Whether two readings tell the same of the elements that they share; probed."""
    if held.second != reading.second:
        return False
    if held.first_view.same(reading.first_view) and held.second_view.same(reading.second_view):
        return True
    if max(held.first_view.size, reading.first_view.size) > UNIQUE:
        return _same_inverse(held, reading)
    place = np.full(held.first_view.source, -1, np.int64)
    place[held.first_view.indices()] = held.second_view.indices()
    told = place[reading.first_view.indices()]
    agrees = (told < 0) | (told == reading.second_view.indices())
    return bool(agrees.all() and (told >= 0).all())


def _same_inverse(held: Reading, reading: Reading) -> bool:
    """Whether both lead from the first parameter's elements to the same of the second's."""
    back = held.first_view.inverse((held.first_view.source,))
    forth = reading.first_view.inverse((reading.first_view.source,))
    if back is None or forth is None:
        return False
    return held.second_view.then(back).same(reading.second_view.then(forth))


def _tells_more(reading: Reading, clash: list[Reading]) -> bool:
    """Whether a reading tells all that the clashing ones do, and more."""
    widest = max(held.first_view.size for held in clash)
    return reading.first_view.size > widest and all(_says_same(reading, held) for held in clash)
