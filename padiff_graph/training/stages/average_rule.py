"""By which rule an average of weights moves: its decay, and whether it is taken before the update.

average' = decay * average + (1 - decay) * weights. The decay is solved from the numbers of a step,
with the weights behind the update and with those before it; what fits in every step is the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.training.grain import HALVES
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["AverageWatch"]

FITS = 1e-2
"""Share of an average's distance to the weights that a rule may leave unexplained."""
NOISE = 8
"""How many times the rounding of a decay that is solved from float32 numbers two decays may be
apart."""
BEHIND, BEFORE = "behind the update", "before the update"
UNCHANGED = "left as it was"


@dataclass(frozen=True)
class Decay:
    """A decay that was solved for.

    Attributes:
        number: the decay.
        rest: the share that it leaves unexplained.
        error: what rounding may make of the number.
    """

    number: float
    rest: float
    error: float


@dataclass
class SideRule:
    """What is known of one side's rule: decays by time (behind or before) and step."""

    decays: dict[str, dict[int, Decay]] = field(default_factory=dict)
    still: set[int] = field(default_factory=set)
    refuted: set[str] = field(default_factory=set)

    def look(self, step: int, record: StepRecord, earlier: Mapping[str, Array]) -> None:
        """Solves for the decay of one step."""
        if _unmoved(record.averages, earlier):
            self.still.add(step)
        for time, weights in ((BEHIND, record.after), (BEFORE, record.before)):
            decay = _solved(earlier, record.averages, weights)
            if decay is None:
                continue
            self.decays.setdefault(time, {})[step] = decay
            if decay.rest > FITS:
                self.refuted.add(time)

    @property
    def time(self) -> str | None:
        """When the average is taken, None where neither rule fits."""
        for time in (BEHIND, BEFORE):
            if time not in self.refuted and time in self.decays:
                return time
        return None


class AverageWatch:
    """Holds both sides' rules against each other."""

    def __init__(
        self,
        start: tuple[Mapping[str, Array], Mapping[str, Array]],
        held: tuple[str, str] = ("", ""),
    ) -> None:
        """
        Args:
            start: both sides' averages before the first step.
            held: the dtypes of both; "" where that is not known.
        """
        self.earlier, self.held = start, held
        self.rules = SideRule(), SideRule()
        self.steps = 0

    def look(self, step: int, first: StepRecord, second: StepRecord) -> None:
        """Reads what both averages did in a step."""
        self.steps = step
        for rule, record, earlier in zip(self.rules, (first, second), self.earlier, strict=True):
            if record.averages:
                rule.look(step, record, earlier)
        self.earlier = first.averages, second.averages

    def difference(self) -> tuple[int, tuple[str, str]] | None:
        """The first step in which the rules differ, and both in words.

        What moves an average by less than half a unit in the last place of half precision is lost
        in one that is held there.
        """
        narrow = [dtype in HALVES for dtype in self.held]
        if all(self.held) and narrow[0] != narrow[1] and self.steps:
            return 1, (f"held in {self.held[0]}", f"held in {self.held[1]}")
        times = self.rules[0].time, self.rules[1].time
        if times[0] is None or times[1] is None:
            return None
        for step in range(1, self.steps + 1):
            words = self._words(step, (times[0], times[1]))
            if words is not None:
                return step, words
        return None

    def _words(self, step: int, times: tuple[str, str]) -> tuple[str, str] | None:
        decays = [rule.decays[time].get(step) for rule, time in zip(self.rules, times, strict=True)]
        if times[0] != times[1]:
            return _said(self._any(0, times[0]), times[0]), _said(self._any(1, times[1]), times[1])
        first, second = decays
        if first is None or second is None:
            return None
        allowed = NOISE * (first.error + second.error)
        if abs(first.number - second.number) <= allowed:
            return None
        still = [step in rule.still for rule in self.rules]
        words = [
            UNCHANGED if unmoved else _said(decay, time)
            for unmoved, decay, time in zip(still, (first, second), times, strict=True)
        ]
        return words[0], words[1]

    def _any(self, side: int, time: str) -> Decay | None:
        return next(iter(self.rules[side].decays[time].values()), None)


def _said(decay: Decay | None, time: str) -> str:
    return f"taken {time}" if decay is None else f"decay {decay.number:.4g}, taken {time}"


def _unmoved(now: Mapping[str, Array], earlier: Mapping[str, Array]) -> bool:
    return all(np.array_equal(now[name], earlier[name]) for name in now.keys() & earlier.keys())


def _solved(
    earlier: Mapping[str, Array], now: Mapping[str, Array], weights: Mapping[str, Array]
) -> Decay | None:
    """The decay that carries an average from one step to the next; None where the average stood at
    the weights already."""
    both = own = moved = size = 0.0
    for name in now.keys() & earlier.keys() & weights.keys():
        target = np.asarray(weights[name], np.float64)
        before, after = earlier[name] - target, now[name] - target
        both += float((before * after).sum())
        own += float((before * before).sum())
        moved += float((after * after).sum())
        size += float(np.square(now[name], dtype=np.float64).sum())
    grain = float(np.finfo(np.float32).eps) * np.sqrt(size)
    if own <= (NOISE * grain) ** 2:
        return None
    number = both / own
    rest = max(0.0, moved - 2 * number * both + number * number * own)
    error = grain / np.sqrt(own)
    return Decay(number, float(np.sqrt(rest / own)), float(error))
