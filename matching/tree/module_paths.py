"""The module paths of one model: their templates, the numbers in them, and the containers they
number.

Many operations share a path, and blocks share a template: whatever is asked of a path is asked once
for each path, or once for each template, never for each operation.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

__all__ = ["LETTERED", "THROUGH", "Paths", "split_path", "word_of"]

_ENDING = re.compile(r"(\d+)([a-z]?)$")
LETTERED = 100
"""Number of "6" in "6b": numbers with a letter count 100 times, so that "5d" stands before "6b"."""
OWN = "\N{FULLWIDTH NUMBER SIGN}"
"""Stands in a template for a "#" of the path's own, which is no number's place."""
THROUGH = "@"
"""Ends the name of a container counted through its outer ones."""


@lru_cache(maxsize=1 << 12)
def _numbered_word(part: str) -> tuple[str, int] | None:
    """A part of a path that is a word with a number at its end, as its template and the number."""
    ending = _ENDING.search(part)
    if ending is None:
        return None
    digits, letter = ending.groups()
    return part[: ending.start()] + "#", (
        int(digits) * LETTERED + ord(letter) - ord("a") if letter else int(digits)
    )


def split_path(path: str) -> tuple[str, tuple[int, ...]]:
    """The template of a dotted path, and the numbers in it.

    A part that is a number counts; digits at the end of a word count where no number stands before
    ("layer2.0.conv1" is "layer#.#.conv1", "Mixed_6b.conv" is "Mixed_#.conv"): further in they name
    parts of a block, not the block.
    """
    parts = []
    numbers: list[int] = []
    for part in path.replace("#", OWN).split("."):
        if part.isdecimal():
            numbers.append(int(part))
            parts.append("#")
            continue
        ending = None if numbers else _numbered_word(part)
        if ending is not None:
            part, number = ending
            numbers.append(number)
        parts.append(part)
    return ".".join(parts), tuple(numbers)


@lru_cache(maxsize=1 << 16)
def _containers(template: str) -> tuple[str, ...]:
    """The template's beginnings that end in a number, one for each number."""
    return tuple(template[: at + 1] for at, letter in enumerate(template) if letter == "#")


def word_of(template: str) -> str:
    """What stands behind the last number of a template."""
    return template.rpartition("#")[2].strip(".")


class Paths:
    """The paths of one model's operations and modules, each known by its number.

    Attributes:
        of: by node the number of its path.
        template, numbers: by path its template, as its number among `templates`, and the numbers in
            it.
        templates: all templates of operations' paths first, in the order of the operations, then of
            other modules'.
        called: how many of the templates are those of operations.
        containers: by template the containers around it, with those counted through their outer
            ones.
        places: by path the number in each of its template's containers.
        inventory: all numbers that stand at the end of a container, by its name.
    """

    def __init__(self, nodes: Sequence[str], modules: Iterable[str]) -> None:
        known: dict[str, int] = {}
        self.of = [known.setdefault(path, len(known)) for path in nodes]
        own = len(known)
        for path in modules:
            known.setdefault(path, len(known))
        templates: dict[str, int] = {}
        self.template: list[int] = []
        self.numbers: list[tuple[int, ...]] = []
        self.called = 0
        for at, path in enumerate(known):
            template, numbers = split_path(path)
            self.template.append(templates.setdefault(template, len(templates)))
            self.numbers.append(numbers)
            if at < own:
                self.called = len(templates)
        self.templates = list(templates)
        ranks = self._ranks()
        self.containers = [
            (*around, *(name + THROUGH for name in around if name in ranks))
            for around in map(_containers, self.templates)
        ]
        deep = [
            [
                (depth, ranks[name])
                for depth, name in enumerate(_containers(template))
                if name in ranks
            ]
            for template in self.templates
        ]
        self.places = [
            (
                (*numbers, *(rank[numbers[: depth + 1]] for depth, rank in deep[kind]))
                if deep[kind]
                else numbers
            )
            for kind, numbers in zip(self.template, self.numbers, strict=True)
        ]
        found: dict[str, set[int]] = defaultdict(set)
        for kind, numbers in zip(self.template, self.places, strict=True):
            for container, number in zip(self.containers[kind], numbers, strict=True):
                found[container].add(number)
        self.inventory = {name: frozenset(numbers) for name, numbers in found.items()}

    def _ranks(self) -> dict[str, dict[tuple[int, ...], int]]:
        """For containers within containers, the place of each block counted through all of them:
        the other model may keep them in one list."""
        blocks: dict[str, set[tuple[int, ...]]] = defaultdict(set)
        for template, numbers in zip(self.template, self.numbers, strict=True):
            for depth, container in enumerate(_containers(self.templates[template])):
                blocks[container].add(numbers[: depth + 1])
        # Plain numbers say their place themselves.
        return {
            container: {block: rank for rank, block in enumerate(sorted(found))}
            for container, found in blocks.items()
            if container.count("#") != 1 or max(found)[0] >= LETTERED
        }

    def numbers_in(self, container: str) -> frozenset[int]:
        """All numbers that stand at the end of a container."""
        return self.inventory.get(container, frozenset())
