"""The parameter map: for each parameter and buffer of the first model where its elements come from.

What matched operations read of their parameters, laid side by side, says it: several readings of
one parameter make a concatenation, several parameters reading one a split, an axis order a
transposition. Every element has to come from exactly one place; what no reading tells stays open
and is named.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from padiff_graph.capture.graph import ParameterInfo
from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.parameters.cover import box, disjoint, uncovered
from padiff_graph.matching.parameters.readings import Reading
from padiff_graph.matching.parameters.relations import axis_orders
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["Values", "map_parameters"]

Values = Callable[[str], "np.ndarray[Any, Any] | None"]
"""The numbers of a parameter by name, None where there are none."""
UNIQUE = 1 << 22
"""Readings with repeats are reduced element by element up to this size."""


@dataclass(frozen=True)
class _Side:
    """One model's parameters.

    Attributes:
        infos: by first name.
        first_name: of every name.
        readers: by first name, what reads the parameter: (node, operand position, edge), no node
            for an output of the model or an update.
    """

    infos: Mapping[str, ParameterInfo]
    first_name: Mapping[str, str]
    readers: Mapping[str, Sequence[tuple[NormalNode | None, int, Edge]]]

    @classmethod
    def of(cls, normal: NormalGraph) -> _Side:
        infos = normal.graph.parameters
        names = {alias: name for name, info in infos.items() for alias in (name, *info.aliases)}
        owners = {
            node.id: names.get(node.name, node.name)
            for node in normal.nodes
            if node.op == "Parameter"
        }
        readers: dict[str, list[tuple[NormalNode | None, int, Edge]]] = defaultdict(list)
        for node in normal.nodes:
            for position, edge in enumerate(node.inputs):
                if edge is not None and edge.source in owners:
                    readers[owners[edge.source]].append((node, position, edge))
        for edge in (*normal.outputs.values(), *normal.updates.values()):
            if edge.source in owners:
                readers[owners[edge.source]].append((None, 0, edge))
        return cls(infos, names, readers)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.infos[name].type.shape


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
    first, second = _Side.of(matching.first), _Side.of(matching.second)
    of: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        name, other = first.first_name.get(reading.first), second.first_name.get(reading.second)
        if name is not None and other is not None:
            of[name].append(reading._replace(first=name, second=other))
    unread = {first.first_name.get(name, name) for name in matching.first.unread}
    folded = _folded(matching.first)
    rows = []
    for name in first.infos:
        if fixed and name in fixed:
            rows.append(fixed[name])
        elif of.get(name):
            rows.append(_row(name, of[name], first, second))
        else:
            rows.append(
                _without(name, first, name in unread or name in folded, name in folded, values)
            )
    used = _used(rows)
    unread_second = {
        second.first_name.get(name, name)
        for name in (*matching.second.unread, *_folded(matching.second))
    }
    unused = tuple(
        name
        for name in second.infos
        if name not in unread_second
        and not _whole(used.get(name, []), second.shape(name))
        and not _all_read(used.get(name, []), name, second)
    )
    return replace(
        matching,
        parameters=tuple(rows),
        unused_second=unused,
        unread_second=tuple(name for name in second.infos if name in unread_second),
    )


# -- one row


def _row(name: str, readings: list[Reading], first: _Side, second: _Side) -> ParameterRow:
    shape = first.shape(name)
    chosen: list[Reading] = []
    doubts: list[str] = []
    for reading in sorted(
        readings, key=lambda reading: (-reading.certain, -reading.confidence, reading.match)
    ):
        reduced = _once(reading)
        if (
            reduced is None
            or reduced.first_view.source != math.prod(shape)
            or reduced.second_view.source != math.prod(second.shape(reduced.second))
        ):
            continue
        clash = [
            other for other in chosen if not _apart(other.first_view, reduced.first_view, shape)
        ]
        if not clash:
            chosen.append(reduced)
        elif not any(_says_same(other, reduced) for other in clash):
            extended = _wider(reduced, clash, first, second)
            if extended is not None:
                chosen = [other for other in chosen if other not in clash] + [extended]
            elif reduced.second not in {other.second for other in clash}:
                doubts.append(reduced.second)
    if not chosen:
        return ParameterRow(
            name, (), "", 0.0, "it is read differently from every counterpart", "open"
        )
    left = uncovered([reading.first_view for reading in chosen], shape)
    reason = _reason(chosen, readings)
    confidence = min(reading.confidence for reading in chosen)
    whole = _extended(chosen, shape, second) if left or len(chosen) > 1 else None
    if whole is not None:
        chosen = [whole]  # read in parts, but as one
        if left:
            left = 0
            confidence = min(confidence, 0.95)
            reason += "; not all of it is read, the rest goes with it"
    if doubts:
        confidence = min(confidence, 0.6)
        reason += f"; other operations that match it read {', '.join(sorted(set(doubts)))} instead"
    pieces = tuple(_normalised(reading, shape) for reading in chosen)
    words = describe(pieces, shape, {piece.second: second.shape(piece.second) for piece in pieces})
    if left is None or left:
        what = (
            f"{left} of {math.prod(shape)} elements"
            if left
            else "whether all elements are covered exactly once"
        )
        reason += _shifted(chosen, shape, second)
        return ParameterRow(
            name, pieces, words, min(confidence, 0.5), f"{reason}; open: {what}", "open"
        )
    return ParameterRow(name, pieces, words, confidence, reason)


def _once(reading: Reading) -> Reading | None:
    """The reading with every element once: a parameter broadcast over a batch is read many
    times."""
    one, other = reading.first_view, reading.second_view
    if one.padded or other.padded:
        return None
    if one.injective and other.injective:
        return reading
    small, narrow = one.unexpanded(), other.unexpanded()
    if small.shape == narrow.shape and small.injective and narrow.injective:
        return reading._replace(first_view=small, second_view=narrow)
    if one.size > UNIQUE:
        return None
    pairs = np.unique(np.stack([one.indices(), other.indices()]), axis=1)
    if len(np.unique(pairs[0])) != pairs.shape[1]:
        return None
    return reading._replace(
        first_view=_table(pairs[0], one.source), second_view=_table(pairs[1], other.source)
    )


def _table(indices: np.ndarray[Any, Any], source: int) -> View:
    return View(source, (source,)).take(0, [int(index) for index in indices])


def _apart(one: View, other: View, shape: tuple[int, ...]) -> bool:
    """Whether two views read no element in common."""
    first, second = box(one, shape), box(other, shape)
    if first is not None and second is not None:
        return disjoint(first, second)
    if max(one.size, other.size) > UNIQUE:
        return False
    return len(np.intersect1d(one.indices(), other.indices())) == 0


def _says_same(one: Reading, other: Reading) -> bool:
    """Whether two readings tell the same of the elements that they share; probed."""
    if one.second != other.second:
        return False
    if one.first_view.same(other.first_view) and one.second_view.same(other.second_view):
        return True
    if max(one.first_view.size, other.first_view.size) > UNIQUE:
        back, forth = (
            one.first_view.inverse((one.first_view.source,)),
            other.first_view.inverse((other.first_view.source,)),
        )
        return (
            back is not None
            and forth is not None
            and one.second_view.then(back).same(other.second_view.then(forth))
        )
    place = np.full(one.first_view.source, -1, np.int64)
    place[one.first_view.indices()] = one.second_view.indices()
    found = place[other.first_view.indices()]
    return bool(((found < 0) | (found == other.second_view.indices())).all() and (found >= 0).all())


def _wider(reading: Reading, clash: list[Reading], first: _Side, second: _Side) -> Reading | None:
    """The reading itself where it tells all that the clashing ones do, and more."""
    if reading.first_view.size > max(other.first_view.size for other in clash) and all(
        _says_same(reading, other) for other in clash
    ):
        return reading
    return None


def _extended(chosen: list[Reading], shape: tuple[int, ...], second: _Side) -> Reading | None:
    """A map of the whole parameter that agrees with what is read of it; only between equal
    counts."""
    names = {reading.second for reading in chosen}
    if len(names) != 1:
        return None
    other = second.shape(chosen[0].second)
    if math.prod(other) != math.prod(shape):
        return None
    for order in axis_orders(shape, other):
        if all(order.then(reading.second_view).same(reading.first_view) for reading in chosen):
            return chosen[0]._replace(first_view=order, second_view=View.of(other))
    return None


def _shifted(chosen: list[Reading], shape: tuple[int, ...], second: _Side) -> str:
    """What to say where like rows of like parameters are read from another start."""
    for reading in chosen:
        if second.shape(reading.second) != shape or not shape or reading.first_view.size == 0:
            continue
        rows = math.prod(shape[1:])
        ours, theirs = (
            np.unique(view.indices() // rows) for view in (reading.first_view, reading.second_view)
        )
        offset = int(ours[0] - theirs[0])
        if offset and len(ours) == len(theirs) and np.array_equal(ours, theirs + offset):
            return (
                f"; its rows are read {abs(offset)} {'further on' if offset > 0 else 'before'}: an"
                f" index is off by {abs(offset)}"
            )
    return ""


def _normalised(reading: Reading, shape: tuple[int, ...]) -> Piece:
    """The piece in the first parameter's own order, where it covers all of it."""
    back = reading.first_view.inverse(shape)
    if back is not None:
        return Piece(reading.second, View.of(shape), reading.second_view.then(back))
    return Piece(
        reading.second, reading.first_view, reading.second_view.reshape(reading.first_view.shape)
    )


