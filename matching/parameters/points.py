"""From matches to points: which elements of two native tensors are one value, and which elements of
two parameters are read alike.

The layout of every matched value follows from the layouts of its operands, from the inputs on. A
layout is called certain where it follows; where an operand has no counterpart it is assumed from
the shapes and the point says so by a lower confidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.form import Edge, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import Layout as Layouts
from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.parameters.feature_order import feature_order
from padiff_graph.matching.parameters.layouts import related
from padiff_graph.matching.parameters.matched_models import (
    ASSUMED,
    MatchedModels,
    MatchedPair,
    assumed,
    operand_shape,
    positions,
)
from padiff_graph.matching.parameters.operand_call import Call, Shape
from padiff_graph.matching.parameters.readings import Reading, readings
from padiff_graph.matching.parameters.relations import axis_orders, operand_relation
from padiff_graph.matching.result import Match, Matching, Point

__all__ = ["Layout", "Reading", "lay_out"]

SAME_SCALE = 1e-5
"""Relative difference up to which factors and shifts of two values are the same: both frameworks
keep them in float32 (about 1e-7), and what folding them adds stays below this."""


@dataclass
class Layout:
    """What follows from the matches of two models.

    Attributes:
        relations: of every matched value with a known layout, by (first node, output).
        points: matched native values.
        readings: parameters that matched operations read.
        assumed: the values whose layout was assumed.
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
    models = MatchedModels(matching)
    layout = Layout()
    for node in models.first.nodes:
        index = models.at.get(node.id)
        if index is None:
            continue
        match = models.matches[index]
        partner = models.second.nodes[match.second]
        if node.leaf or partner.leaf:
            _leaf(layout, index, match, (node, partner), inputs or {})
        else:
            pair = _pair(models, layout, index, (node, partner))
            _results(models, layout, pair)
            layout.readings.extend(readings(models, pair))
    return layout


# -- leaves


def _leaf(
    layout: Layout,
    index: int,
    match: Match,
    nodes: tuple[NormalNode, NormalNode],
    inputs: Mapping[str, View],
) -> None:
    """The relation of inputs and constants; inputs are points."""
    first, second = nodes
    relation = None
    if first.op == second.op == "Input":
        relation = _inputs(first, second, inputs.get(first.name))
    elif first.op == second.op == "Constant" and first.outputs and second.outputs:
        relation = _constants(first, second)
    if relation is not None:
        layout.relations[first.id, 0] = relation
    if first.op == second.op == "Input":
        layout.points.extend(_point(index, match, nodes, 0, relation, True))


def _inputs(first: NormalNode, second: NormalNode, told: View | None) -> View | None:
    """The relation of two inputs: what is told where it fits, else what shapes suggest."""
    if not first.outputs or not second.outputs:
        return None
    shapes = first.outputs[0].shape, second.outputs[0].shape
    if told is not None and (told.source, told.size) == tuple(map(math.prod, shapes)):
        return View(told.source, shapes[1], told.stages)
    return assumed(*shapes)


def _constants(first: NormalNode, second: NormalNode) -> View | None:
    """The order of axes in which two constants are equal; what shapes suggest where none is."""
    shapes = first.outputs[0].shape, second.outputs[0].shape
    plain = assumed(*shapes)
    if first.constant is None or second.constant is None or plain is None:
        return plain
    mine, theirs = (np.asarray(node.constant).reshape(-1) for node in (first, second))
    for order in (plain, *axis_orders(*shapes)):
        if mine.size <= 1 or np.array_equal(order.apply(mine).reshape(-1), theirs):
            return order
    return plain


# -- operands


