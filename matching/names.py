"""What module paths say: which numbers of one model's paths stand for which of the other's.

Two models spell their modules differently, but both number repeated blocks and give the parts of a block
words of their own. Structure teaches the relation: which numbered container ("encoder.layers.#") goes with
which of the other model and how far their numbers are apart, and which template of a whole path
("encoder.layers.#.linear1") with which. Names then tell repeated blocks apart where structure cannot.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["Names", "split_path"]

_Path = tuple[str, tuple[int, ...]]
"""A template and its numbers."""
_Key = tuple[str, tuple[tuple[int, int], ...]]
_Votes = dict[tuple[str, str], Counter[tuple[int, int]]]
"""(first container, second container) -> how often (first number, difference) was matched."""
_ENDING = re.compile(r"(\d+)([a-z]?)$")
_LETTERED = 100
"""Number of "6" in "6b": numbers with a letter count 100 times, so that "5d" stands before "6b"."""
_THROUGH = "@"
"""Ends the name of a container counted through its outer ones."""
_RELATIONS = 12
"""Most pairs of containers kept."""
_SHARE = 0.4
"""So much of what is matched in each of two containers must lie in the other, for them to go together: the
number of a block has nothing to do with the number of a norm inside a block."""
_ESTABLISHED = 3
"""So many matches make one template the counterpart of another."""


@lru_cache(maxsize=1 << 18)
def split_path(path: str) -> tuple[str, tuple[int, ...]]:
    """The template of a dotted path, and the numbers in it.

    A part that is a number counts; digits at the end of a word count where no number stands before
    ("layer2.0.conv1" is "layer#.#.conv1", "Mixed_6b.conv" is "Mixed_#.conv"): further in they name parts of a block, not the block.
    """
    parts = []
    numbers: list[int] = []
    for part in path.split("."):
        if part.isdecimal():
            numbers.append(int(part))
            parts.append("#")
            continue
        ending = _ENDING.search(part)
        if ending and not numbers:
            digits, letter = ending.groups()
            numbers.append(int(digits) * _LETTERED + ord(letter) - ord("a") if letter else int(digits))
            part = part[: ending.start()] + "#"
        parts.append(part)
    return ".".join(parts), tuple(numbers)


@lru_cache(maxsize=1 << 16)
def _containers(template: str) -> tuple[str, ...]:
    """The template's beginnings that end in a number, one for each number."""
    return tuple(template[: at + 1] for at, letter in enumerate(template) if letter == "#")


def _ranks(paths: Iterable[tuple[str, tuple[int, ...]]]) -> dict[tuple[str, tuple[int, ...]], int]:
    """For containers within containers, the place of each block counted through all of them."""
    blocks: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for template, numbers in paths:
        for depth, container in enumerate(_containers(template)):
            blocks[container].add(numbers[: depth + 1])
    for container in [container for container, found in blocks.items() if container.count("#") == 1 and max(found)[0] < _LETTERED]:
        del blocks[container]  # plain numbers say their place themselves
    return {(container, block): rank for container, found in blocks.items() for rank, block in enumerate(sorted(found))}


def _word(template: str) -> str:
    """What stands behind the last number of a template."""
    return template.rpartition("#")[2].strip(".")


