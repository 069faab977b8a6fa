"""What one change of a cast does, found by making it: the placement of one side is changed to the
other's at one place, and the graph run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.capture.with_loss import LOSS
from padiff_graph.matching.result import Matching
from padiff_graph.precision.placement import HIGH, LOW, Placement
from padiff_graph.precision.profiles import Parted, Reading
from padiff_graph.precision.rounding import LowSide, emulate

__all__ = ["OutputPair", "Trial", "Tried", "distance", "output_pairs", "root_mean_square"]

OutputPair = tuple[str, Value, str, Value]
"""An output of the first model and of the second: names and values."""


@dataclass(frozen=True)
class Tried:
    """What one change did.

    Attributes:
        side: whose placement was changed, 0 or 1.
        changed: the largest absolute change of any value that reads the place, or an output.
        output: the largest absolute change of an output of that side.
        apart: the difference of both sides' outputs after it, root of the mean square.
    """

    side: int
    changed: float
    output: float
    apart: float


def output_pairs(matching: Matching, readings: tuple[Reading, Reading]) -> list[OutputPair]:
    """Floating outputs of the same size, in the users' order; a loss with the other's."""
    found: list[OutputPair] = []
    sides = [_outputs(reading) for reading in readings]
    own = [[output for output in side if output[0] != LOSS] for side in sides]
    losses = [[output for output in side if output[0] == LOSS] for side in sides]
    pairs = [*zip(*own, strict=False), *zip(*losses, strict=False)]
    for (first_name, first), (second_name, second) in pairs:
        types = readings[0].side.graph.type_of(first), readings[1].side.graph.type_of(second)
        if types[0] is not None and types[1] is not None and types[0].size == types[1].size:
            found.append((first_name, first, second_name, second))
    return found


def _outputs(reading: Reading) -> list[tuple[str, Value]]:
    return [
        (node.name, node.inputs[0])
        for node in reading.side.graph.of_kind("output")
        if node.inputs and node.inputs[0] in reading.placement and node.inputs[0] is not None
    ]


def distance(first: Array, second: Array) -> float:
    """The largest absolute difference; infinite where one side alone is not finite."""
    one, other = first.reshape(-1), second.reshape(-1)
    finite = np.isfinite(one) & np.isfinite(other)
    same = finite | (one == other) | (np.isnan(one) & np.isnan(other))
    if not same.all():
        return float("inf")
    return float(np.abs(one[finite] - other[finite]).max(initial=0.0))


def root_mean_square(first: Array, second: Array) -> float:
    """The root of the mean square of a difference; infinite where it is not finite."""
    with np.errstate(all="ignore"):
        found = float(np.sqrt(np.mean(np.square(first.reshape(-1) - second.reshape(-1)))))
    return found if np.isfinite(found) else float("inf")


class Trial:
    """Makes changes and runs them; each side's own run is made once.

    Attributes:
        pairs: outputs of both sides, the loss among them.
        losses: the pair of losses, where both have one.
        outputs: what the models return themselves.
    """

    def __init__(
        self, matching: Matching, readings: tuple[Reading, Reading], precision: str
    ) -> None:
        self.matching = matching
        self.readings = readings
        self.precision = precision
        self.pairs = output_pairs(matching, readings)
        self.losses = [pair for pair in self.pairs if pair[0] == LOSS]
        self.outputs = [pair for pair in self.pairs if pair[0] != LOSS]
        self.base = tuple(
            emulate(reading.side, precision, reading.placement.keys()) for reading in readings
        )

    @property
    def sides(self) -> tuple[LowSide, LowSide]:
        """Both stand-ins."""
        return self.readings[0].side, self.readings[1].side

    def run(self, group: Sequence[Parted]) -> Tried:
        """What `altered` does."""
        return self.of(*self.altered(group))

    def altered(self, group: Sequence[Parted]) -> tuple[int, Placement]:
        """The first side with the second's placement, or the other way round where the first has a
        kernel with no choice."""
        side = 0 if all(self._has(0, parted) for parted in group) else 1
        placement = dict(self.readings[side].placement)
        for parted in group:
            placement |= self._change(side, parted)
        return side, placement

    def of(self, side: int, placement: Placement) -> Tried:
        """What a placement of one side does."""
        own = self.readings[side].placement
        touched = [value for value, held in placement.items() if own[value] != held]
        kept = self._watched(side, touched)
        ran = emulate(self.sides[side], self.precision, kept, placement).values
        base = self.base[side].values
        changes = [distance(ran[value], base[value]) for value in kept if value in ran]
        ours = [pair[1] if side == 0 else pair[3] for pair in self.pairs]
        moved = [distance(ran[value], base[value]) for value in ours]
        values = [self.base[0].values, self.base[1].values]
        values[side] = {**values[side], **ran}
        return Tried(
            side,
            max(changes, default=0.0),
            max(moved, default=0.0),
            self.apart(values[0], values[1]),
        )

    def apart(self, first: Mapping[Value, Array], second: Mapping[Value, Array]) -> float:
        """The difference of both sides' outputs, root of the mean square; of the worst output."""
        return max(
            (root_mean_square(first[own], second[other]) for _, own, _, other in self.outputs),
            default=0.0,
        )

    def _has(self, side: int, parted: Parted) -> bool:
        """Whether a side spells out every part that differs."""
        return set(parted.parts) <= self._parts(side, parted).keys()

    def _parts(self, side: int, parted: Parted) -> Mapping[str, Sequence[Value]]:
        normal = (self.matching.first, self.matching.second)[side]
        number = (parted.first, parted.second)[side]
        return self.readings[side].parts(normal.nodes[number])

    def _change(self, side: int, parted: Parted) -> dict[Value, str]:
        target = (parted.second_profile, parted.first_profile)[side]
        changes: dict[Value, str] = {}
        for part in parted.parts:
            for value in self._parts(side, parted).get(part, ()):
                if target[part] == LOW:
                    changes[value] = LOW
                    continue
                changes |= dict.fromkeys((value, *self.readings[side].casts(value)), HIGH)
        return changes

    def _watched(self, side: int, touched: Sequence[Value]) -> set[Value]:
        """Outputs, and what computes with the touched values, at any number of casts.

        What all readers round at once is watched once it is rounded.
        """
        reading = self.readings[side]
        watched = {pair[1] if side == 0 else pair[3] for pair in self.pairs}
        todo = list(touched)
        changed = set(touched)
        while todo:
            for reader in reading.readers.get(todo.pop(), ()):
                value = Value(reader)
                if value not in reading.placement or value in watched:
                    continue
                if value in changed or self._rounded_behind(reading, value):
                    todo.append(value)
                else:
                    watched.add(value)
        return watched

    def _rounded_behind(self, reading: Reading, value: Value) -> bool:
        """Whether only what is made of a float32 value counts: it is a cast, or is cast at once."""
        if reading.placement[value] == LOW:
            return False
        return value.node in reading.side.casts or reading.effective(value) == LOW
