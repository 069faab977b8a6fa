"""Which weights a training leaves where they were though gradients arrive: updates below half a
unit in the last place of half precision are lost where nothing adds them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import ParameterRow
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["StillWatch"]

LEAST, SIGMAS = 0.01, 6.0
"""Share of the weights that must have moved on one side alone, and how far beyond chance they must
outnumber those that moved on the other alone. Healthy pairs have 0.001 on either side (perceptron,
classifier and decoder, bfloat16, five steps), lost masters from 0.02 on."""
AS_FAR = 0.85
"""Share of the way of the others that weights must have come that moved on both sides: what is
rounded in every step goes as far or further, what moves at a lower rate does not."""
Pair = tuple[str, str]


@dataclass
class _Still:
    """One side.

    Attributes:
        start: weights before the first step.
        reached: elements that a gradient arrived at.
        moved: elements that are no longer where they were at the start.
        come: how far each has come.
    """

    start: dict[str, Array] = field(default_factory=dict)
    reached: dict[str, Array] = field(default_factory=dict)
    moved: dict[str, Array] = field(default_factory=dict)
    come: dict[str, Array] = field(default_factory=dict)

    def look(self, record: StepRecord) -> None:
        for name, gradient in record.accumulated.items():
            if name not in record.before or name not in record.after:
                continue
            start = self.start.setdefault(name, record.before[name])
            self.reached[name] = self.reached.get(name, np.asarray(False)) | (gradient != 0)
            self.moved[name] = record.after[name] != start
            self.come[name] = np.abs(np.asarray(record.after[name], np.float64) - start)

    def share(self, names: Iterable[str]) -> float | None:
        """The share of the reached elements that did not move; None where none was reached."""
        known = [name for name in names if name in self.reached]
        reached = sum(int(self.reached[name].sum()) for name in known)
        still = sum(int((self.reached[name] & ~self.moved[name]).sum()) for name in known)
        return still / reached if reached else None


class StillWatch:
    """Both sides, step by step."""

    def __init__(self) -> None:
        self.sides = _Still(), _Still()
        self.steps = 0

    def look(self, first: StepRecord, second: StepRecord) -> None:
        """Reads where a step left the weights."""
        self.steps += 1
        for side, record in zip(self.sides, (first, second), strict=True):
            side.look(record)

    def loser(self, rows: Sequence[ParameterRow]) -> int | None:
        """The side whose weights stay where the other's move, though they go as far where both do:
        updates are lost there. None where that is not so."""
        alone = np.zeros(2, np.int64)
        come = np.zeros(2)
        total = 0
        for row in rows:
            names = {piece.second for piece in row.pieces}
            first, second = self.sides
            if row.first not in first.moved or not second.moved.keys() >= names:
                continue
            moved = first.moved[row.first], mapped(row, first.moved[row.first], second.moved)
            both = moved[0] & moved[1]
            alone += [int((moved[0] & ~moved[1]).sum()), int((moved[1] & ~moved[0]).sum())]
            come[0] += first.come[row.first][both].sum()
            come[1] += mapped(row, first.come[row.first], second.come)[both].sum()
            total += moved[0].size
        side = int(alone[0] > alone[1])
        surplus = int(alone[1 - side] - alone[side])
        beyond_chance = surplus > SIGMAS * np.sqrt(alone.sum())
        if not beyond_chance or surplus < LEAST * total or come[side] < AS_FAR * come[1 - side]:
            return None
        return side

    def facts(self, pairs: Iterable[Pair]) -> dict[str, object]:
        """Shares of both sides in some parameters, as facts of a cause; none where no gradient
        arrived."""
        names = list(zip(*dict.fromkeys(pairs), strict=True))
        shares = [side.share(set(own)) for side, own in zip(self.sides, names, strict=True)]
        if len(shares) < 2 or None in shares:
            return {}
        return {"first_share": shares[0], "second_share": shares[1], "steps": self.steps}
