"""Which weights a training leaves where they were though gradients arrive: updates below half a
unit in the last place of half precision are lost where nothing adds them up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["StillWatch"]

Pair = tuple[str, str]


@dataclass
class _Still:
    """One side.

    Attributes:
        start: weights before the first step.
        reached: elements that a gradient arrived at.
        moved: elements that are no longer where they were at the start.
    """

    start: dict[str, Array] = field(default_factory=dict)
    reached: dict[str, Array] = field(default_factory=dict)
    moved: dict[str, Array] = field(default_factory=dict)

    def look(self, record: StepRecord) -> None:
        for name, gradient in record.accumulated.items():
            if name not in record.before or name not in record.after:
                continue
            start = self.start.setdefault(name, record.before[name])
            self.reached[name] = self.reached.get(name, np.asarray(False)) | (gradient != 0)
            self.moved[name] = record.after[name] != start

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

    def facts(self, pairs: Iterable[Pair]) -> dict[str, object]:
        """Shares of both sides in some parameters, as facts of a cause; none where no gradient
        arrived."""
        names = list(zip(*dict.fromkeys(pairs), strict=True))
        shares = [side.share(set(own)) for side, own in zip(self.sides, names, strict=True)]
        if len(shares) < 2 or None in shares:
            return {}
        return {"first_share": shares[0], "second_share": shares[1], "steps": self.steps}
