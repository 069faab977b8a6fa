"""What sums and products read their operands with, where that tells the operands apart.

In `a - b` what is added and what is subtracted may look alike in all else. The factors of a sum
are those of what reads it alone: `-(b - a)` is `a - b`, so where all that reads a sum reads it with
a negative factor, both turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.matching.labels import DIGITS

__all__ = ["Factor", "Factors", "as_read", "operand_factors", "turned_sums"]

Factor = tuple[float, float]
"""By what an operand is multiplied, and what is added to it."""
Factors = tuple[Factor, ...]


def turned_sums(graph: NormalGraph) -> frozenset[int]:
    """The sums of what is added and what is subtracted that are read as their negative alone."""
    users = graph.users()
    outputs: dict[int, list[float]] = {}
    for edge in graph.outputs.values():
        outputs.setdefault(edge.source, []).append(edge.scale)
    turned: set[int] = set()
    for node in reversed(graph.nodes):
        if node.op != "Add" or not _mixed(node.inputs):
            continue
        read = [_scale(graph, turned, user, at) for user, at in users[node.id]]
        read += outputs.get(node.id, [])
        if read and max(read) < 0.0:
            turned.add(node.id)
    return frozenset(turned)


def as_read(edge: Edge, node: int, turned: Collection[int]) -> Edge:
    """An operand as it is where turned sums are taken for their negative."""
    if node not in turned and edge.source not in turned:
        return edge
    sign = -1.0 if node in turned else 1.0
    own = -sign if edge.source in turned else sign
    return edge._replace(scale=own * edge.scale, shift=sign * edge.shift)


def operand_factors(graph: NormalGraph, turned: Collection[int]) -> Mapping[int, Factors]:
    """For each sum and product that reads its operands in more than one way, the factor of each
    operand, by position."""
    found = {}
    for node in graph.nodes:
        if not node.commutative:
            continue
        factors = tuple(_factor(edge, node.id, turned) for edge in node.inputs)
        if len(set(factors)) > 1:
            found[node.id] = factors
    return found


def _factor(edge: Edge | None, node: int, turned: Collection[int]) -> Factor:
    if edge is None:
        return (0.0, 0.0)
    read = as_read(edge, node, turned)
    return _short(read.scale), _short(read.shift)


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _mixed(edges: Iterable[Edge | None]) -> bool:
    """Whether something is added and something subtracted."""
    return len({edge.scale < 0.0 for edge in edges if edge is not None}) > 1


def _scale(graph: NormalGraph, turned: Collection[int], node: int, position: int) -> float:
    """By what an operand is multiplied where the node is taken for its negative."""
    edge = graph.nodes[node].inputs[position]
    scale = edge.scale if edge is not None else 1.0
    return -scale if node in turned else scale
