"""Outputs that one model returns in one place and the other in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from padiff_graph.capture.engine import Array
from padiff_graph.executor.output_pairs import OutputPair
from padiff_graph.referee.tolerance import Quantity, Tolerance, quantity

__all__ = ["Crossing", "crossings"]

ROUNDED = 1e-4
"""Difference relative to the largest value up to which two outputs are one value that two models
round in their own ways; chosen above what float32 leaves of deep equal models, and so small that
only a reader of such differences minds which of the two is where."""
FAR = 10.0
"""So many times as far as the pair that one computation yields have two values in one place to be
apart: what rounding, or a fault further up, leaves of either pair is of one size."""


@dataclass(frozen=True)
class Crossing:
    """Two outputs that the same computation yields, in two places.

    Attributes:
        first, second: the places in the first and the second model.
        beside: the place of the second that is the counterpart of the first's.
        apart: how far what stands in one place of both is apart; 0.0 where it is the same.
        relative: that against the largest value.
    """

    first: str
    second: str
    beside: str
    apart: float
    relative: float


def crossings(
    placed: Sequence[tuple[str, str]],
    yielded: Sequence[OutputPair],
    arrays: tuple[Mapping[str, Array], Mapping[str, Array]],
    asked: Tolerance,
) -> tuple[Crossing, ...]:
    """What the same computation yields in two places.

    A value that is returned under several names crosses nothing.

    Args:
        placed: outputs that stand in the same place, (first, second).
        yielded: outputs that the same computation yields.
        arrays: each model's outputs.
        asked: what a difference is held against.
    """
    strict = replace(asked, mode="strict")
    found: list[Crossing] = []
    for pair, beside in _crossed(placed, yielded):
        ours = arrays[0][pair.first]
        held = quantity("output", pair.first, beside, ours, arrays[1][beside], strict)
        across = quantity("output", pair.first, pair.second, ours, arrays[1][pair.second], strict)
        apart = relative = 0.0
        if _is_another(held, across):
            apart, relative = held.error, held.relative
        found.append(Crossing(pair.first, pair.second, beside, apart, relative))
    return tuple(found)


def _crossed(
    placed: Sequence[tuple[str, str]], yielded: Sequence[OutputPair]
) -> Iterator[tuple[OutputPair, str]]:
    """Pairs by what yields them whose places are no counterparts, with the counterpart of the
    first's."""
    mates, back = dict(placed), {theirs: ours for ours, theirs in placed}
    seconds = {pair.second: pair.second_value for pair in yielded}
    firsts = {pair.first: pair.first_value for pair in yielded}
    for pair in yielded:
        beside = mates.get(pair.first)
        if beside is None or beside == pair.second:
            continue
        same_second = seconds.get(beside) == pair.second_value
        same_first = firsts.get(back.get(pair.second, "")) == pair.first_value
        if not (same_second or same_first):
            yield pair, beside


def _is_another(beside: Quantity, across: Quantity) -> bool:
    """Whether what stands in one place is two values, less alike than what one computation
    yields."""
    if beside.within or beside.error <= ROUNDED * beside.scale:
        return False
    return bool(beside.reason) or beside.error > FAR * across.error
