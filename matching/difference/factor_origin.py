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
    difference: Difference,
    graphs: tuple[NormalGraph, NormalGraph],
    partners: tuple[Mapping[int, int], Mapping[int, int]],
    pairs: Sequence[tuple[Edge, Edge]],
) -> Difference:
    """The difference at the operations whose factors the other side has not.

    `pairs` are the operands in question, `partners` lead from each side's nodes to the other's.
    """
    factors = _unshared(
        [factor for first, _ in pairs for factor in _behind(graphs[0], first)],
        [factor for _, second in pairs for factor in _behind(graphs[1], second)],
    )
    surplus = _surplus(pairs)
    native, paths = [-1, -1], [difference.first_path, difference.second_path]
    for side in (0, 1):
        origin = _origin(factors[side], surplus[side])
        if origin is None:
            continue
        native[side], paths[side] = origin.native, graphs[side].graph.record(origin.native).path
        counterpart = partners[side].get(origin.source)
        if not factors[1 - side] and counterpart is not None:
            node = graphs[1 - side].nodes[counterpart]
            paths[1 - side] = paths[1 - side] if node.leaf else node.path
    if native == [-1, -1]:
        return difference
    return dataclasses.replace(
        difference, native=(native[0], native[1]), first_path=paths[0], second_path=paths[1]
    )


def _unshared(first: list[_Factor], second: list[_Factor]) -> tuple[list[_Factor], list[_Factor]]:
    """The factors of each side that the other has not."""
    own, rest = [], list(second)
    for factor in first:
        equal = (held for held in rest if attributes_equal(factor.factor, held.factor))
        same = next(equal, None)
        if same is None:
            own.append(factor)
        else:
            rest.remove(same)
    return own, rest


def _surplus(pairs: Sequence[tuple[Edge, Edge]]) -> tuple[float, float]:
    """The factor that each side has too many, if it is that side's."""
    first = math.prod(edge.scale for edge, _ in pairs)
    second = math.prod(edge.scale for _, edge in pairs)
    ratio = first / (second or 1.0)
    return ratio, 1.0 / ratio if ratio else 0.0


def _origin(factors: Sequence[_Factor], surplus: float) -> _Factor | None:
    """The factor that is the surplus, else the nearest."""
    exact = (factor for factor in factors if attributes_equal(factor.factor, surplus))
    return next(exact, factors[0] if factors else None)


def _behind(graph: NormalGraph, edge: Edge) -> list[_Factor]:
    """Factors on an edge, and on the operands of what hands factors on; the nearest first."""
    factors: dict[int, _Factor] = {}
    waiting, seen = [edge], {edge.source}
    for at in range(BEHIND):
        if at >= len(waiting):
            break
        current = waiting[at]
        node = graph.nodes[current.source]
        for native in (*reversed(current.through), *reversed(node.native)):
            if native in graph.factors:
                factors.setdefault(native, _Factor(native, graph.factors[native], current.source))
        if traits(node.op).scale is Scale.STAYS:
            continue
        for operand in node.inputs:
            if operand is None or operand.source in seen or graph.nodes[operand.source].leaf:
                continue
            seen.add(operand.source)
            waiting.append(operand)
    return list(factors.values())
