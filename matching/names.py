"""What module paths say: which numbers of one model's paths stand for which of the other's.

Two models spell their modules differently, but both number repeated blocks. A path is split into a
template ("encoder.layers.#.linear1") and its numbers; which template of one side goes with which of the
other, and how far their numbers are apart, is learned from matches that structure gives.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

__all__ = ["Names", "split_path"]

_NUMBER = re.compile(r"\d+")


@lru_cache(maxsize=65536)
def split_path(path: str) -> tuple[str, tuple[int, ...]]:
    """The template of a dotted path, and the numbers in it."""
    numbers = tuple(int(found) for found in _NUMBER.findall(path))
    return _NUMBER.sub("#", path), numbers


class Names:
    """The relation of the two models' module paths, as far as it is learned.

    Attributes:
        offsets: (first template, second template) -> how far second numbers exceed first numbers.
        counterpart: first template -> second template most often matched with it.
    """

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self.first = [split_path(path) for path in first]
        self.second = [split_path(path) for path in second]
        self.offsets: dict[tuple[str, str], tuple[int, ...]] = {}
        self.counterpart: dict[str, str] = {}

    def learn(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Learns from matched nodes; pairs may be wrong in part, such as runs shifted by a block."""
        votes: dict[tuple[str, str], Counter[tuple[int, ...]]] = defaultdict(Counter)
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for first, second in pairs:
            template, numbers = self.first[first]
            other, others = self.second[second]
            seen[template][other] += 1
            if numbers and len(numbers) == len(others):
                votes[template, other][tuple(b - a for a, b in zip(numbers, others, strict=True))] += 1
        self.counterpart = {template: counts.most_common(1)[0][0] for template, counts in seen.items()}
        self.offsets = {}
        for key, counts in votes.items():
            total = sum(counts.values())
            best, count = counts.most_common(1)[0]
            same = (0,) * len(best)
            if counts.get(same, 0) * 10 >= total:
                # Equal numbers are the natural reading: a run shifted by a missing block outvotes it easily.
                self.offsets[key] = same
            elif count * 3 >= total * 2 and count >= 2:
                self.offsets[key] = best

    def agree(self, first: int, second: int) -> bool | None:
        """Whether the numbers in both nodes' paths go together; None where names say nothing."""
        template, numbers = self.first[first]
        other, others = self.second[second]
        if not numbers or len(numbers) != len(others):
            return None
        offset = self.offsets.get((template, other))
        if offset is None:
            return None
        return all(a + c == b for a, b, c in zip(numbers, others, offset, strict=True))

    def key(self, which: int, node: int) -> tuple[str, tuple[int, ...]] | None:
        """The node's path in the second model's spelling; None for a path that has no counterpart."""
        if which:
            return self.second[node]
        template, numbers = self.first[node]
        other = self.counterpart.get(template)
        if other is None:
            return None
        offset = self.offsets.get((template, other))
        if offset is None:
            return (other, ()) if not numbers and "#" not in other else None
        return other, tuple(a + c for a, c in zip(numbers, offset, strict=True))
