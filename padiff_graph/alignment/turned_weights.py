"""Square weights that are computed with before use, where no run proved their order: they stand as
what the input meets reads the result.

A norm, a mask or a sum of weights yields as much in either order of axes, so that operations among
weights tell none. The product that reads the result does: x W here and x W^T there. Where nothing
agrees, since a fault stands beside, that is the order to look for the fault in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.held_alike import SAME
from padiff_graph.alignment.tried_maps import TRIED
from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.row_changes import with_rows
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import Difference, Match, Matching, ParameterRow, Piece, Point

__all__ = ["as_they_are_read", "without_order"]

CONFIDENCE = 0.6
"""Of a row that nothing has proved, as of the candidates that are tried."""
REASON = "in the order that the result of these weights is read in"
ORDERS = frozenset({"operand.transposed", "axis.other"})
"""Causes that say an order of axes alone."""


@dataclass
class _Turned:
    """One result of weights alone that both models compute, and that is read transposed.

    Attributes:
        top: the node of the first model that yields it.
        view: the result of the first model as the second's stands.
        below: the first model's nodes that it is made by, itself among them.
        names: its parameters -> those of the second model.
    """

    top: int
    view: View
    below: set[int] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)


def as_they_are_read(alignment: Alignment) -> Alignment:
    """The alignment with rows for such weights, and the results that they make laid beside each
    other so; itself where there are none."""
    matching = alignment.matching
    found = [each for each in _turned(matching) if _open_to_doubt(alignment, each)]
    if not found:
        return alignment
    rows = {
        name: _row(matching, name, other) for each in found for name, other in each.names.items()
    }
    changed = with_rows(matching, rows)
    points = tuple(_points(changed, {each.top: each.view for each in found}, _below(found)))
    return replace(alignment, matching=replace(changed, points=points))


def without_order(matching: Matching, found: Iterable[Difference]) -> tuple[Difference, ...]:
    """The differences without those of an order that the rows of such weights explain."""
    rows = {row.first for row in matching.parameters if row.reason == REASON}
    if not rows:
        return tuple(found)
    turned = [each for each in _turned(matching) if each.names.keys() <= rows]
    explained = {*_below(turned), *(each.top for each in turned)}
    readers = {
        node.id
        for node in matching.first.nodes
        if any(edge is not None and edge.source in explained for edge in node.inputs)
    }
    return tuple(
        each
        for each in found
        if each.cause_id not in ORDERS or not {*each.first} <= explained | readers
    )


def _below(found: Iterable[_Turned]) -> set[int]:
    return {node for each in found for node in each.below}


def _open_to_doubt(alignment: Alignment, turned: _Turned) -> bool:
    """Whether no row of these weights is the user's or was proved by what the input moves: that
    values made of weights alone agree proves no order."""
    rows = {row.first: row for row in alignment.matching.parameters}
    return all(
        name in rows
        and not rows[name].reason.startswith(TRIED)
        and not rows[name].reason.endswith(SAME)
        and name not in alignment.known.fixed
        for name in turned.names
    )


# -- results of weights that are read transposed


def _turned(matching: Matching) -> Iterator[_Turned]:
    first, second = matching.first, matching.second
    moving = _moving(first), _moving(second)
    held = {match.first: match for match in matching.matches}
    for match in matching.matches:
        if match.first not in moving[0] or match.second not in moving[1]:
            continue
        reader, other = first.nodes[match.first], second.nodes[match.second]
        for x, y in _edges(reader.inputs, other.inputs, match.operands):
            if x.source in moving[0] or y.source in moving[1] or first.nodes[x.source].leaf:
                continue
            meant = held.get(x.source)
            view = _transposed(matching, x, y)
            if meant is None or meant.second != y.source or view is None:
                continue
            turned = _Turned(x.source, view)
            if _walk(matching, held, x.source, y.source, turned) and turned.names:
                yield turned


def _moving(normal: NormalGraph) -> set[int]:
    """The nodes that depend on an input."""
    moving = {node.id for node in normal.nodes if node.op == "Input"}
    for node in normal.nodes:
        if any(edge is not None and edge.source in moving for edge in node.inputs):
            moving.add(node.id)
    return moving


def _edges(
    ours: tuple[Edge | None, ...],
    theirs: tuple[Edge | None, ...],
    operands: Iterable[tuple[int, int]],
) -> Iterator[tuple[Edge, Edge]]:
    for at, there in operands:
        x, y = ours[at], theirs[there]
        if x is not None and y is not None:
            yield x, y


def _transposed(matching: Matching, x: Edge, y: Edge) -> View | None:
    """The first model's square result as the second's stands, where one is read transposed."""
    shapes = [
        side.nodes[edge.source].outputs[edge.output].shape
        for side, edge in ((matching.first, x), (matching.second, y))
    ]
    if x.view is None or y.view is None or shapes[0] != shapes[1] or not _square(shapes[0]):
        return None
    turned = View.of(shapes[0]).transpose((1, 0))
    if x.view.shape == y.view.shape and turned.then(y.view).same(x.view):
        return turned
    return None


def _square(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[0] == shape[1]


def _walk(
    matching: Matching, held: dict[int, Match], ours: int, theirs: int, turned: _Turned
) -> bool:
    """Notes what a result is made of, side by side; whether no parameter has two counterparts."""
    one, other = matching.first.nodes[ours], matching.second.nodes[theirs]
    if one.op == other.op == "Parameter":
        if _square(one.outputs[0].shape) and one.outputs[0].shape == other.outputs[0].shape:
            return turned.names.setdefault(one.name, other.name) == other.name
        return True
    if one.leaf or other.leaf:
        return True
    turned.below.add(ours)
    known = held.get(ours)
    operands: Iterable[tuple[int, int]] = ()
    if one.op == other.op == "MatMul" and len(one.inputs) == len(other.inputs) == 2:
        operands = ((0, 1), (1, 0))  # (a b) transposed is b transposed by a transposed
    elif known is not None and known.second == theirs:
        operands = known.operands or (
            (at, at) for at in range(min(len(one.inputs), len(other.inputs)))
        )
    elif len(one.inputs) == len(other.inputs) == 1:
        operands = ((0, 0),)
    return all(
        _walk(matching, held, x.source, y.source, turned)
        for x, y in _edges(one.inputs, other.inputs, operands)
    )


# -- what follows


def _row(matching: Matching, name: str, other: str) -> ParameterRow:
    shape = matching.first.graph.parameters[name].type.shape
    pieces = (Piece(other, View.of(shape), View.of(shape).transpose((1, 0))),)
    return ParameterRow(name, pieces, describe(pieces, shape, {other: shape}), CONFIDENCE, REASON)


def _points(matching: Matching, tops: dict[int, View], below: set[int]) -> Iterator[Point]:
    """The points, those of such results turned, and none of what they are made by."""
    for point in matching.points:
        node = matching.matches[point.match].first if point.match >= 0 else -1
        if node in tops:
            location = matching.first.nodes[node].locations[0]
            if location is not None:
                shape = point.second_view.shape
                view = location.view.then(tops[node])
                yield replace(point, first_view=view.reshape(shape))
        elif node not in below:
            yield point
