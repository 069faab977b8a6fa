"""What module paths say: which numbers of one model's paths stand for which of the other's.

Two models spell their modules differently, but both number repeated blocks and give the parts of a
block words of their own. Structure teaches the relation: which numbered container
("encoder.layers.#") goes with which of the other model and how far their numbers are apart, and
which template of a whole path ("encoder.layers.#.linear1") with which. Names then tell repeated
blocks apart where structure cannot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.matching.tree.module_paths import THROUGH, Paths, word_of
from padiff_graph.matching.tree.number_relations import Relations, counterparts, relations, tally

__all__ = ["Names"]

_Key = tuple[str, tuple[tuple[int, int], ...]]
"""A path as both models may spell it: the second one's template, and the numbers by relation."""


class Names:
    """The relation of the two models' module paths, as far as it is learned.

    Attributes:
        paths: for each side the paths of its nodes and modules.
        offsets: (first container, second container) -> how far second numbers exceed first numbers.
        counterpart: first template -> second template, and the other way, where matches establish
            it.
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
        self.offsets: Mapping[tuple[str, str], int] = {}
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
        """Learns from matches, and from pairs that may be wrong in part, such as runs shifted by a
        block."""
        counted = tally(self.paths, sure, likely)
        self._settle(relations(self.paths, counted), counterparts(counted))

    def _settle(
        self, learned: Relations, counterpart: tuple[dict[str, str], dict[str, str]]
    ) -> None:
        """Takes over what was learned; what was asked before is asked again where that is something
        new."""
        renumbered = list(learned.offsets.items()) != list(self.offsets.items())
        if not renumbered and counterpart == self.counterpart and learned.firm == self._firm:
            return
        self.offsets, self._firm = learned.offsets, learned.firm
        self.counterpart = counterpart
        for asked in (self._judged, self._agreeing, self._apart, self._sure, *self._keys):
            asked.clear()
        if renumbered:
            self.room = [self._shared_numbers(*containers) for containers in self.offsets]
            for which in (0, 1):
                self._marks[which][:] = self._marked(which)

    def _shared_numbers(self, container: str, other: str) -> frozenset[int]:
        """The numbers that both models have in containers that go with each other alone."""
        if sum(container == key[0] or other == key[1] for key in self.offsets) > 1:
            return frozenset()
        offset = self.offsets[container, other]
        mine, theirs = self.paths[0].numbers_in(container), self.paths[1].numbers_in(other)
        return frozenset(number + offset for number in mine) & theirs

    def _marked(self, which: int) -> list[dict[int, int]]:
        """For each path its numbers in the learned relations, in the second model's numbers."""
        side = self.paths[which]
        known: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for relation, (containers, offset) in enumerate(self.offsets.items()):
            known[containers[which]].append((relation, 0 if which else offset))
        speaking = [
            [
                (place, relation, offset)
                for place, container in enumerate(containers)
                for relation, offset in known.get(container, ())
            ]
            for containers in side.containers
        ]
        return [
            {relation: numbers[place] + offset for place, relation, offset in speaking[template]}
            for template, numbers in zip(side.template, side.places, strict=True)
        ]

    def marks(self, which: int, node: int) -> Mapping[int, int]:
        """The numbers in a node's path, in the second model's numbers, by relation."""
        return self._marks[which][self.paths[which].of[node]]

    def agree(self, first: int, second: int) -> bool | None:
        """Whether the paths of two nodes go together; None where names say nothing.

        They do not where the numbers of corresponding containers differ, where one lies in a
        container in which the other would have to lie, where both paths are established as
        counterparts of others, or, as long as nothing is established, where both models use both
        words but not here.
        """
        key = (self.paths[0].of[first], self.paths[1].of[second])
        if key not in self._agreeing:
            self._agreeing[key] = self._agree(*key)
        return self._agreeing[key]

    def _agree(self, path: int, other: int) -> bool | None:
        mine, theirs = self._marks[0][path], self._marks[1][other]
        shared = mine.keys() & theirs.keys()
        if any(mine[relation] != theirs[relation] for relation in shared):
            return False
        for relation in mine.keys() ^ theirs.keys():
            number = mine.get(relation, theirs.get(relation))
            if number in self.room[relation]:
                return False
        pair = (self.paths[0].template[path], self.paths[1].template[other])
        if pair not in self._apart:
            names = self.paths[0].templates[pair[0]], self.paths[1].templates[pair[1]]
            self._apart[pair] = self.apart(*names)
        if self._apart[pair]:
            return False
        return True if shared else None

    def firm(self, first: int, second: int) -> bool:
        """Whether names leave no other place for two nodes that agree: relations that surely hold
        throughout cover every number in both paths, and no word of one is used for something else
        by the other.

        The templates decide it, whatever the numbers.
        """
        pair = (
            self.paths[0].template[self.paths[0].of[first]],
            self.paths[1].template[self.paths[1].of[second]],
        )
        if pair not in self._sure:
            names = self.paths[0].templates[pair[0]], self.paths[1].templates[pair[1]]
            self._sure[pair] = self._covered(pair) and not self._strange(*names)
        return self._sure[pair]

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

        Established counterparts are not, unless one of the paths has its very like in the other
        model.
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
        """For a first-side template, over all second-side templates: which is its counterpart,
        which are apart."""
        if template not in self._judged:
            name = self.paths[0].templates[template]
            expected = self.counterpart[0].get(name)
            self._judged[template] = (
                np.array([other == expected for other in self._called[1]], bool),
                np.array([self.apart(name, other) for other in self._called[1]], bool),
            )
        return self._judged[template]

    def key(self, which: int, node: int) -> _Key | None:
        """What names say of the node's place, equal for nodes whose paths go together; None for
        nothing."""
        path = self.paths[which].of[node]
        keys = self._keys[which]
        if path not in keys:
            keys[path] = self._key(which, path)
        return keys[path]

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
