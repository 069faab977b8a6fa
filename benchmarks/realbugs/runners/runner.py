"""What a tool's runner is: a function from a case's pair to what the tool said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.realbugs.case import Case, Pair

__all__ = ["Runner", "Said"]


@dataclass(frozen=True)
class Said:
    """What a tool said of a pair.

    Attributes:
        verdict: "same", "different", "framework" (the frameworks differ, not the models), or
            "cannot" (it raised, or refused).
        place: the port's module path that it names first, "" for the root; None for none.
        cause: an id of docs/causes.md, or None.
        text: what it says of the cause, in its own words.
    """

    verdict: Literal["same", "different", "framework", "cannot"]
    place: str | None = None
    cause: str | None = None
    text: str = ""


Runner = Callable[[Case, Pair], Said]
