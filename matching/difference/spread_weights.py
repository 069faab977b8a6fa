"""Weights that one model holds as one and the other as the members of a list: experts, heads.

Where no map was found between them (a fault beside keeps values from proving one), the one is not
larger than the other: all members together hold as many numbers, in all layers that have such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.parameters.names import template
from padiff_graph.matching.result import Matching

__all__ = ["Spread"]

_List = tuple[str, int]
"""What the names of a list's members share, and how many numbers each holds."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The weights of both sides that have no counterpart.

    Attributes:
        sizes: how many numbers each holds, by name.
        lists: how many members each list has.
    """

    sizes: tuple[Mapping[str, int], Mapping[str, int]]
    lists: tuple[Mapping[_List, int], Mapping[_List, int]]

    @classmethod
    def of(cls, matching: Matching) -> Spread:
        """Reads a matching."""
        lost = [row.first for row in matching.parameters if not row.pieces]
        first, second = (
            _sizes(matching.first, lost),
            _sizes(matching.second, matching.unused_second),
        )
        return cls((first, second), (_lists(first), _lists(second)))

    def between(self, first: Sequence[str], second: Sequence[str]) -> bool:
        """Whether the weight that an operation of the one model reads is a whole list of the other
        one's, of which its partner reads a member."""
        return any(
            self._holds(side, own, other)
            for side, names in enumerate(((first, second), (second, first)))
            for own in names[0]
            for other in names[1]
        )

    def _holds(self, side: int, own: str, other: str) -> bool:
        whole, part = self.sizes[side].get(own, 0), self.sizes[1 - side].get(other, 0)
        if not whole or not part or whole <= part:
            return False
        members = self.lists[1 - side][template(other), part]
        return members * part == self.lists[side][template(own), whole] * whole


def _sizes(normal: NormalGraph, names: Sequence[str]) -> dict[str, int]:
    owned = normal.graph.parameters
    return {name: owned[name].type.size for name in names if name in owned}


def _lists(sizes: Mapping[str, int]) -> Counter[_List]:
    return Counter((template(name), size) for name, size in sizes.items())
