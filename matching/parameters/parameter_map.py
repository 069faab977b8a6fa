"""The parameter map: for each parameter and buffer of the first model where its elements come from.

What matched operations read of their parameters, laid side by side, says it: several readings of
one parameter make a concatenation, several parameters reading one a split, an axis order a
transposition. Every element has to come from exactly one place; what no reading tells stays open
and is named.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.agreeing_readings import (
    agreeing,
    as_piece,
    of_whole_parameter,
    row_offset,
)
from padiff_graph.matching.parameters.counted_buffers import with_counted_buffers
from padiff_graph.matching.parameters.cover import uncovered
from padiff_graph.matching.parameters.parameter_readers import ParameterReaders
from padiff_graph.matching.parameters.readings import Reading
from padiff_graph.matching.parameters.siblings import with_siblings
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.parameters.without_counterpart import (
    Values,
    folded_constants,
    row_without_counterpart,
)
from padiff_graph.matching.result import Matching, ParameterRow

__all__ = ["map_parameters"]

PARTLY_READ = 0.95
"""Most confidence of a map of which only a part is read; chosen so that it stands below a map that
is read whole."""
DISPUTED = 0.6
"""Most confidence where other matched operations read something else; chosen so that it is told
as unsure."""
INCOMPLETE = 0.5
"""Most confidence of a map that leaves elements open."""


@without_collection()
def map_parameters(
    matching: Matching,
    readings: Sequence[Reading],
    values: Values | None = None,
    fixed: Mapping[str, ParameterRow] | None = None,
) -> Matching:
    """Fills in the parameter rows.

    Args:
        matching: both graphs with their matches.
        readings: what matched operations read (`points.lay_out`).
        values: numbers of the first model's parameters, to tell neutral ones; None without weights.
        fixed: rows that the user gave; they stand.
    """
    first = ParameterReaders.in_graph(matching.first)
    second = ParameterReaders.in_graph(matching.second)
    read = _by_first_name(readings, first, second)
    folded = folded_constants(matching.first)
    unread = {first.first_name.get(name, name) for name in matching.first.unread}
    rows: list[ParameterRow] = []
    for name in first.infos:
        if fixed and name in fixed:
            rows.append(fixed[name])
        elif name in read:
            rows.append(_row(name, read[name], first, second))
        else:
            rows.append(row_without_counterpart(name, first, unread, folded, values))
    idle = {*matching.second.unread, *folded_constants(matching.second)}
    unread_second = {second.first_name.get(name, name) for name in idle}
    rows = with_siblings(rows, first, second, unread, unread_second)
    rows = with_counted_buffers(rows, first, second, {*unread, *folded}, unread_second)
    return replace(
        matching,
        parameters=tuple(rows),
        unused_second=_unused(rows, second, unread_second),
        unread_second=tuple(name for name in second.infos if name in unread_second),
    )


def _by_first_name(
    readings: Sequence[Reading], first: ParameterReaders, second: ParameterReaders
) -> dict[str, list[Reading]]:
    """The readings of each parameter of the first model, under both parameters' first names; none
    of a real one by a complex one, of which it can only be a part."""
    by_name: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        name = first.first_name.get(reading.first)
        counterpart = second.first_name.get(reading.second)
        if name is None or counterpart is None:
            continue
        if (name in first.complex) == (counterpart in second.complex):
            if (name, counterpart) != reading[:2]:
                reading = reading._replace(first=name, second=counterpart)
            by_name[name].append(reading)
    return dict(by_name)


# -- one row


def _row(
    name: str, readings: list[Reading], first: ParameterReaders, second: ParameterReaders
) -> ParameterRow:
    shape = first.shape(name)
    shapes = {reading.second: second.shape(reading.second) for reading in readings}
    chosen, doubts = agreeing(readings, shape, shapes)
    if not chosen:
        why = "it is read differently from every counterpart"
        return ParameterRow(name, (), "", 0.0, why, "open")
    left = uncovered([reading.first_view for reading in chosen], shape)
    reason = _reason(chosen, readings)
    confidence = min(reading.confidence for reading in chosen)
    if left or len(chosen) > 1:
        whole = of_whole_parameter(chosen, shape, shapes)
        if whole is not None and left:
            confidence = min(confidence, PARTLY_READ)
            reason += "; not all of it is read, the rest goes with it"
            left = 0
        if whole is not None:  # read in parts, but as one
            chosen = (whole,)
    if doubts:
        confidence = min(confidence, DISPUTED)
        reason += f"; other operations that match it read {', '.join(doubts)} instead"
    pieces = tuple(as_piece(reading, shape) for reading in chosen)
    words = describe(pieces, shape, shapes)
    if left == 0:
        return ParameterRow(name, pieces, words, confidence, reason)
    reason += _offset_words(row_offset(chosen, shape, shapes))
    reason += f"; open: {_open_words(left, math.prod(shape))}"
    return ParameterRow(name, pieces, words, min(confidence, INCOMPLETE), reason, "open")


def _reason(chosen: Sequence[Reading], readings: Sequence[Reading]) -> str:
    times = len({reading.match for reading in readings})
    read = "read by matched operations"
    if times > 1:
        read = f"read by {times} pairs of matched operations"
    if all(reading.certain for reading in chosen):
        return read
    return f"{read}, the order of elements taken from shapes"


def _offset_words(offset: int) -> str:
    if not offset:
        return ""
    way = "further on" if offset > 0 else "before"
    rows = abs(offset)
    return f"; its rows are read {rows} {way}: an index is off by {rows}"


def _open_words(left: int | None, size: int) -> str:
    if left is None:
        return "whether all elements are covered exactly once"
    return f"{left} of {size} elements"


# -- what the second model holds besides


def _unused(
    rows: Sequence[ParameterRow], second: ParameterReaders, unread: set[str]
) -> tuple[str, ...]:
    """Parameters of the second model that it reads and that no row takes all of."""
    taken: dict[str, list[View]] = defaultdict(list)
    for row in rows:
        for piece in row.pieces:
            taken[piece.second].append(piece.second_view)
    return tuple(
        name
        for name, info in second.infos.items()
        if name not in unread
        and not _whole(taken[name], info.type.shape)
        and not _all_read(taken[name], name, second)
    )


def _whole(views: list[View], shape: tuple[int, ...]) -> bool:
    """Whether the views together read at least as many elements as there are; several may read the
    same."""
    return bool(views) and sum(view.size for view in views) >= math.prod(shape)


def _all_read(views: list[View], name: str, second: ParameterReaders) -> bool:
    """Whether the views hold every element that the computation reads (half of a fused weight may
    be dead)."""
    reads = [edge.view for _, _, edge in second.of(name)]
    if not views or not reads:
        return False
    held = np.zeros(math.prod(second.shape(name)), bool)
    for view in views:
        held[view.indices()] = True
    return all(view is not None and _holds(held, view) for view in reads)


def _holds(held: np.ndarray, view: View) -> bool:
    indices = view.indices()
    return bool(held[indices[indices >= 0]].all())
