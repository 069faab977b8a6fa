"""Parameters that are the parts of one parameter of the other model, in another order there than
they are numbered, or named after what an attention does with them.

Nothing but their weights tells such parts apart. The scores of an attention are the same function
with query and key exchanged, so that copied weights take up the exchange.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.parameters.names import template
from padiff_graph.matching.result import Matching
from padiff_graph.weights.crossed_names import ADVICE, owner, role

__all__ = ["turned_parts"]


class _Part(NamedTuple):
    """A parameter that fills a part of one of the other model, or is filled from it.

    Attributes:
        side: the model that holds the part.
        name: its name.
        whole: the other model's parameter.
        start: where in that the part begins.
    """

    side: int
    name: str
    whole: str
    start: int

    @property
    def number(self) -> tuple[str, int] | None:
        """The name without the number of its module in a list, and the number."""
        module, _, leaf = self.name.rpartition(".")
        parent, _, number = module.rpartition(".")
        return (f"{parent}.#.{leaf}", int(number)) if number.isdecimal() else None

    @property
    def role(self) -> tuple[str, int] | None:
        """The same with the word for its role in an attention."""
        return role(self.name)


def turned_parts(matching: Matching) -> tuple[Finding, ...]:
    """One finding for each module whose numbered parts (`heads.0`, `heads.1`) stand in another
    order in a parameter of the other model, and one for all layers where parts named after query,
    key and value do. A checkpoint that is split or packed in order would exchange them."""
    parts = list(_parts(matching))
    return (*_by_number(matching, parts), *_by_role(matching, parts))


def _by_number(matching: Matching, parts: list[_Part]) -> Iterator[Finding]:
    turned: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for (side, whole), found in _turned(parts, "number"):
        parent = owner(owner(found[0]))
        turned[side, parent, owner(whole)] += found
    for (side, parent, whole), names in turned.items():
        place = (whole, parent) if side else (parent, whole)
        cause = Cause.of("weights.shuffled", parameters=tuple(names))
        yield _finding(matching, cause, [place])


def _by_role(matching: Matching, parts: list[_Part]) -> Iterator[Finding]:
    alike: dict[tuple[int, str, tuple[str, ...]], list[tuple[str, list[str]]]] = defaultdict(list)
    for (side, whole), found in _turned(parts, "role"):
        owners = tuple(template(owner(name)) for name in found)
        alike[side, template(owner(whole)), owners].append((whole, found))
    for (side, _, _), turned in alike.items():
        whole, names = turned[0]
        cause = Cause.of("weights.parts_turned", side=side, name=whole, parameters=tuple(names))
        places = [
            (owner(holding), owner(part)) if side else (owner(part), owner(holding))
            for holding, found in turned
            for part in found
        ]
        yield _finding(matching, cause, places)


def _finding(matching: Matching, cause: Cause, places: list[tuple[str, str]]) -> Finding:
    return Finding(
        "weights",
        "suspicious",
        cause,
        *places[0],
        places=tuple(dict.fromkeys(places)),
        advice=ADVICE,
        frameworks=matching.frameworks,
    )


def _turned(parts: list[_Part], by: str) -> Iterator[tuple[tuple[int, str], list[str]]]:
    """By side and parameter of the other model the parts that stand in another order than their
    numbers, or roles, say: their names, as they stand."""
    alike: dict[tuple[int, str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for part in parts:
        told: tuple[str, int] | None = getattr(part, by)
        if told is not None:
            found = alike[part.side, part.whole, told[0]]
            found.setdefault(part.name, (told[1], part.start))
    for (side, whole, _), places in alike.items():
        standing = sorted(places, key=lambda name: places[name][1])
        starts = [start for _, start in sorted(places.values())]
        if len(set(starts)) == len(starts) and starts != sorted(starts):
            yield (side, whole), standing


def _parts(matching: Matching) -> Iterator[_Part]:
    """The parts of both sides; one in several pieces once for each, in its own order."""
    for row in matching.parameters:
        pieces = row.pieces if row.status == "mapped" else ()
        for piece in sorted(pieces, key=lambda each: each.first_view.start):
            yield _Part(0, row.first, piece.second, piece.second_view.start)
        for piece in sorted(pieces, key=lambda each: each.second_view.start):
            yield _Part(1, piece.second, row.first, piece.first_view.start)
