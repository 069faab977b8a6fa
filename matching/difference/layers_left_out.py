"""Whole layers that one side has more between the same values: a Linear and its activation beside
the Linear that both have.

Two products without an activation between them may be one product elsewhere, and as many weights
may be dealt out otherwise: what is told here is neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.difference.compared import Compared

__all__ = ["layers_left_out"]


def layers_left_out(
    compared: Compared, nodes: tuple[int, ...], others: tuple[int, ...]
) -> tuple[int, tuple[int, ...]] | None:
    """The side that has more, 0 or 1, and the nodes that it has more; None where that is not told.

    Args:
        compared: the matching.
        nodes, others: open operations of the first and of the second side between the same values.
    """
    side = 0 if len(nodes) > len(others) else 1
    more, fewer = (nodes, others) if side == 0 else (others, nodes)
    graph, lacking = compared.graphs[side], compared.graphs[1 - side]
    having = [graph.nodes[node] for node in more]
    wanting = [lacking.nodes[node] for node in fewer]
    kept = _counterparts(having, wanting)
    if kept is None:
        return None
    rest = tuple(node for node in more if node not in kept)
    if rest and not _numbers(graph, rest[0]):
        # as well a layer with the activation behind it as one with that before it
        other = _counterparts(having[::-1], wanting[::-1]) or kept
        turned = tuple(node for node in more if node not in other)
        rest = turned if _numbers(graph, turned[0]) else rest
    if not _in_one_place(more, rest):
        return None  # several layers like others: which of them are left out is anybody's guess
    active = any(traits(graph.nodes[node].op).family == "activation" for node in rest)
    weighted = sum(_numbers(graph, node) for node in more)
    if not active or weighted <= sum(_numbers(lacking, node) for node in fewer):
        return None
    return (side, rest) if any(_numbers(graph, node) for node in rest) else None


def _in_one_place(nodes: tuple[int, ...], some: tuple[int, ...]) -> bool:
    """Whether some nodes follow each other without others between."""
    places = [place for place, node in enumerate(nodes) if node in some]
    return bool(places) and places[-1] - places[0] + 1 == len(places)


def _counterparts(more: Sequence[NormalNode], fewer: Sequence[NormalNode]) -> set[int] | None:
    """The nodes of the longer side that the shorter one has too: of the same operator, the last
    ones first, those that yield as much before others; in their order where they stand in it."""
    return _in_order(more, fewer) or _in_any_order(more, fewer)


def _in_order(more: Sequence[NormalNode], fewer: Sequence[NormalNode]) -> set[int] | None:
    kept: set[int] = set()
    left = list(more)
    for node in reversed(fewer):
        while left and (left[-1].op, left[-1].outputs) != (node.op, node.outputs):
            left.pop()
        if not left:
            return None
        kept.add(left.pop().id)
    return kept


def _in_any_order(more: Sequence[NormalNode], fewer: Sequence[NormalNode]) -> set[int] | None:
    kept: set[int] = set()
    for node in reversed(fewer):
        like = [each for each in more if each.op == node.op and each.id not in kept]
        alike = [each for each in like if each.outputs == node.outputs] or like
        if not alike:
            return None
        kept.add(alike[-1].id)
    return kept


def _numbers(graph: NormalGraph, number: int) -> int:
    """How many numbers of parameters an operation reads."""
    sources = {edge.source for edge in graph.nodes[number].inputs if edge is not None}
    owned = [graph.nodes[source] for source in sources]
    return sum(node.outputs[0].size for node in owned if node.op == "Parameter" and node.outputs)
