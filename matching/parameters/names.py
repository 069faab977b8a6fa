"""Names of parameters: the numbers in them, and how alike two are."""

from __future__ import annotations

import re

__all__ = ["likeness", "numbers", "template"]

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


def likeness(first: str, second: str) -> float:
    """How alike two templates are: the same whole counts most, then the same end, then shared
    words."""
    ours, theirs = (set(re.split(r"[._#]+", name)) - {""} for name in (first, second))
    shared = len(ours & theirs) / max(len(ours | theirs), 1)
    same_end = first.rpartition(".")[2] == second.rpartition(".")[2]
    return 2.0 * (first == second) + same_end + shared
