"""What differences in size leave without a counterpart: weights that cannot be copied, and
operations whose values cannot be laid side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.parameters.relations import squeezed
from padiff_graph.matching.result import Difference, Match, Matching
from padiff_graph.matching.weights_only import weights_only

__all__ = ["OtherSizes"]


@dataclass(frozen=True)
class OtherSizes:
    """What follows from sizes, by side.

    Attributes:
        parameters: dotted names of parameters whose counterpart has another shape.
        natives: native operations that yield or read values of another size.
    """

    parameters: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    natives: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())

    @classmethod
    def of(cls, matching: Matching, differences: Sequence[Difference]) -> OtherSizes:
        """Reads a matching and its differences."""
        if not any(difference.kind == "size" for difference in differences):
            natives: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
        else:
            natives = _natives(matching)
        return cls(_parameters(matching, differences), natives)

    def trained_at(self, difference: Difference, matching: Matching) -> bool:
        """Whether both operations of a difference read such parameters and train them, and the
        first's are neutral: they have other gradients, though their numbers change nothing yet."""
        neutral = {row.first for row in matching.parameters if row.status == "neutral"}
        normals = matching.first, matching.second
        names = [
            {name for name in self.parameters[side] if normal.graph.parameters[name].trainable}
            for side, normal in enumerate(normals)
        ]
        names[0] &= neutral
        return any(
            all(names[side].intersection(_operands(normals[side], place[side])) for side in (0, 1))
            for place in difference.places
            if min(place) >= 0
        )

    def behind(self, first: Iterable[int], second: Iterable[int]) -> bool:
        """Whether such operations are among these."""
        return not (self.natives[0].isdisjoint(first) and self.natives[1].isdisjoint(second))


def _operands(normal: NormalGraph, node: int) -> list[str]:
    """The names of the parameters among what an operation reads."""
    edges = [edge for edge in normal.nodes[node].inputs if edge is not None]
    return [normal.nodes[edge.source].name for edge in edges]


def _natives(matching: Matching) -> tuple[frozenset[int], frozenset[int]]:
    """The operations of matched nodes whose results have two sizes, and those that read them."""
    sized = [match for match in matching.matches if _yields_two_sizes(matching, match)]
    return (
        _around(matching.first, {match.first for match in sized}),
        _around(matching.second, {match.second for match in sized}),
    )


def _yields_two_sizes(matching: Matching, match: Match) -> bool:
    a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
    return bool(a.outputs and b.outputs) and a.outputs[0].size != b.outputs[0].size


def _around(graph: NormalGraph, nodes: set[int]) -> frozenset[int]:
    """The native operations of nodes and of what reads them."""
    readers = {
        node.id
        for node in graph.nodes
        if any(edge is not None and edge.source in nodes for edge in node.inputs)
    }
    return frozenset(native for node in nodes | readers for native in graph.nodes[node].native)


def _parameters(
    matching: Matching, differences: Sequence[Difference]
) -> tuple[frozenset[str], frozenset[str]]:
    """Parameters without a counterpart at the places of differences, where the other side reads
    none of their shape without one."""
    open_rows = [row for row in matching.parameters if row.status == "open" or not row.pieces]
    sides = (
        _Side.of(matching.first, {row.first for row in open_rows}),
        _Side.of(matching.second, set(matching.unused_second)),
    )
    names: tuple[set[str], set[str]] = (set(), set())
    for pair in _pairs(differences):
        read = [side.read(node) for side, node in zip(sides, pair, strict=True)]
        for own, side in enumerate(sides):
            shapes = [sides[1 - own].shape(name) for name in read[1 - own]]
            names[own].update(name for name in read[own] if side.shape(name) not in shapes)
    return frozenset(names[0]), frozenset(names[1])


def _pairs(differences: Sequence[Difference]) -> Iterator[tuple[int, int]]:
    """The places of differences where operations stand on both sides."""
    for difference in differences:
        if difference.kind != "differently-built":
            yield from (place for place in difference.places if min(place) >= 0)


@dataclass(frozen=True, slots=True)
class _Side:
    """A graph with the parameters that have no counterpart, and what depends on weights alone."""

    graph: NormalGraph
    lost: set[str]
    fixed: list[bool]

    @classmethod
    def of(cls, graph: NormalGraph, lost: set[str]) -> _Side:
        return cls(graph, lost, weights_only(graph))

    def read(self, node: int) -> set[str]:
        """The parameters without counterpart that an operation's weights are made of."""
        names: set[str] = set()
        waiting = [node]
        while waiting:
            for edge in self.graph.nodes[waiting.pop()].inputs:
                if edge is not None and self.fixed[edge.source]:
                    waiting.append(edge.source)
                    names.add(self.graph.nodes[edge.source].name)
        return names & self.lost

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's extents, in whatever order."""
        return tuple(sorted(squeezed(self.graph.graph.parameters[name].type.shape)))
