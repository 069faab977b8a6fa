"""What structure says of each native operation: whether numbers must be asked for it in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.executor.partition import Region
from padiff_graph.matching.result import Difference, Matching

__all__ = ["Structure"]


@dataclass(frozen=True)
class Structure:
    """Native operations of both sides by what structure says of them.

    Attributes:
        doubt: operations without a counterpart, opaque ones, and those of a difference in what is computed:
            numbers read in a wrong order differ by far more than rounding, which float32 shows as well.
        named: operations whose epsilon differs: its effect may be as small as what float64 leaves
            elsewhere.
        differences: positions of differences by native operation of each side.
    """

    doubt: tuple[frozenset[int], frozenset[int]]
    named: tuple[frozenset[int], frozenset[int]]
    differences: tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]

    @classmethod
    def of(cls, matching: Matching, differences: Sequence[Difference]) -> Structure:
        """Reads a matching and its structural differences."""
        matched = (
            {match.first for match in matching.matches},
            {match.second for match in matching.matches},
        )
        doubt: tuple[set[int], set[int]] = (set(), set())
        named: tuple[set[int], set[int]] = (set(), set())
        where: tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]] = ({}, {})
        for side, normal in enumerate((matching.first, matching.second)):
            for node in normal.nodes:
                if not node.leaf and (node.id not in matched[side] or node.opaque):
                    doubt[side].update(node.native)
            for number, found in enumerate(differences):
                natives = native_of(normal, nodes_of(found, side))
                if not found.order:
                    doubt[side].update(natives)
                if found.kind == "attribute" and "eps" in found.attribute.lower():
                    named[side].update(natives)
                for native in natives:
                    where[side][native] = (*where[side].get(native, ()), number)
        return cls(
            (frozenset(doubt[0]), frozenset(doubt[1])),
            (frozenset(named[0]), frozenset(named[1])),
            where,
        )

    def doubtful(self, region: Region) -> bool:
        """Whether the region needs the referee whatever float32 says."""
        return not (
            self.doubt[0].isdisjoint(region.first.nodes)
            and self.doubt[1].isdisjoint(region.second.nodes)
        )

    def attributed(self, region: Region) -> bool:
        """Whether structure names a differing epsilon inside the region."""
        return not (
            self.named[0].isdisjoint(region.first.nodes)
            and self.named[1].isdisjoint(region.second.nodes)
        )


def nodes_of(difference: Difference, side: int) -> tuple[int, ...]:
    """All normal-form nodes of a difference on one side, its other places included."""
    own = difference.first if side == 0 else difference.second
    return (*own, *(place[side] for place in difference.places if place[side] >= 0))


def native_of(normal: NormalGraph, nodes: Iterable[int]) -> set[int]:
    """The native operations that normal-form nodes stand for."""
    return {native for node in nodes for native in normal.nodes[node].native}


def claims(normal: NormalGraph) -> Counter[int]:
    """How many nodes of the normal form each native operation stands in."""
    return Counter(native for node in normal.nodes for native in set(node.native))


def own_native_of(
    normal: NormalGraph, nodes: Iterable[int], claimed: Mapping[int, int]
) -> set[int]:
    """The native operations that yield these nodes or stand in them alone: a mask made once for many readers is
    no sign of where one of them is."""
    found: set[int] = set()
    for node in nodes:
        native = normal.nodes[node].native
        found.update(one for one in native if claimed[one] == 1 or one == max(native))
    return found