class Names:
    """The relation of the two models' module paths, as far as it is learned.

    Attributes:
        offsets: (first container, second container) -> how far second numbers exceed first numbers.
        counterpart: first template -> second template, and the other way, where matches establish it.
        marks: for each side and node, {relation: number}, in the second model's numbers.
        room: for each relation the numbers that both models have in these containers.
    """

    def __init__(self, first: Sequence[str], second: Sequence[str], modules: tuple[Iterable[str], Iterable[str]] = ((), ())) -> None:
        """Takes every node's path on each side, and the paths of all modules, called or not."""
        self.paths = ([split_path(path) for path in first], [split_path(path) for path in second])
        self._listed = tuple({*side, *map(split_path, listed)} for side, listed in zip(self.paths, modules, strict=True))
        self._ranks = tuple(_ranks(listed) for listed in self._listed)
        self._places: tuple[dict[_Path, list[tuple[str, int]]], ...] = ({}, {})
        self.offsets: dict[tuple[str, str], int] = {}
        self.counterpart: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.marks: tuple[list[dict[int, int]], list[dict[int, int]]] = ([{} for _ in first], [{} for _ in second])
        self.room: list[frozenset[int]] = []
        self._judged: dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
        self._templates = tuple({template: at for at, template in enumerate(dict.fromkeys(template for template, _ in side))} for side in self.paths)
        self._template_ids: tuple[list[int], list[int]] = ([], [])
        self._agreeing: dict[tuple[_Path, _Path], bool | None] = {}
        self._keys: tuple[dict[_Path, _Key | None], dict[_Path, _Key | None]] = ({}, {})
        self._words = tuple({_word(template) for template, _ in side} for side in self.paths)
        self._parts = tuple({part for word in side for part in word.split(".")} for side in self._words)
        self._firm: frozenset[int] = frozenset()
        self._inventory: tuple[dict[str, frozenset[int]], dict[str, frozenset[int]]] = ({}, {})

    def learn(self, sure: Iterable[tuple[int, int]], likely: Iterable[tuple[int, int]] = ()) -> None:
        """Learns from matches, and from pairs that may be wrong in part, such as runs shifted by a block."""
        votes: tuple[_Votes, _Votes] = (defaultdict(Counter), defaultdict(Counter))
        inside: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        seen: tuple[dict[str, Counter[str]], dict[str, Counter[str]]] = (defaultdict(Counter), defaultdict(Counter))
        for kind, pairs in enumerate((sure, likely)):
            together = Counter((self.paths[0][first], self.paths[1][second]) for first, second in pairs)
            for ((template, numbers), (other, others)), times in together.items():
                seen[0][template][other] += times
                seen[1][other][template] += times
                mine, theirs = self._numbered(0, template, numbers), self._numbered(1, other, others)
                for which, containers in ((0, mine), (1, theirs)):
                    for container, _ in containers:
                        inside[which][container] += times
                for container, number in mine:
                    for its, count in theirs:
                        if not (container.endswith(_THROUGH) and its.endswith(_THROUGH)):
                            votes[kind][container, its][number, count - number] += times
        found: dict[tuple[str, str], tuple[int, int]] = {}
        shifted: tuple[set[str], set[str]] = (set(), set())
        for key in dict.fromkeys([*votes[0], *votes[1]]):
            if sum(sum(kind[key].values()) for kind in votes if key in kind) < _SHARE * max(inside[0][key[0]], inside[1][key[1]]):
                continue
            offset = _certain(votes[0][key]) or _natural(votes[0][key], votes[1][key], self._likeness(*key))
            if offset is not None and offset[0] and self._numbers(0, key[0]) == self._numbers(1, key[1]):
                # Both models have all these blocks, so no number is another's: a run is shifted by a missing block.
                shifted[0].add(key[0])
                shifted[1].add(key[1])
            elif offset is not None:
                found[key] = offset
        found = {key: offset for key, offset in found.items() if not offset[0] or (key[0] not in shifted[0] and key[1] not in shifted[1])}
        best: list[tuple[str, str]] = []
        for key in sorted(found, key=lambda key: (-found[key][1], -self._likeness(*key), abs(key[0].count("#") - key[1].count("#")))):
            # One container goes with one: the number of a part in a block says nothing about the block.
            # A container that is numbered through on one side may go with several of the other.
            alone = all(key[0] != other[0] and key[1] != other[1] for other in best)
            constant = len({offset for counts in (votes[0][key], votes[1][key]) for _, offset in counts}) == 1
            if len(best) < _RELATIONS and (alone or (constant and all(key[0] != other[0] or key[1] != other[1] for other in best) and not any(self._diverging(key, other) for other in best))):
                best.append(key)
        self.offsets = {key: found[key][0] for key in best}
        self._firm = frozenset(number for number, key in enumerate(best) if self._throughout(key, votes[0][key] + votes[1][key]))
        self.counterpart = tuple(  # type: ignore[assignment]
            {
                template: counts.most_common(1)[0][0]
                for template, counts in side.items()
                if counts.most_common(1)[0][1] >= max(_ESTABLISHED, 0.8 * sum(counts.values()))
            }
            for side in seen
        )
        self._mark()

    def _numbers(self, which: int, container: str) -> frozenset[int]:
        """All numbers that stand at the end of a container in one model's paths."""
        if not self._inventory[which]:
            found: dict[str, set[int]] = defaultdict(set)
            for template, numbers in self._listed[which]:
                for its, number in self._numbered(which, template, numbers):
                    found[its].add(number)
            self._inventory[which].update({name: frozenset(numbers) for name, numbers in found.items()})
        return self._inventory[which].get(container, frozenset())

    def _numbered(self, which: int, template: str, numbers: tuple[int, ...]) -> list[tuple[str, int]]:
        """The containers around a path and the number in each.

        A container within another ("layer#.#") also counts its blocks through all of them: the other
        model may keep them in one list.
        """
        places = self._places[which]
        found = places.get((template, numbers))
        if found is None:
            containers = _containers(template)
            found = list(zip(containers, numbers, strict=True))
            for depth in range(len(containers)):
                rank = self._ranks[which].get((containers[depth], numbers[: depth + 1]))
                if rank is not None:
                    found.append((containers[depth] + _THROUGH, rank))
            places[template, numbers] = found
        return found

    def _likeness(self, container: str, its: str) -> int:
        """How natural equal numbers are: 2 for one spelling or the same numbers, 1 where one side lacks some, else 0."""
        mine, theirs = self._numbers(0, container), self._numbers(1, its)
        if not mine & theirs:
            return 0
        if container == its or (mine == theirs and len(mine) > 1):
            return 2
        within = len(mine & theirs) >= 2 and (mine <= theirs or theirs <= mine)
        return int(within and len(mine & theirs) * 10 >= len(mine | theirs) * 7)

    def _throughout(self, key: tuple[str, str], counts: Counter[tuple[int, int]]) -> bool:
        """Whether a relation surely holds for all numbers: equal ones in like containers, or what every vote says."""
        if not self.offsets[key] and self._likeness(*key):
            return True
        numbers = {number for number, _ in counts}
        fewer = min(len(self._numbers(0, key[0])), len(self._numbers(1, key[1])))
        return len({offset for _, offset in counts}) == 1 and len(numbers) >= _ESTABLISHED and 2 * len(numbers) >= fewer

    def _diverging(self, key: tuple[str, str], other: tuple[str, str]) -> bool:
        """Whether two relations of one container, to a container and to one within it, cannot both hold:
        blocks counted through stages are as many as the stages only where each stage has one."""
        for which in (0, 1):
            inner, outer = sorted((key[which], other[which]), key=len, reverse=True)
            if key[1 - which] == other[1 - which] and inner.startswith(outer + ".") and len(self._numbers(which, inner)) != len(self._numbers(which, outer)):
                return True
        return False

    def _mark(self) -> None:
        relations: tuple[dict[str, list[tuple[int, int]]], ...] = (defaultdict(list), defaultdict(list))
        self.room = []
        self._judged.clear()
        self._agreeing.clear()
        self._keys = ({}, {})
        for number, ((container, its), offset) in enumerate(self.offsets.items()):
            alone = sum(container == other[0] or its == other[1] for other in self.offsets) == 1
            both = {n + offset for n in self._numbers(0, container)} & self._numbers(1, its)
            self.room.append(frozenset(both) if alone else frozenset())
            relations[0][container].append((number, offset))
            relations[1][its].append((number, 0))
        for which in (0, 1):
            known: dict[_Path, dict[int, int]] = {}
            for node, path in enumerate(self.paths[which]):
                found = known.get(path)
                if found is None:
                    found = known[path] = {
                        relation: number + offset
                        for container, number in self._numbered(which, *path)
                        for relation, offset in relations[which].get(container, ())
                    }
                self.marks[which][node] = found

    def agree(self, first: int, second: int) -> bool | None:
        """Whether the paths of two nodes go together; None where names say nothing.

        They do not where the numbers of corresponding containers differ, where one lies in a container in
        which the other would have to lie, where both paths are established as counterparts of others, or,
        as long as nothing is established, where both models use both words but not here.
        """
        key = (self.paths[0][first], self.paths[1][second])
        if key not in self._agreeing:
            self._agreeing[key] = self._agree(first, second)
        return self._agreeing[key]

    def _agree(self, first: int, second: int) -> bool | None:
        mine, theirs = self.marks[0][first], self.marks[1][second]
        found: bool | None = None
        for relation, number in mine.items():
            other = theirs.get(relation)
            if other is not None:
                if other != number:
                    return False
                found = True
            elif number in self.room[relation]:
                return False
        for relation, number in theirs.items():
            if relation not in mine and number in self.room[relation]:
                return False
        return False if self.apart(self.paths[0][first][0], self.paths[1][second][0]) else found

    def firm(self, first: int, second: int) -> bool:
        """Whether names leave no other place for two nodes that agree: relations that surely hold throughout
        cover every number in both paths, and no word of one is used for something else by the other."""
        shared = self.marks[0][first].keys() & self.marks[1][second].keys() & self._firm
        relations = list(self.offsets)
        for which, node in ((0, first), (1, second)):
            covered: set[int] = set()
            for relation in shared:
                container = relations[relation][which]
                depth = container.count("#")
                covered.update(range(1, depth + 1) if container.endswith(_THROUGH) else (depth,))
            if len(covered) != len(self.paths[which][node][1]):
                return False
        return not self._strange(self.paths[0][first][0], self.paths[1][second][0])

    def _strange(self, template: str, other: str) -> bool:
        """Whether a word of either path is one of the other model's too, but not here.

        Established counterparts are not, unless one of the paths has its very like in the other model.
        """
        if template == other:
            return False
        namesakes = template in self._templates[1] or other in self._templates[0]
        if not namesakes and (self.counterpart[0].get(template) == other or self.counterpart[1].get(other) == template):
            return False
        mine, theirs = ({part for part in _word(name).split(".") if part} for name in (template, other))
        return bool((mine - theirs) & self._parts[1] or (theirs - mine) & self._parts[0])

    def apart(self, template: str, other: str) -> bool:
        """Whether two templates belong to different parts of the models."""
        expected, back = self.counterpart[0].get(template), self.counterpart[1].get(other)
        if expected is not None and back is not None:
            return expected != other and back != template
        if expected == other or back == template:
            return False
        word, its = _word(template), _word(other)
        return word != its and word in self._words[1] and its in self._words[0]

    def template_ids(self, which: int) -> list[int]:
        """A number for each node's template, by first occurrence on its side."""
        if not self._template_ids[which]:
            self._template_ids[which].extend(self._templates[which][template] for template, _ in self.paths[which])
        return self._template_ids[which]

    def judge(self, template: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """For a first-side template, over all second-side templates: which is its counterpart, which are apart."""
        found = self._judged.get(template)
        if found is None:
            sides = [list(dict.fromkeys(name for name, _ in side)) for side in self.paths]
            name = sides[0][template]
            expected = self.counterpart[0].get(name)
            found = (
                np.array([other == expected for other in sides[1]], bool),
                np.array([self.apart(name, other) for other in sides[1]], bool),
            )
            self._judged[template] = found
        return found

    def key(self, which: int, node: int) -> _Key | None:
        """What names say of the node's place, equal for nodes whose paths go together; None for nothing."""
        path = self.paths[which][node]
        if path not in self._keys[which]:
            self._keys[which][path] = self._key(which, node)
        return self._keys[which][path]

    def _key(self, which: int, node: int) -> _Key | None:
        template, numbers = self.paths[which][node]
        place = template if which else self.counterpart[0].get(template)
        if place is None or (which and self.counterpart[1].get(template) is None):
            return None
        if which == 0 and self.counterpart[1].get(place) != template:
            return None
        marks = self.marks[which][node]
        if numbers and not marks:
            return None
        return place, tuple(sorted(marks.items()))


def _certain(counts: Counter[tuple[int, int]]) -> tuple[int, int] | None:
    """The one difference of numbers that all votes, of several numbers, agree on, and how many they are."""
    if len({offset for _, offset in counts}) != 1 or len(counts) < 2:
        return None
    return next(iter(counts))[1], sum(counts.values())


def _natural(sure: Counter[tuple[int, int]], likely: Counter[tuple[int, int]], likeness: int) -> tuple[int, int] | None:
    """The difference of numbers that divided votes settle on, and how many say so; None where they do not.

    Equal numbers are the natural reading for containers that are alike: a run of blocks shifted by a missing
    one can outvote them. Sure matches that speak against it as often as for it leave it open: the other model
    may number its blocks the other way round.
    """
    totals: Counter[int] = Counter()
    places: dict[int, set[int]] = defaultdict(set)
    for (number, offset), count in (sure + likely).items():
        totals[offset] += count
        places[offset].add(number)
    total = sum(totals.values())
    best, count = totals.most_common(1)[0]
    # Numbers of which every sure match says otherwise show that the difference is not the same throughout.
    steady = {number for number, _ in sure} <= {number for number in places[best]}
    settled = len(places[best]) >= 2 and count * 3 >= total * 2 and steady
    equal = sum(count for (_, offset), count in sure.items() if not offset)
    doubted = sum(sure.values()) - equal >= max(equal, 1)
    shifted = len(places[best]) >= 2 or len({offset > 0 for offset in totals}) == 1
    if not doubted and ((likeness == 2 and (totals[0] or (shifted and not settled))) or (likeness == 1 and not settled and totals[0] * 4 >= total)):
        return 0, totals[0]
    return (best, count) if settled else None
