"""What module paths say: which numbers of one model's paths stand for which of the other's.

Two models spell their modules differently, but both number repeated blocks and give the parts of a block
words of their own. Structure teaches the relation: which numbered container ("encoder.layers.#") goes with
which of the other model and how far their numbers are apart, and which template of a whole path
("encoder.layers.#.linear1") with which. Names then tell repeated blocks apart where structure cannot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.matching.tree.module_paths import THROUGH, Paths, word_of

__all__ = ["Names"]

_Key = tuple[str, tuple[tuple[int, int], ...]]
_Votes = dict[tuple[str, str], Counter[tuple[int, int]]]
"""(first container, second container) -> how often (first number, difference) was matched."""
_RELATIONS = 12
"""Most pairs of containers kept."""
_SHARE = 0.4
"""So much of what is matched in each of two containers must lie in the other, for them to go together: the
number of a block has nothing to do with the number of a norm inside a block."""
_ESTABLISHED = 3
"""So many matches make one template the counterpart of another."""


class Names:
    """The relation of the two models' module paths, as far as it is learned.

    Attributes:
        paths: for each side the paths of its nodes and modules.
        offsets: (first container, second container) -> how far second numbers exceed first numbers.
        counterpart: first template -> second template, and the other way, where matches establish it.
        room: for each relation the numbers that both models have in these containers.
    """

    def __init__(
        self,
        first: Sequence[str],
        second: Sequence[str],
        modules: tuple[Iterable[str], Iterable[str]] = ((), ()),
    ) -> None:
        """Takes every node's path on each side, and the paths of all modules, called or not."""
        self.paths = (Paths(first, modules[0]), Paths(second, modules[1]))
        self.offsets: dict[tuple[str, str], int] = {}
        self.counterpart: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.room: list[frozenset[int]] = []
        self._marks: tuple[list[dict[int, int]], list[dict[int, int]]] = tuple(
            [{}] * len(side.template) for side in self.paths
        )  # type: ignore[assignment]
        self._called = tuple(
            {template: at for at, template in enumerate(side.templates[: side.called])}
            for side in self.paths
        )
        self._words = tuple(set(map(word_of, templates)) for templates in self._called)
        self._parts = tuple(
            {part for word in side for part in word.split(".")} for side in self._words
        )
        self._firm: frozenset[int] = frozenset()
        # What was asked already, for as long as nothing new is learned.
        self._judged: dict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
        self._agreeing: dict[tuple[int, int], bool | None] = {}
        self._apart: dict[tuple[int, int], bool] = {}
        self._sure: dict[tuple[int, int], bool] = {}
        self._keys: tuple[dict[int, _Key | None], dict[int, _Key | None]] = ({}, {})

    def learn(
        self, sure: Iterable[tuple[int, int]], likely: Iterable[tuple[int, int]] = ()
    ) -> None:
        """Learns from matches, and from pairs that may be wrong in part, such as runs shifted by a block."""
        votes: tuple[_Votes, _Votes] = (defaultdict(Counter), defaultdict(Counter))
        inside: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        seen: tuple[dict[str, Counter[str]], dict[str, Counter[str]]] = (
            defaultdict(Counter),
            defaultdict(Counter),
        )
        for kind, pairs in enumerate((sure, likely)):
            for (template, other), together in self._together(pairs).items():
                times = sum(together.values())
                names = (self.paths[0].templates[template], self.paths[1].templates[other])
                seen[0][names[0]][names[1]] += times
                seen[1][names[1]][names[0]] += times
                containers = (self.paths[0].containers[template], self.paths[1].containers[other])
                for which in (0, 1):
                    for container in containers[which]:
                        inside[which][container] += times
                for at, container in enumerate(containers[0]):
                    for place, its in enumerate(containers[1]):
                        if not (container.endswith(THROUGH) and its.endswith(THROUGH)):
                            counts = votes[kind][container, its]
                            for (numbers, others), count in together.items():
                                counts[numbers[at], others[place] - numbers[at]] += count
        found: dict[tuple[str, str], tuple[int, int]] = {}
        shifted: tuple[set[str], set[str]] = (set(), set())
        for key in dict.fromkeys([*votes[0], *votes[1]]):
            if sum(sum(kind[key].values()) for kind in votes if key in kind) < _SHARE * max(
                inside[0][key[0]], inside[1][key[1]]
            ):
                continue
            offset = _certain(votes[0][key]) or _natural(
                votes[0][key], votes[1][key], self._likeness(*key)
            )
            if (
                offset is not None
                and offset[0]
                and self._numbers(0, key[0]) == self._numbers(1, key[1])
            ):
                # Both models have all these blocks, so no number is another's: a run is shifted by a missing block.
                shifted[0].add(key[0])
                shifted[1].add(key[1])
            elif offset is not None:
                found[key] = offset
        found = {
            key: offset
            for key, offset in found.items()
            if not offset[0] or (key[0] not in shifted[0] and key[1] not in shifted[1])
        }
        best: list[tuple[str, str]] = []
        for key in sorted(
            found,
            key=lambda key: (
                -found[key][1],
                -self._likeness(*key),
                abs(key[0].count("#") - key[1].count("#")),
            ),
        ):
            # One container goes with one: the number of a part in a block says nothing about the block.
            # A container that is numbered through on one side may go with several of the other.
            alone = all(key[0] != other[0] and key[1] != other[1] for other in best)
            constant = (
                len({offset for counts in (votes[0][key], votes[1][key]) for _, offset in counts})
                == 1
            )
            if len(best) < _RELATIONS and (
                alone
                or (
                    constant
                    and all(key[0] != other[0] or key[1] != other[1] for other in best)
                    and not any(self._diverging(key, other) for other in best)
                )
            ):
                best.append(key)
        established = tuple(
            {
                template: counts.most_common(1)[0][0]
                for template, counts in side.items()
                if counts.most_common(1)[0][1] >= max(_ESTABLISHED, 0.8 * sum(counts.values()))
            }
            for side in seen
        )
        self._settle(
            {key: found[key][0] for key in best},
            (established[0], established[1]),
            frozenset(
                number
                for number, key in enumerate(best)
                if self._throughout(key, found[key][0], votes[0][key] + votes[1][key])
            ),
        )

    def _together(
        self, pairs: Iterable[tuple[int, int]]
    ) -> Mapping[tuple[int, int], Counter[tuple[tuple[int, ...], tuple[int, ...]]]]:
        """How often the numbers in two templates come together, by the pair of templates."""
        mine, theirs = self.paths
        found: dict[tuple[int, int], Counter[tuple[tuple[int, ...], tuple[int, ...]]]] = (
            defaultdict(Counter)
        )
        for (first, second), times in Counter(
            (mine.of[first], theirs.of[second]) for first, second in pairs
        ).items():
            found[mine.template[first], theirs.template[second]][
                mine.places[first], theirs.places[second]
            ] += times
        return found

    def _numbers(self, which: int, container: str) -> frozenset[int]:
        return self.paths[which].numbers_in(container)

    def _likeness(self, container: str, its: str) -> int:
        """How natural equal numbers are: 2 for one spelling or the same numbers, 1 where one side lacks some, else 0."""
        mine, theirs = self._numbers(0, container), self._numbers(1, its)
        if not mine & theirs:
            return 0
        if container == its or (mine == theirs and len(mine) > 1):
            return 2
        within = len(mine & theirs) >= 2 and (mine <= theirs or theirs <= mine)
        return int(within and len(mine & theirs) * 10 >= len(mine | theirs) * 7)

    def _throughout(
        self, key: tuple[str, str], offset: int, counts: Counter[tuple[int, int]]
    ) -> bool:
        """Whether a relation surely holds for all numbers: equal ones in like containers, or what every vote says."""
        if not offset and self._likeness(*key):
            return True
        numbers = {number for number, _ in counts}
        fewer = min(len(self._numbers(0, key[0])), len(self._numbers(1, key[1])))
        return (
            len({offset for _, offset in counts}) == 1
            and len(numbers) >= _ESTABLISHED
            and 2 * len(numbers) >= fewer
        )

    def _diverging(self, key: tuple[str, str], other: tuple[str, str]) -> bool:
        """Whether two relations of one container, to a container and to one within it, cannot both hold:
        blocks counted through stages are as many as the stages only where each stage has one."""
        for which in (0, 1):
            inner, outer = sorted((key[which], other[which]), key=len, reverse=True)
            if (
                key[1 - which] == other[1 - which]
                and inner.startswith(outer + ".")
                and len(self._numbers(which, inner)) != len(self._numbers(which, outer))
            ):
                return True
        return False

    def _settle(
        self,
        offsets: dict[tuple[str, str], int],
        counterpart: tuple[dict[str, str], dict[str, str]],
        firm: frozenset[int],
    ) -> None:
        """Takes over what was learned; what was asked before is asked again where that is something new."""
        renumbered = list(offsets.items()) != list(self.offsets.items())
        if not renumbered and counterpart == self.counterpart and firm == self._firm:
            return
        self.offsets, self.counterpart, self._firm = offsets, counterpart, firm
        for asked in (self._judged, self._agreeing, self._apart, self._sure, *self._keys):
            asked.clear()
        if renumbered:
            self._mark()

    def _mark(self) -> None:
        """Puts down for each path its numbers in the learned relations, in the second model's numbers."""
        relations: tuple[dict[str, list[tuple[int, int]]], ...] = (
            defaultdict(list),
            defaultdict(list),
        )
        self.room = []
        for number, ((container, its), offset) in enumerate(self.offsets.items()):
            alone = sum(container == other[0] or its == other[1] for other in self.offsets) == 1
            both = {n + offset for n in self._numbers(0, container)} & self._numbers(1, its)
            self.room.append(frozenset(both) if alone else frozenset())
            relations[0][container].append((number, offset))
            relations[1][its].append((number, 0))
        for side, marks, known in zip(self.paths, self._marks, relations, strict=True):
            related = [
                [
                    (at, *found)
                    for at, container in enumerate(containers)
                    for found in known.get(container, ())
                ]
                for containers in side.containers
            ]
            marks[:] = [
                {relation: numbers[at] + offset for at, relation, offset in related[template]}
                for template, numbers in zip(side.template, side.places, strict=True)
            ]

    def marks(self, which: int, node: int) -> Mapping[int, int]:
        """The numbers in a node's path, in the second model's numbers, by relation."""
        return self._marks[which][self.paths[which].of[node]]

    def agree(self, first: int, second: int) -> bool | None:
        """Whether the paths of two nodes go together; None where names say nothing.

        They do not where the numbers of corresponding containers differ, where one lies in a container in
        which the other would have to lie, where both paths are established as counterparts of others, or,
        as long as nothing is established, where both models use both words but not here.
        """
        key = (self.paths[0].of[first], self.paths[1].of[second])
        try:
            return self._agreeing[key]
        except KeyError:
            found = self._agreeing[key] = self._agree(*key)
            return found

    def _agree(self, path: int, other: int) -> bool | None:
        mine, theirs = self._marks[0][path], self._marks[1][other]
        found: bool | None = None
        for relation, number in mine.items():
            its = theirs.get(relation)
            if its is not None:
                if its != number:
                    return False
                found = True
            elif number in self.room[relation]:
                return False
        for relation, number in theirs.items():
            if relation not in mine and number in self.room[relation]:
                return False
        pair = (self.paths[0].template[path], self.paths[1].template[other])
        if pair not in self._apart:
            self._apart[pair] = self.apart(
                self.paths[0].templates[pair[0]], self.paths[1].templates[pair[1]]
            )
        return False if self._apart[pair] else found

    def firm(self, first: int, second: int) -> bool:
        """Whether names leave no other place for two nodes that agree: relations that surely hold throughout
        cover every number in both paths, and no word of one is used for something else by the other.

        The templates decide it, whatever the numbers.
        """
        pair = (
            self.paths[0].template[self.paths[0].of[first]],
            self.paths[1].template[self.paths[1].of[second]],
        )
        found = self._sure.get(pair)
        if found is None:
            found = self._sure[pair] = self._covered(pair) and not self._strange(
                self.paths[0].templates[pair[0]], self.paths[1].templates[pair[1]]
            )
        return found

    def _covered(self, pair: tuple[int, int]) -> bool:
        """Whether relations that hold throughout speak of every number in two templates."""
        containers = [
            side.containers[template] for side, template in zip(self.paths, pair, strict=True)
        ]
        shared = [
            relation
            for number, relation in enumerate(self.offsets)
            if number in self._firm
            and relation[0] in containers[0]
            and relation[1] in containers[1]
        ]
        for which, (side, template) in enumerate(zip(self.paths, pair, strict=True)):
            covered: set[int] = set()
            for relation in shared:
                container = relation[which]
                depth = container.count("#")
                covered.update(range(1, depth + 1) if container.endswith(THROUGH) else (depth,))
            if len(covered) != side.templates[template].count("#"):
                return False
        return True

    def _strange(self, template: str, other: str) -> bool:
        """Whether a word of either path is one of the other model's too, but not here.

        Established counterparts are not, unless one of the paths has its very like in the other model.
        """
        if template == other:
            return False
        namesakes = template in self._called[1] or other in self._called[0]
        if not namesakes and (
            self.counterpart[0].get(template) == other or self.counterpart[1].get(other) == template
        ):
            return False
        mine, theirs = (
            {part for part in word_of(name).split(".") if part} for name in (template, other)
        )
        return bool((mine - theirs) & self._parts[1] or (theirs - mine) & self._parts[0])

    def apart(self, template: str, other: str) -> bool:
        """Whether two templates belong to different parts of the models."""
        expected, back = self.counterpart[0].get(template), self.counterpart[1].get(other)
        if expected is not None and back is not None:
            return expected != other and back != template
        if expected == other or back == template:
            return False
        word, its = word_of(template), word_of(other)
        return word != its and word in self._words[1] and its in self._words[0]

    def template(self, which: int, node: int) -> int:
        """A number for the template of a node's path."""
        side = self.paths[which]
        return side.template[side.of[node]]

    def judge(self, template: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """For a first-side template, over all second-side templates: which is its counterpart, which are apart."""
        found = self._judged.get(template)
        if found is None:
            name = self.paths[0].templates[template]
            expected = self.counterpart[0].get(name)
            found = (
                np.array([other == expected for other in self._called[1]], bool),
                np.array([self.apart(name, other) for other in self._called[1]], bool),
            )
            self._judged[template] = found
        return found

    def key(self, which: int, node: int) -> _Key | None:
        """What names say of the node's place, equal for nodes whose paths go together; None for nothing."""
        path = self.paths[which].of[node]
        try:
            return self._keys[which][path]
        except KeyError:
            found = self._keys[which][path] = self._key(which, path)
            return found

    def _key(self, which: int, path: int) -> _Key | None:
        side = self.paths[which]
        template = side.templates[side.template[path]]
        place = template if which else self.counterpart[0].get(template)
        if place is None or (which and self.counterpart[1].get(template) is None):
            return None
        if which == 0 and self.counterpart[1].get(place) != template:
            return None
        marks = self._marks[which][path]
        if side.numbers[path] and not marks:
            return None
        return place, tuple(sorted(marks.items()))


def _certain(counts: Counter[tuple[int, int]]) -> tuple[int, int] | None:
    """The one difference of numbers that all votes, of several numbers, agree on, and how many they are."""
    if len({offset for _, offset in counts}) != 1 or len(counts) < 2:
        return None
    return next(iter(counts))[1], sum(counts.values())


def _natural(
    sure: Counter[tuple[int, int]], likely: Counter[tuple[int, int]], likeness: int
) -> tuple[int, int] | None:
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
    if not doubted and (
        (likeness == 2 and (totals[0] or (shifted and not settled)))
        or (likeness == 1 and not settled and totals[0] * 4 >= total)
    ):
        return 0, totals[0]
    return (best, count) if settled else None
