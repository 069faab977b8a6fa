"""A matching as the structural diff reads it, and how differences are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import attributes_equal
from padiff_graph.matching.difference.factor_origin import at_its_origin
from padiff_graph.matching.result import Difference, Match, Matching

__all__ = [
    "Compared",
    "attribute_difference",
    "built_differently",
    "near",
    "present",
    "scale_difference",
]

Facts = Mapping[str, object]
"""Named values of a cause."""
NEAR = 1e-9
"""Absolute difference below which two shifts are one number: far below what any model adds."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A matching with both directions at hand: first-side node -> second-side node, and back."""

    first: NormalGraph
    second: NormalGraph
    matches: tuple[Match, ...]
    partner: dict[int, int]
    back: dict[int, int]
    rows: Mapping[str, frozenset[str]]
    """Parameters of the first model -> those of the second that they are made of."""

    @classmethod
    def of(cls, matching: Matching) -> Compared:
        """Reads a matching."""
        partner = matching.partner()
        back = {second: first for first, second in partner.items()}
        rows = {
            row.first: frozenset(piece.second for piece in row.pieces)
            for row in matching.parameters
        }
        return cls(matching.first, matching.second, matching.matches, partner, back, rows)

    @property
    def graphs(self) -> tuple[NormalGraph, NormalGraph]:
        """Both normal forms."""
        return self.first, self.second

    def pair(self, match: Match) -> tuple[NormalNode, NormalNode]:
        """The two nodes of a match."""
        return self.first.nodes[match.first], self.second.nodes[match.second]


def attribute_difference(
    nodes: tuple[NormalNode, NormalNode],
    cause_id: str,
    name: str,
    values: tuple[object, object],
    facts: Facts,
    *,
    decided: bool = False,
) -> Difference:
    """A pair of operations with two values of something; `decided`: numbers say whether it
    matters."""
    a, b = nodes
    return Difference(
        "differently-built" if decided else "attribute",
        (a.id,),
        (b.id,),
        cause_id,
        a.path,
        b.path,
        name,
        values,
        ((a.id, b.id),),
        facts=tuple(facts.items()),
    )


def built_differently(
    nodes: tuple[NormalNode, NormalNode], cause_id: str, facts: Facts, *, order: bool = False
) -> Difference:
    """A pair of operations that compute in another way; numbers decide whether the same."""
    difference = attribute_difference(nodes, cause_id, "", (None, None), facts, decided=True)
    return replace(difference, order=order)


def scale_difference(
    compared: Compared,
    nodes: tuple[NormalNode, NormalNode],
    values: tuple[float, float],
    edges: Sequence[tuple[Edge, Edge]],
    facts: Facts,
) -> Difference:
    """Operands or outputs with two factors, at the operations that multiply by them."""
    difference = attribute_difference(nodes, "scale", "scale", values, facts)
    partners = compared.partner, compared.back
    return at_its_origin(difference, compared.graphs, partners, edges)


def near(x: float, y: float) -> bool:
    """Whether two shifts are one number."""
    return attributes_equal(x, y) or abs(x - y) <= NEAR


def present(node: NormalNode) -> int:
    """How many operands an operation has."""
    return sum(edge is not None for edge in node.inputs)
