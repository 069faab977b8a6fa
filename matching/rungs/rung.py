"""What a rung of the ladder is: a way of matching, and how sure each case of it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from padiff_graph.matching.match_state import State

__all__ = ["Grade", "Rung"]


class Grade(NamedTuple):
    """One case of a rung.

    Attributes:
        confidence: of its matches, before neighbours and names settle it (`confidence.settle`).
        reason: in words, as a match tells it; `{...}` stand for what differs from match to match.
        source: where the number comes from.
    """

    confidence: float
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Rung:
    """One row of the ladder.

    Attributes:
        name: as `Match.rung` says it; rows that differ only in strictness share it.
        find: matches what it can and says how many; called with the state and this row.
        matches: what it may match, in words.
        grades: by case; "" is the only case of rungs that have one.
    """

    name: str
    find: Callable[[State, Rung], int]
    matches: str
    grades: Mapping[str, Grade]

    def __call__(self, state: State) -> int:
        """Matches what it can; how many."""
        return self.find(state, self)

    def pair(self, state: State, first: int, second: int, case: str = "", **words: object) -> bool:
        """Matches two nodes as one of the rung's cases; False where something forbids it."""
        grade = self.grades[case]
        reason = grade.reason.format(**words) if words else grade.reason
        return state.pair(first, second, self.name, grade.confidence, reason)
