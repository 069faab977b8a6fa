"""What is to be known of both captures, with the side that it is true of."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["side_notes"]

SIDES = ("first model", "second model")


def side_notes(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Notes of two captured graphs: once and plainly what is said of both, else with its side."""
    of_both = {*first} & {*second}
    told = dict.fromkeys(
        note if note in of_both else f"{side}: {note}"
        for side, notes in zip(SIDES, (first, second), strict=True)
        for note in notes
    )
    return tuple(told)
