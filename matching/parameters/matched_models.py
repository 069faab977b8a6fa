"""Two models with their matches, as the walk over matched values needs them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.operand_call import Call, Shape
from padiff_graph.matching.parameters.relations import axis_orders, identity, squeezed
from padiff_graph.matching.result import Match, Matching
from padiff_graph.matching.weights_only import weights_only

__all__ = ["ASSUMED", "MatchedModels", "MatchedPair", "assumed", "operand_shape", "positions"]

ASSUMED = 0.7
"""Share of the confidence that is left where a layout is assumed from shapes: chosen so that even a
certain match (1.0) with an assumed layout does not count as one that bears out others (0.8)."""


class MatchedModels:
    """Both graphs and which nodes are matched.

    Attributes:
        first, second: the graphs.
        matches: as `Matching.matches`.
        at: first-side node -> position of its match.
        partner: first-side node -> second-side node.
        users: for each first-side node its consumers, as (node, operand position).
        static: for each side which nodes depend on parameters and constants only.
        read: for each side and node which of its results are read.
        answers: what rules of layouts answered (results, parameters), by what they were asked:
            models repeat their blocks.
    """

    def __init__(self, matching: Matching) -> None:
        self.first, self.second = matching.first, matching.second
        self.matches = matching.matches
        self.at = {match.first: index for index, match in enumerate(self.matches)}
        self.partner = matching.partner()
        self.users = self.first.users()
        self.static = weights_only(self.first), weights_only(self.second)
        self.read = _read(self.first, self.second), _read(self.second, self.first)
        self.answers: dict[Hashable, tuple[list[View | None], dict[int, View]]] = {}


def _read(graph: NormalGraph, other: NormalGraph) -> list[set[int]]:
    """Which results of each node are read; not where they are only returned besides all that the
    other model returns, which says nothing of how that reads them."""
    further = graph.outputs.keys() - other.outputs.keys()
    besides = further if graph.outputs.keys() > other.outputs.keys() else frozenset()
    returned = (edge for name, edge in graph.outputs.items() if name not in besides)
    read: list[set[int]] = [set() for _ in graph.nodes]
    operands = (node.inputs for node in graph.nodes)
    for edges in (*operands, returned, graph.updates.values()):
        for edge in edges:
            if edge is not None:
                read[edge.source].add(edge.output)
    return read


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """A matched pair of operations, and what is known of it.

    Attributes:
        index: position of the match among all.
        first, second: the nodes.
        call: its operands with their relations, and those that follow for parameters.
        operands: (first position, second position) of each pair of operands of the call.
        certain: whether every operand's relation follows from the layouts of its source.
    """

    index: int
    match: Match
    first: NormalNode
    second: NormalNode
    call: Call
    operands: tuple[tuple[int, int], ...]
    certain: bool

    def edges(self) -> Iterator[tuple[int, Edge, Edge]]:
        """Each pair of operands: its position among them, and what each side reads."""
        for pair, (position, other) in enumerate(self.operands):
            mine, theirs = self.first.inputs[position], self.second.inputs[other]
            if mine is not None and theirs is not None:
                yield pair, mine, theirs


def positions(match: Match, first: NormalNode, second: NormalNode) -> tuple[tuple[int, int], ...]:
    """Which operand stands for which: as the match says, else in order."""
    count = min(len(first.inputs), len(second.inputs))
    return match.operands or tuple((position, position) for position in range(count))


def operand_shape(graph: NormalGraph, edge: Edge) -> Shape:
    """The shape in which an operand is read."""
    if edge.view is not None:
        return edge.view.shape
    outputs = graph.nodes[edge.source].outputs
    return outputs[edge.output].shape if edge.output < len(outputs) else ()


def assumed(first: Shape, second: Shape) -> View | None:
    """The relation that shapes suggest: the same, or the only order of axes there is."""
    if squeezed(first) == squeezed(second):
        return identity(first, second)
    orders = iter(axis_orders(first, second))
    only = next(orders, None)
    return only if next(orders, None) is None else None
