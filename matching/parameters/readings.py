"""Which elements of two parameters a matched pair of operations reads alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.matched_models import (
    ASSUMED,
    MatchedModels,
    MatchedPair,
    assumed,
    operand_shape,
)
from padiff_graph.matching.parameters.relations import identity, squeezed
from padiff_graph.matching.unique_keys import only_pairs

__all__ = ["Reading", "readings"]

MADE = 0.9
"""Share of the confidence for parameters that an operand is computed from: chosen so that they come
after parameters that are read as they are."""
JOINED = frozenset({("Parameter", "Concat"), ("Concat", "Parameter")})
"""A parameter, and several that are joined."""


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


def readings(models: MatchedModels, pair: MatchedPair) -> Iterator[Reading]:
    """What a matched pair says of the parameters that it reads."""
    for at, mine, theirs in pair.edges():
        if mine.view is None or theirs.view is None:
            continue
        source, target = models.first.nodes[mine.source], models.second.nodes[theirs.source]
        ops = source.op, target.op
        if ops == ("Parameter", "Parameter"):
            yield from _plain(pair, at, (mine.view, theirs.view), (source.name, target.name))
        elif ops in JOINED:
            yield from _joined(models, pair, mine, theirs, pair.call.parameters.get(at))
        elif _computed(models, source, target):
            yield from _made(models, pair, source, target)


def _plain(
    pair: MatchedPair, at: int, views: tuple[View, View], names: tuple[str, str]
) -> Iterator[Reading]:
    """A parameter on each side."""
    relation = pair.call.parameters.get(at)
    told = relation is not None
    if relation is None:
        relation = assumed(pair.call.first_shapes[at], pair.call.second_shapes[at])
    if relation is None or (relation.source, relation.size) != (views[0].size, views[1].size):
        return
    first_view = views[0].then(relation.reshape(views[1].shape))
    confidence = pair.match.confidence if told else pair.match.confidence * ASSUMED
    certain = told and (pair.certain or not first_view.stages)
    yield Reading(*names, first_view, views[1], confidence, pair.index, certain)


# -- parameters that stand behind one another on one side and are one on the other


def _joined(
    models: MatchedModels, pair: MatchedPair, mine: Edge, theirs: Edge, relation: View | None
) -> Iterator[Reading]:
    if relation is None:
        shapes = operand_shape(models.first, mine), operand_shape(models.second, theirs)
        relation = assumed(*shapes)
    if relation is None or mine.view is None or theirs.view is None:
        return
    if (relation.source, relation.size) != (mine.view.size, theirs.view.size):
        return
    # first[one.at(q)] == second[other.at(q)] for every q
    one, other = mine.view.then(relation.reshape(theirs.view.shape)), theirs.view
    source, target = models.first.nodes[mine.source], models.second.nodes[theirs.source]
    parted = source.op == "Concat"
    if parted:
        stretches = _stretches(models.first, source, one, other)
    else:
        stretches = _stretches(models.second, target, other, one)
    for part, read, taken in stretches:
        names, views = (part.name, target.name), (read, taken)
        if not parted:
            names, views = (source.name, part.name), (taken, read)
        yield Reading(*names, *views, pair.match.confidence, pair.index, True)


def _stretches(
    graph: NormalGraph, whole: NormalNode, read: View, other: View
) -> Iterator[tuple[NormalNode, View, View]]:
    """Each part of a concatenation: what is read of it, and of the other side's parameter.

    Args:
        read: of the concatenation.
        other: of the other side's parameter, element by element the same.
    """
    back = read.inverse(whole.outputs[0].shape)
    if back is None:
        return
    along = other.then(back)
    start, axis = 0, whole.attrs["axis"]
    for edge in whole.inputs:
        if edge is None or edge.view is None or (edge.scale, edge.shift) != (1.0, 0.0):
            return
        part = graph.nodes[edge.source]
        if part.op != "Parameter":
            return
        extent = edge.view.shape[axis]
        yield part, edge.view, along.take(axis, range(start, start + extent))
        start += extent


# -- parameters that an operand is computed from


def _computed(models: MatchedModels, source: NormalNode, target: NormalNode) -> bool:
    """Whether both sides compute an operand from parameters."""
    static = models.static[0][source.id] and models.static[1][target.id]
    return static and not source.leaf and not target.leaf


def _made(
    models: MatchedModels, pair: MatchedPair, source: NormalNode, target: NormalNode
) -> Iterator[Reading]:
    """Parameters that an operand is computed from (the magnitude and direction of weight_norm),
    where each side has exactly one of a shape."""
    mine, theirs = _makers(models.first, source), _makers(models.second, target)
    inside = {node.id for node in theirs}
    partners = {models.partner.get(node.id) for node in mine if not node.leaf} - {None}
    if not partners <= inside:
        return
    for first, second in only_pairs(_parameters_by_shape(mine), _parameters_by_shape(theirs)):
        one, other = models.first.nodes[first], models.second.nodes[second]
        shape = other.outputs[0].shape
        relation = identity(one.outputs[0].shape, shape)
        if relation is not None:
            views = relation, View.of(shape)
            confidence = pair.match.confidence * MADE
            yield Reading(one.name, other.name, *views, confidence, pair.index, True)


def _makers(graph: NormalGraph, node: NormalNode) -> list[NormalNode]:
    """Everything that a node is computed from, itself included."""
    makers: dict[int, NormalNode] = {}
    waiting = [node.id]
    while waiting:
        at = waiting.pop()
        if at not in makers:
            makers[at] = graph.nodes[at]
            waiting.extend(edge.source for edge in graph.nodes[at].inputs if edge is not None)
    return list(makers.values())


def _parameters_by_shape(nodes: list[NormalNode]) -> Iterator[tuple[tuple[int, ...], int]]:
    for node in nodes:
        if node.op == "Parameter":
            yield squeezed(node.outputs[0].shape), node.id