def _reason(chosen: list[Reading], readings: list[Reading]) -> str:
    times = len({reading.match for reading in readings})
    read = (
        "read by matched operations"
        if times == 1
        else f"read by {times} pairs of matched operations"
    )
    return (
        read
        if all(reading.certain for reading in chosen)
        else f"{read}, the order of elements taken from shapes"
    )


# -- no counterpart


def _without(
    name: str, side: _Side, unread: bool, folded: bool, values: Values | None
) -> ParameterRow:
    if folded:
        return ParameterRow(
            name, (), "", 1.0, "a constant of the computation, compared there", "unread"
        )
    if unread:
        return ParameterRow(name, (), "", 1.0, "the computation does not read it", "unread")
    role = _neutral_role(side, name)
    array = values(name) if values is not None and role is not None else None
    if (
        role is not None
        and array is not None
        and bool((array == (1.0 if role == "scale" else 0.0)).all())
    ):
        what = "a scale of ones" if role == "scale" else "a shift of zeros"
        return ParameterRow(
            name, (), "", 0.9, f"no counterpart, and {what}, which changes nothing", "neutral"
        )
    return ParameterRow(name, (), "", 0.0, "no matched operation reads it", "open")


def _neutral_role(side: _Side, name: str) -> str | None:
    """Whether a parameter is only used as a scale (neutral at one) or a bias (neutral at zero)."""
    roles: set[str | None] = set()
    for node, position, edge in side.readers.get(name, ()):
        if node is None:
            continue
        shown = traits(node.op).neutral_role(position) or None
        if shown is not None and (edge.shift != 0.0 or (shown == "scale" and edge.scale != 1.0)):
            shown = None
        roles.add(shown)
    return roles.pop() if len(roles) == 1 else None


