"""From matches to points: which elements of two native tensors are one value, and which elements of two
parameters are read alike.

The layout of every matched value follows from the layouts of its operands, from the inputs on. A
layout is called certain where it follows; where an operand has no counterpart it is assumed from the
shapes and the point says so by a lower confidence.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import Stage, View
from padiff_graph.capture.normal.traits import STATIC_LEAVES, attributes_equal, traits
from padiff_graph.matching.difference.part_order import exchangeable
from padiff_graph.matching.parameters.layouts import fits, related
from padiff_graph.matching.parameters.operand_call import Call
from padiff_graph.matching.parameters.relations import (
    axis_orders,
    identity,
    operand_relation,
    parts,
    product,
)
from padiff_graph.matching.result import Match, Matching, Point

__all__ = ["Layout", "Reading", "lay_out"]

ASSUMED = 0.7
"""Share of the confidence that is left where a layout is assumed from shapes."""
MADE = 0.9
"""Share of the confidence for parameters that an operand is computed from."""
FEATURES = 1 << 22
"""Largest operand whose order of features is read off element by element."""


class Reading(NamedTuple):
    """Two parameters read alike by a matched pair: first[first_view] == second[second_view]."""

    first: str
    second: str
    first_view: View
    second_view: View
    confidence: float
    match: int
    certain: bool
    """Whether the order of the elements follows from the layouts (True) or was assumed."""


@dataclass
class Layout:
    """What follows from the matches of two models.

    Attributes:
        relations: of every matched value with a known layout, by (first node, output).
        points: matched native values.
        readings: parameters that matched operations read.
    """

    relations: dict[tuple[int, int], View] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    assumed: set[tuple[int, int]] = field(default_factory=set)


@without_collection()
def lay_out(matching: Matching, inputs: Mapping[str, View] | None = None) -> Layout:
    """Derives points and readings from the matches.

    Args:
        matching: matches of both graphs' nodes, in any order.
        inputs: the relation of each input leaf of the first model whose layout is not that of equal
            shapes (found by comparing values).
    """
    return _Walk(matching, inputs or {}).walk()


class _Walk:
    def __init__(self, matching: Matching, inputs: Mapping[str, View]) -> None:
        self.first, self.second = matching.first, matching.second
        self.inputs = inputs
        self.matches = matching.matches
        self.at: dict[int, int] = {match.first: index for index, match in enumerate(self.matches)}
        self.partner = {match.first: match.second for match in self.matches}
        self.users = self.first.users()
        self.second_users = self.second.users()
        self.static = _static(self.first), _static(self.second)
        self.layout = Layout()

    def walk(self) -> Layout:
        for node in self.first.nodes:
            index = self.at.get(node.id)
            if index is not None:
                self._match(index, self.matches[index])
        return self.layout

    # -- one matched pair

    def _match(self, index: int, match: Match) -> None:
        one, other = self.first.nodes[match.first], self.second.nodes[match.second]
        if one.leaf or other.leaf:
            relation = self._leaf(one, other)
            if relation is not None:
                self.layout.relations[one.id, 0] = relation
            if one.op == other.op == "Input":
                self._point(index, match, 0, relation, True)
            return
        call, certain, pairs = self._call(match, one, other)
        found = related(call)
        if (
            found[0] is not None
            and one.op in ("Linear", "Conv")
            and one.op == other.op
            and call.features is None
        ):
            features = self._features(one, other, found[0])
            if features is not None:
                call.features = features
                call.parameters.clear()
                found = related(call)
        for output, relation in enumerate(found):
            if relation is not None:
                self.layout.relations[one.id, output] = relation
                if not certain:
                    self.layout.assumed.add((one.id, output))
            self._point(index, match, output, relation, certain)
        self._readings(index, match, one, other, call, pairs, certain)

    def _leaf(self, one: NormalNode, other: NormalNode) -> View | None:
        if not one.outputs or not other.outputs:
            return None
        shapes = one.outputs[0].shape, other.outputs[0].shape
        if one.op == other.op == "Input":
            told = self.inputs.get(one.name)
            if (
                told is not None
                and told.source == math.prod(shapes[0])
                and told.size == math.prod(shapes[1])
            ):
                return View(told.source, shapes[1], told.stages)
            return _assumed(*shapes)
        if one.op == "Constant" and other.op == "Constant":
            return _constants(one, other)
        return None

    def _call(
        self, match: Match, one: NormalNode, other: NormalNode
    ) -> tuple[Call, bool, list[tuple[int, int]]]:
        pairs = [
            (k, m)
            for k, m in (match.operands or _in_order(one, other))
            if k < len(one.inputs) and m < len(other.inputs)
        ]
        pairs = [
            (k, m) for k, m in pairs if one.inputs[k] is not None and other.inputs[m] is not None
        ]
        relations: list[View | None] = []
        first_shapes, second_shapes = [], []
        certain = True
        for k, m in pairs:
            mine, theirs = one.inputs[k], other.inputs[m]
            assert mine is not None and theirs is not None
            first_shapes.append(_operand_shape(self.first, mine))
            second_shapes.append(_operand_shape(self.second, theirs))
            relation, sure = self._operand(mine, theirs, first_shapes[-1], second_shapes[-1])
            relations.append(relation)
            certain = certain and sure
        return (
            Call(one, other, first_shapes, second_shapes, relations, [k for k, _ in pairs]),
            certain,
            pairs,
        )

    def _operand(
        self, mine: Edge, theirs: Edge, shape: tuple[int, ...], other: tuple[int, ...]
    ) -> tuple[View | None, bool]:
        """The relation of two operands and whether it follows."""
        if self.static[0][mine.source] and self.static[1][theirs.source]:
            relation = (
                self.layout.relations.get((mine.source, mine.output))
                if self.partner.get(mine.source) == theirs.source
                else None
            )
            if relation is None or mine.view is None or theirs.view is None:
                return None, True
            return operand_relation(mine.view, theirs.view, relation), True
        if (
            self.partner.get(mine.source) == theirs.source
            and mine.output == theirs.output
            and mine.view is not None
            and theirs.view is not None
        ):
            relation = self.layout.relations.get((mine.source, mine.output))
            if relation is not None:
                found = operand_relation(mine.view, theirs.view, relation)
                return (
                    (found, (mine.source, mine.output) not in self.layout.assumed)
                    if found is not None
                    else (None, False)
                )
        return _assumed(shape, other), False

    def _features(self, one: NormalNode, other: NormalNode, plain: View) -> View | None:
        """The order of output features that the consumers need, where it is not the plain one.

        Heads interleaved on one side, in blocks on the other: no permutation of axes relates what the
        consumers read, but one of features does.
        """
        shape = other.outputs[0].shape
        if not shape:
            return None
        axis = traits(one.op).features % len(shape)
        wide = shape[axis]
        inner = math.prod(shape[axis + 1 :])
        outer = math.prod(shape[:axis])
        pieces = parts(
            plain, (outer, wide, inner), (range(axis), (axis,), range(axis + 1, len(shape)))
        )
        if pieces is None:
            return None
        order = np.full(wide, -1, np.int64)
        refused = []
        for consumer, mine, theirs in self._consumers(one, other):
            if fits(consumer, operand_relation(mine, theirs, plain), (mine.shape, theirs.shape)):
                continue
            if mine.size > FEATURES or mine.padded or theirs.padded:
                return None
            reads, read = mine.indices() // inner % wide, theirs.indices() // inner % wide
            order[read] = reads
            if not np.array_equal(order[read], reads):
                return None
            refused.append((consumer, mine, theirs))
        free, taken = np.flatnonzero(order < 0), set(order.tolist())
        if not refused or any(int(feature) in taken for feature in free):
            return None
        order[free] = free
        if len(np.unique(order)) != wide:
            return None
        features = View(wide, (wide,), (Stage((wide,), (tuple(order.tolist()),)).merged(),))
        trial = (
            product([pieces[0], features, pieces[2]])
            if inner > 1
            else product([pieces[0], features])
        )
        trial = View(trial.source, shape, trial.stages)
        if all(
            fits(consumer, operand_relation(mine, theirs, trial), (mine.shape, theirs.shape))
            for consumer, mine, theirs in refused
        ):
            return features
        return None

    def _consumers(
        self, one: NormalNode, other: NormalNode
    ) -> Iterator[tuple[NormalNode, View, View]]:
        """Matched operations that read both results at corresponding positions, with what each reads."""
        for consumer, position in self.users[one.id]:
            index = self.at.get(consumer)
            if index is None:
                continue
            match = self.matches[index]
            mine, reader = self.first.nodes[consumer], self.second.nodes[match.second]
            for k, m in match.operands or _in_order(mine, reader):
                theirs = reader.inputs[m] if m < len(reader.inputs) else None
                own = mine.inputs[position]
                if (
                    k != position
                    or theirs is None
                    or own is None
                    or theirs.source != other.id
                    or own.view is None
                    or theirs.view is None
                    or own.view.size != theirs.view.size
                ):
                    continue
                if exchangeable(mine) and not attributes_equal(own.scale, theirs.scale):
                    continue  # another part, whatever it reads
                yield mine, own.view, theirs.view

    # -- what follows

    def _point(
        self, index: int, match: Match, output: int, relation: View | None, certain: bool
    ) -> None:
        one, other = self.first.nodes[match.first], self.second.nodes[match.second]
        if output >= len(one.locations) or output >= len(other.locations):
            return
        here, there = one.locations[output], other.locations[output]
        if here is None or there is None or here.view.padded or there.view.padded:
            return
        if not (
            math.isclose(here.scale, there.scale, rel_tol=1e-5)
            and math.isclose(here.shift, there.shift, rel_tol=1e-5)
        ):
            return
        confidence = match.confidence if certain else match.confidence * ASSUMED
        if relation is None:
            shapes = one.outputs[output].shape, other.outputs[output].shape
            relation = _assumed(*shapes)
            confidence = match.confidence * ASSUMED
            if relation is None:
                if math.prod(shapes[0]) != math.prod(shapes[1]):
                    self.layout.points.append(
                        Point(here.value, here.view, there.value, there.view, confidence, index)
                    )
                return
        self.layout.points.append(
            Point(
                here.value,
                here.view.then(relation).reshape(there.view.shape),
                there.value,
                there.view,
                confidence,
                index,
            )
        )

    def _readings(
        self,
        index: int,
        match: Match,
        one: NormalNode,
        other: NormalNode,
        call: Call,
        pairs: list[tuple[int, int]],
        certain: bool,
    ) -> None:
        for pair, (k, m) in enumerate(pairs):
            mine, theirs = one.inputs[k], other.inputs[m]
            if mine is None or theirs is None or mine.view is None or theirs.view is None:
                continue
            source, target = self.first.nodes[mine.source], self.second.nodes[theirs.source]
            if {source.op, target.op} == {"Parameter", "Concat"}:
                self._joined(index, match, mine, theirs, call.parameters.get(pair))
                continue
            if source.op != "Parameter" or target.op != "Parameter":
                if (
                    not source.leaf
                    and not target.leaf
                    and self.static[0][source.id]
                    and self.static[1][target.id]
                ):
                    self._made(index, match, source, target)
                continue
            relation, sure = call.parameters.get(pair), True
            if relation is None:
                relation, sure = _assumed(call.first_shapes[pair], call.second_shapes[pair]), False
            if (
                relation is None
                or relation.source != mine.view.size
                or relation.size != theirs.view.size
            ):
                continue
            first_view = mine.view.then(relation.reshape(theirs.view.shape))
            confidence = match.confidence if sure else match.confidence * ASSUMED
            self.layout.readings.append(
                Reading(
                    source.name,
                    target.name,
                    first_view,
                    theirs.view,
                    confidence,
                    index,
                    sure and (certain or not first_view.stages),
                )
            )

    def _joined(
        self, index: int, match: Match, mine: Edge, theirs: Edge, relation: View | None
    ) -> None:
        """Parameters that stand behind one another on one side and are one on the other."""
        relation = (
            _assumed(_operand_shape(self.first, mine), _operand_shape(self.second, theirs))
            if relation is None
            else relation
        )
        if (
            relation is None
            or mine.view is None
            or theirs.view is None
            or relation.source != mine.view.size
            or relation.size != theirs.view.size
        ):
            return
        # first[one.at(q)] == second[other.at(q)] for every q
        one, other = mine.view.then(relation.reshape(theirs.view.shape)), theirs.view
        source, target = self.first.nodes[mine.source], self.second.nodes[theirs.source]
        parted = source.op == "Concat"
        whole = source if parted else target
        back = (one if parted else other).inverse(whole.outputs[0].shape)
        if back is None:
            return
        along = (other if parted else one).then(back)
        start, axis = 0, whole.attrs["axis"]
        for edge in whole.inputs:
            part = (
                None if edge is None else (self.first if parted else self.second).nodes[edge.source]
            )
            if (
                edge is None
                or part is None
                or edge.view is None
                or part.op != "Parameter"
                or (edge.scale, edge.shift) != (1.0, 0.0)
            ):
                return
            extent = edge.view.shape[axis]
            taken = along.take(axis, range(start, start + extent))
            start += extent
            pair = (
                (part.name, target.name, edge.view, taken)
                if parted
                else (source.name, part.name, taken, edge.view)
            )
            self.layout.readings.append(Reading(*pair, match.confidence, index, True))

    def _made(self, index: int, match: Match, source: NormalNode, target: NormalNode) -> None:
        """Parameters that an operand is computed from (the magnitude and direction of weight_norm), where
        each side has exactly one of a shape."""
        mine, theirs = _makers(self.first, source), _makers(self.second, target)
        inside = {node.id for node in theirs}
        if any(
            self.partner[node.id] not in inside
            for node in mine
            if not node.leaf and node.id in self.partner
        ):
            return
        ours, others = (
            [node for node in side if node.op == "Parameter"] for side in (mine, theirs)
        )
        for one in ours:
            shape = one.outputs[0].shape
            alike = [
                node for node in others if _squeezed(node.outputs[0].shape) == _squeezed(shape)
            ]
            if (
                len(alike) != 1
                or sum(_squeezed(node.outputs[0].shape) == _squeezed(shape) for node in ours) != 1
            ):
                continue
            other = alike[0].outputs[0].shape
            relation = identity(shape, other)
            if relation is not None:
                self.layout.readings.append(
                    Reading(
                        one.name,
                        alike[0].name,
                        relation,
                        View.of(other),
                        match.confidence * MADE,
                        index,
                        True,
                    )
                )


def _makers(graph: NormalGraph, node: NormalNode) -> list[NormalNode]:
    """Everything that a node is computed from, itself included."""
    found: dict[int, NormalNode] = {}
    todo = [node.id]
    while todo:
        at = todo.pop()
        if at not in found:
            found[at] = graph.nodes[at]
            todo.extend(edge.source for edge in graph.nodes[at].inputs if edge is not None)
    return list(found.values())


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)


def _in_order(one: NormalNode, other: NormalNode) -> tuple[tuple[int, int], ...]:
    return tuple(
        (position, position) for position in range(min(len(one.inputs), len(other.inputs)))
    )


def _operand_shape(graph: NormalGraph, edge: Edge) -> tuple[int, ...]:
    if edge.view is not None:
        return edge.view.shape
    outputs = graph.nodes[edge.source].outputs
    return outputs[edge.output].shape if edge.output < len(outputs) else ()


def _assumed(first: tuple[int, ...], second: tuple[int, ...]) -> View | None:
    """The relation that shapes suggest: the same, or the only order of axes there is."""
    if [extent for extent in first if extent != 1] == [extent for extent in second if extent != 1]:
        return identity(first, second)
    orders = []
    for order in axis_orders(first, second):
        orders.append(order)
        if len(orders) > 1:
            return None
    return orders[0] if orders else None


def _constants(one: NormalNode, other: NormalNode) -> View | None:
    shapes = one.outputs[0].shape, other.outputs[0].shape
    plain = _assumed(*shapes)
    if one.constant is None or other.constant is None or plain is None:
        return plain
    mine, theirs = np.asarray(one.constant).reshape(-1), np.asarray(other.constant).reshape(-1)
    for order in (plain, *axis_orders(*shapes)):
        if mine.size <= 1 or np.array_equal(order.apply(mine).reshape(-1), theirs):
            return order
    return plain


def _static(graph: NormalGraph) -> list[bool]:
    """Which nodes depend on parameters and constants only."""
    static: list[bool] = []
    for node in graph.nodes:
        sources = [edge.source for edge in node.inputs if edge is not None]
        static.append(
            node.op in STATIC_LEAVES
            or (node.op != "Input" and bool(sources) and all(static[source] for source in sources))
        )
    return static


def groups(readings: list[Reading]) -> dict[str, list[Reading]]:
    """Readings by the first model's parameter."""
    found: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        found[reading.first].append(reading)
    return found
