"""Which parameters a gradient reaches in a step, and what becomes of those that none reaches.

A parameter that is frozen until a later step, or trained from an earlier one, shows when its first
gradient arrives. One that a step does not use has no gradient in torch, and is left alone; where
gradients were set to zero, as Paddle's `clear_grad` does, momentum and decay go on moving it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.matching.result import ParameterRow
from padiff_graph.training.optimizer_settings import SettingDifference
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["ReachWatch"]

GRADIENT, IDLE = "gradient", "update without a gradient"
ARRIVES = {True: "arrives", False: "none"}
MOVES = {True: "made", False: "none"}

Told = tuple[str, str, str]


@dataclass
class ReachWatch:
    """Both sides' parameters, step by step.

    Attributes:
        lopsided: first names of parameters that a gradient reached on one side alone in the first
            step: something else tells those.
    """

    lopsided: set[str] = field(default_factory=set)

    def look(
        self,
        step: int,
        records: tuple[StepRecord, StepRecord],
        rows: Sequence[ParameterRow],
        trained: tuple[Set[str], Set[str]],
    ) -> list[SettingDifference]:
        """What the sides do otherwise in one step.

        Args:
            rows: whose parameters both optimizers own.
            trained: names of parameters whose gradient is asked for behind the step.
        """
        told: dict[Told, list[tuple[str, str]]] = {}
        for row in rows:
            names = sorted({piece.second for piece in row.pieces})
            if row.first not in trained[0] and not trained[1] & set(names):
                continue
            for words in self._told(step, row.first, names, records):
                told.setdefault(words, []).extend((row.first, name) for name in names)
        return [
            SettingDifference(setting, (one, other), tuple(where), everywhere=False)
            for (setting, one, other), where in told.items()
        ]

    def _told(
        self, step: int, first: str, names: Sequence[str], records: tuple[StepRecord, StepRecord]
    ) -> Iterator[Told]:
        reached = _reached(records[0], [first]), _reached(records[1], names)
        if reached[0] != reached[1]:
            if step == 1:
                self.lopsided.add(first)
            elif first not in self.lopsided:
                yield GRADIENT, ARRIVES[reached[0]], ARRIVES[reached[1]]
        elif not any(reached) and all(record.updates for record in records):
            moved = _moved(records[0], [first]), _moved(records[1], names)
            if moved[0] != moved[1]:
                yield IDLE, MOVES[moved[0]], MOVES[moved[1]]


def _reached(record: StepRecord, names: Sequence[str]) -> bool:
    """Whether a gradient that is not zero arrives at any of these parameters."""
    for name in names:
        gradient = record.accumulated.get(name, record.handed.get(name))
        if gradient is not None and gradient.any():
            return True
    return False


def _moved(record: StepRecord, names: Sequence[str]) -> bool:
    return any(
        not np.array_equal(record.before[name], record.after[name])
        for name in names
        if name in record.before and name in record.after
    )
