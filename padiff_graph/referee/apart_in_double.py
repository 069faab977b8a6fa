"""Two models judged by what each computed by itself in float64, from the same inputs on: how far
they may be apart where what they read is apart by rounding already."""

from __future__ import annotations

from typing import Literal

from padiff_graph.referee.referee import EXACT, LEFTOVER, Measured

__all__ = ["READS", "cancelled", "judge_apart"]

READS = LEFTOVER
"""Relative difference of what is read up to which anything is concluded: what frameworks leave in
float64, holding constants as float32."""
CARRIED = 10.0
"""So many times as far as what is read may what is made of it be apart and still be the same;
chosen so that a normalisation or a sum of cancelling terms may do it, and the epsilon of a norm,
5e-6, shows where what is read is apart by rounding of float64."""
AMPLIFIED = 1e3
"""From so many times on it is another function: no operation that is well conditioned magnifies by
as much. In between nothing is concluded."""


UNIT = 1e-15
"""Some units of float64, relative: what each term of a sum may be apart by itself."""


def cancelled(read: float, largest: float, terms: float) -> float:
    """How far two sums of gradients may be apart whose terms cancel, as those of the bias of a key
    do behind a softmax.

    Args:
        read: how far the terms are apart already, relative.
        largest: magnitude of a term.
        terms: how many are summed.
    """
    return (UNIT + read) * largest * max(terms, 1.0)


def judge_apart(
    read: float, made: Measured, *, attribute: bool = False
) -> Literal["equal", "open", "different"]:
    """Judges one tensor.

    Args:
        read: the largest relative difference of what it is made of.
        made: the tensor in float64, measured.
        attribute: whether structure names a differing attribute here; then no more than what was
            read is excused.
    """
    relative = made.error / made.scale if made.scale else made.error
    left, carried = (EXACT, 1.0) if attribute else (LEFTOVER, CARRIED)
    if relative <= left + carried * read:
        return "equal"
    return "different" if relative > left + AMPLIFIED * read else "open"
