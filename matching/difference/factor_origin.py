"""Where a factor that one side has too many of was multiplied.

In the normal form a factor stands on an edge, and moves on to the readers of whatever is linear in
it. A difference of factors shows where it came to rest; this finds the operation that made it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.normal.traits import Scale, attributes_equal, traits
from padiff_graph.matching.result import Difference

__all__ = ["at_its_origin"]

BEHIND = 32
"""Most operands that are looked behind."""


@dataclass(frozen=True, slots=True)
class _Factor:
    """A native operation that multiplies by a constant, and the normal-form node whose result it
    multiplies."""

    native: int
    factor: float
    source: int


def at_its_origin(
    found: Difference,
    graphs: tuple[NormalGraph, NormalGraph],
    partners: tuple[Mapping[int, int], Mapping[int, int]],
    pairs: Sequence[tuple[Edge, Edge]],
) -> Difference:
    """The difference at the operations whose factors the other side has not.

    `pairs` are the operands in question, `partners` lead from each side's nodes to the other's.
    """
    factors = [
        [one for edge in edges for one in _behind(graphs[side], edge)]
        for side, edges in enumerate(([x for x, _ in pairs], [y for _, y in pairs]))
    ]
    for one in list(factors[0]):
        same = next(
            (other for other in factors[1] if attributes_equal(one.factor, other.factor)), None
        )
        if same is not None:
            factors[0].remove(one)
            factors[1].remove(same)
    ratio = math.prod(x.scale for x, _ in pairs) / (math.prod(y.scale for _, y in pairs) or 1.0)
    native, paths = [-1, -1], [found.first_path, found.second_path]
    for side in (0, 1):
        wanted = ratio if side == 0 else (1.0 / ratio if ratio else 0.0)
        own = next(
            (one for one in factors[side] if attributes_equal(one.factor, wanted)),
            factors[side][0] if factors[side] else None,
        )
        if own is None:
            continue
        native[side], paths[side] = own.native, graphs[side].graph.record(own.native).path
        other = partners[side].get(own.source)
        if not factors[1 - side] and other is not None and not graphs[1 - side].nodes[other].leaf:
            paths[1 - side] = graphs[1 - side].nodes[other].path
    if native == [-1, -1]:
        return found
    return dataclasses.replace(
        found, native=(native[0], native[1]), first_path=paths[0], second_path=paths[1]
    )


def _behind(graph: NormalGraph, edge: Edge) -> list[_Factor]:
    """Factors on an edge, and on the operands of what hands factors on; the nearest first."""
    found: dict[int, _Factor] = {}
    waiting, seen = [edge], {edge.source}
    for at in range(BEHIND):
        if at >= len(waiting):
            break
        current = waiting[at]
        node = graph.nodes[current.source]
        for native in (*reversed(current.through), *reversed(node.native)):
            if native in graph.factors:
                found.setdefault(native, _Factor(native, graph.factors[native], current.source))
        if traits(node.op).scale is not Scale.STAYS:
            for operand in node.inputs:
                if (
                    operand is not None
                    and operand.source not in seen
                    and not graph.nodes[operand.source].leaf
                ):
                    seen.add(operand.source)
                    waiting.append(operand)
    return list(found.values())