def _folded(normal: NormalGraph) -> Collection[str]:
    """Buffers whose numbers went into the graph as constants."""
    kept = {node.name for node in normal.nodes if node.op == "Parameter"}
    unread = set(normal.unread)
    return {
        record.name
        for record in normal.graph.of_kind("buffer")
        if record.constant is not None and record.name not in kept and record.name not in unread
    }


def _used(rows: Sequence[ParameterRow]) -> dict[str, list[View]]:
    used: dict[str, list[View]] = defaultdict(list)
    for row in rows:
        for piece in row.pieces:
            used[piece.second].append(piece.second_view)
    return used


def _all_read(views: list[View], name: str, side: _Side) -> bool:
    """Whether the views hold every element that the computation reads (half of a fused weight may
    be dead)."""
    read = [edge.view for _, _, edge in side.readers.get(name, ())]
    if not views or not read or any(view is None for view in read):
        return False
    held = np.zeros(math.prod(side.shape(name)), bool)
    for view in views:
        held[view.indices()] = True
    return all(
        bool(held[found[found >= 0]].all())
        for view in read
        if view is not None
        for found in (view.indices(),)
    )


def _whole(views: list[View], shape: tuple[int, ...]) -> bool:
    """Whether the views together read at least as many elements as there are; several may read the
    same."""
    if not views:
        return False
    if any(view.size == math.prod(shape) for view in views):
        return True
    return sum(view.size for view in views) >= math.prod(shape)
