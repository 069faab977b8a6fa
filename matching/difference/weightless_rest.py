"""What one side computes more than the other, where both apply the same weights between the same
values: a rotation of queries that is skipped leaves the other side the projection alone.
"""

from __future__ import annotations

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.difference.compared import Compared

__all__ = ["BESIDE", "weightless_rest"]

BESIDE = "beside"
"""The fact that names what both sides have."""
_Applied = frozenset[tuple[str, str]]
"""Weights by the second model's name, with the operator that reads them."""


def weightless_rest(
    compared: Compared, nodes: tuple[int, ...], others: tuple[int, ...]
) -> tuple[int, tuple[int, ...]] | None:
    """The side that has more, 0 or 1, and the nodes that it has more; None where that is not told.

    Args:
        compared: the matching.
        nodes, others: open operations of the first and of the second side between the same values.
    """
    first = {node: _applied(compared, 0, node) for node in nodes}
    second = {node: _applied(compared, 1, node) for node in others}
    both = {pair for applied in first.values() for pair in applied}
    if both != {pair for applied in second.values() for pair in applied}:
        return None
    rests = [
        tuple(node for node, applied in side.items() if not applied) for side in (first, second)
    ]
    if bool(rests[0]) == bool(rests[1]):
        return None
    side = 0 if rests[0] else 1
    return side, rests[side]


def _applied(compared: Compared, side: int, number: int) -> _Applied:
    """The weights that an operation reads."""
    graph = compared.graphs[side]
    names = _weights(graph, number)
    if side == 0:
        names = {name for own in names for name in compared.rows.get(own, frozenset({own}))}
    return frozenset((graph.nodes[number].op, name) for name in names)


def _weights(graph: NormalGraph, number: int) -> set[str]:
    sources = {edge.source for edge in graph.nodes[number].inputs if edge is not None}
    return {graph.nodes[source].name for source in sources if graph.nodes[source].op == "Parameter"}
