"""Names of parameters: the numbers in them, and how alike two are."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["likeness", "list_places", "numbers", "template"]

LAYER = re.compile(r"_l(\d+)(?=_reverse$|$)")
"""How the frameworks' recurrent layers number their weights: weight_ih_l0, bias_hh_l1_reverse."""


def template(name: str) -> str:
    """A name with every number that stands for itself replaced, and that of a recurrent layer."""
    parts = ("#" if part.isdecimal() else part for part in name.split("."))
    return LAYER.sub("_l#", ".".join(parts))


def numbers(name: str) -> tuple[int, ...]:
    """The numbers that its template has replaced, in order."""
    own = [int(part) for part in name.split(".") if part.isdecimal()]
    return (*own, *(int(layer) for layer in LAYER.findall(name)))


def list_places(name: str) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """The numbered lists that a name may stand in: their template, the numbers around, and the
    place. The innermost number counts; or the one before, where the innermost is the part of a
    block: "experts.#.0.weight" is the first layer of every expert."""
    places = numbers(name)
    if places:
        yield template(name), places[:-1], places[-1]
    parts = name.split(".")
    own = [at for at, part in enumerate(parts) if part.isdecimal()]
    if len(own) > 1 and len(own) == len(places):
        named = ".".join("#" if at in own[:-1] else part for at, part in enumerate(parts))
        yield named, places[:-2], places[-2]


def likeness(first: str, second: str) -> float:
    """How alike two templates are: the same whole counts most, then the same end, then shared
    words."""
    ours, theirs = (set(re.split(r"[._#]+", name)) - {""} for name in (first, second))
    shared = len(ours & theirs) / max(len(ours | theirs), 1)
    same_end = first.rpartition(".")[2] == second.rpartition(".")[2]
    return 2.0 * (first == second) + same_end + shared