def _pair(
    models: MatchedModels, layout: Layout, index: int, nodes: tuple[NormalNode, NormalNode]
) -> MatchedPair:
    """A matched pair with the relations of its operands."""
    first, second = nodes
    match = models.matches[index]
    call = Call(first, second, [], [], [], [])
    operands = []
    certain = True
    for position, other in positions(match, first, second):
        if position >= len(first.inputs) or other >= len(second.inputs):
            continue
        mine, theirs = first.inputs[position], second.inputs[other]
        if mine is None or theirs is None:
            continue
        shapes = operand_shape(models.first, mine), operand_shape(models.second, theirs)
        relation, follows = _operand(models, layout, (mine, theirs), shapes)
        call.first_shapes.append(shapes[0])
        call.second_shapes.append(shapes[1])
        call.relations.append(relation)
        call.roles.append(position)
        operands.append((position, other))
        certain = certain and follows
    return MatchedPair(index, match, first, second, call, tuple(operands), certain)


def _operand(
    models: MatchedModels, layout: Layout, edges: tuple[Edge, Edge], shapes: tuple[Shape, Shape]
) -> tuple[View | None, bool]:
    """The relation of two operands and whether it follows."""
    mine, theirs = edges
    static = models.static[0][mine.source] and models.static[1][theirs.source]
    source = (mine.source, mine.output)
    relation = None
    if models.partner.get(mine.source) == theirs.source:
        relation = layout.relations.get(source)
    if not static and mine.output != theirs.output:
        relation = None
    if relation is None or mine.view is None or theirs.view is None:
        return (None, True) if static else (assumed(*shapes), False)
    operands = operand_relation(mine.view, theirs.view, relation)
    if static:
        return operands, True
    return operands, operands is not None and source not in layout.assumed


# -- results


def _results(models: MatchedModels, layout: Layout, pair: MatchedPair) -> None:
    """The relations and points of a pair's results.

    A recurrent layer yields the last state twice, as a result of its own and as the last step.
    Where the models do not read the same results, a cut between them and their readers would part
    what belongs together.
    """
    nodes = pair.first, pair.second
    alike = models.read[0][pair.first.id] == models.read[1][pair.second.id]
    cut = alike or traits(pair.first.op).layout is not Layouts.RECURRENT
    for output, relation in enumerate(_relations(models, pair)):
        if relation is not None:
            layout.relations[pair.first.id, output] = relation
            if not pair.certain:
                layout.assumed.add((pair.first.id, output))
        if cut:
            point = _point(pair.index, pair.match, nodes, output, relation, pair.certain)
            layout.points.extend(point)


def _relations(models: MatchedModels, pair: MatchedPair) -> list[View | None]:
    """The relations of the results, features in the order that consumers need."""
    results = _answered(models, pair.call)
    same = pair.first.op == pair.second.op
    if results[0] is None or not same or pair.first.op not in ("Linear", "Conv"):
        return results
    features = feature_order(models, pair.first, pair.second, results[0])
    if features is None:
        return results
    pair.call.features = features
    return _answered(models, pair.call)


def _answered(models: MatchedModels, call: Call) -> list[View | None]:
    """`related`, worked out once for all calls that ask the same."""
    asked = call.asked
    if asked not in models.answers:
        call.parameters = {}
        models.answers[asked] = related(call), call.parameters
    results, call.parameters = models.answers[asked]
    return results


def _point(
    index: int,
    match: Match,
    nodes: tuple[NormalNode, NormalNode],
    output: int,
    relation: View | None,
    certain: bool,
) -> Iterator[Point]:
    """The native values that hold a matched result, where both sides have one that holds it as it
    is."""
    first, second = nodes
    if output >= len(first.locations) or output >= len(second.locations):
        return
    here, there = first.locations[output], second.locations[output]
    if here is None or there is None or here.view.padded or there.view.padded:
        return
    if not math.isclose(here.scale, there.scale, rel_tol=SAME_SCALE):
        return
    if not math.isclose(here.shift, there.shift, rel_tol=SAME_SCALE):
        return
    confidence = match.confidence
    if relation is None or not certain:
        confidence *= ASSUMED
    if relation is None:
        shapes = first.outputs[output].shape, second.outputs[output].shape
        relation = assumed(*shapes)
        if relation is None:
            if math.prod(shapes[0]) != math.prod(shapes[1]):
                yield Point(here.value, here.view, there.value, there.view, confidence, index)
            return
    first_view = here.view.then(relation).reshape(there.view.shape)
    yield Point(here.value, first_view, there.value, there.view, confidence, index)
