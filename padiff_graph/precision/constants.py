"""Numbers of the code that one model rounds to the low precision and the other does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padiff_graph.capture.graph import Value
from padiff_graph.precision.placement import LOW
from padiff_graph.precision.profiles import Reading
from padiff_graph.precision.rounding import rounded

__all__ = ["Constant", "lone_constants"]

SAME = 1e-5
"""Relative distance within which two numbers are one: frameworks hold some as float32, and the
code may compute one from the other's."""


@dataclass(frozen=True)
class Constant:
    """A number that is rounded.

    Attributes:
        side: 0 or 1.
        value: where it stands in the graph.
        number: as the code has it.
        held: as the low precision has it.
    """

    side: int
    value: Value
    number: float
    held: float


def lone_constants(readings: Sequence[Reading], precision: str) -> list[Constant]:
    """Numbers that are rounded on one side only, in the order of that side."""
    first, second = (_rounded(reading, side, precision) for side, reading in enumerate(readings))
    return [*_without(first, second), *_without(second, first)]


def _rounded(reading: Reading, side: int, precision: str) -> list[Constant]:
    found: list[Constant] = []
    for node in reading.side.graph.records():
        value = Value(node.id)
        if node.constant is None or node.constant.size != 1 or node.kind == "output":
            continue
        if reading.placement.get(value) != LOW or node.kind in ("parameter", "buffer"):
            continue
        number = float(node.constant.reshape(-1)[0])
        held = float(rounded(node.constant, precision).reshape(-1)[0])
        if held != number and _computed_with(reading, value):
            found.append(Constant(side, value, number, held))
    return found


def _computed_with(reading: Reading, value: Value) -> bool:
    """Whether an operation that is no constant itself reads it."""
    graph = reading.side.graph
    return any(
        graph.record(reader).constant is None and graph.record(reader).kind == "operation"
        for reader in reading.readers.get(value, ())
    )


def _without(own: list[Constant], others: list[Constant]) -> list[Constant]:
    """Those of which the other side has no counterpart; each counterpart serves once."""
    left = list(others)
    lone: list[Constant] = []
    for constant in own:
        alike = [one for one in left if abs(one.number - constant.number) <= SAME * abs(one.number)]
        if alike:
            left.remove(alike[0])
        else:
            lone.append(constant)
    return lone
