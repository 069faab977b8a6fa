"""What one model did in one training step, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.abilities import WatchedPass, WatchedStep
from padiff_graph.capture.engine import Array
from padiff_graph.training.grain import SINGLE, eps

__all__ = ["StepRecord"]

Values = Mapping[str, Array]


@dataclass
class StepRecord:
    """One step of one side; arrays by parameter name.

    Attributes:
        loss: of the batch; 0.0 where the user's own step returns none.
        told: whether it is known.
        left: gradients that the step before left behind.
        passes: the backward passes of the user's own step.
        accumulated: gradients when the optimizer's turn comes: those of this batch on top. In the
            user's own step they are those that the last backward pass before it left.
        updates: each step that an optimizer took in this turn.
        remaining: gradients that the turn left behind.
        before, after: weights and buffers around the turn.
        averages: of weights, where the user's callable keeps one.
        unit: relative distance of two numbers that a gradient can hold.
    """

    loss: float = 0.0
    told: bool = True
    left: Values = field(default_factory=dict)
    passes: tuple[WatchedPass, ...] = ()
    accumulated: Values = field(default_factory=dict)
    updates: tuple[WatchedStep, ...] = ()
    remaining: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)
    averages: Values = field(default_factory=dict)
    unit: float = eps(SINGLE)

    @property
    def autocast(self) -> str:
        """The half precision of an autocast around the model's runs; "" for none."""
        return next((entry.autocast for entry in self.passes if entry.autocast), "")

    @property
    def settings(self) -> dict[str, Mapping[str, object]]:
        """What was done to each parameter, as the first update of it was set."""
        told: dict[str, Mapping[str, object]] = {}
        for update in self.updates:
            told = {**update.settings, **told}
        return told

    @property
    def handed(self) -> dict[str, Array]:
        """The gradient that the first update of each parameter was handed, clipped and scaled."""
        handed: dict[str, Array] = {}
        for update in self.updates:
            handed = {**update.gradients, **handed}
        return handed

    @property
    def stepped_on(self) -> dict[str, Array]:
        """The same; of a weight that the user's own lines move, what the backward passes left."""
        own = {
            name: gradient
            for name, gradient in self.accumulated.items()
            if self._moved(name) and not self.updated(name)
        }
        return {**own, **self.handed}

    def updated(self, name: str) -> int:
        """How often a parameter was updated in this turn."""
        return sum(name in update.gradients for update in self.updates)

    def hidden(self, name: str) -> bool:
        """Whether a weight moved in this turn and no optimizer was seen to move it: the user's own
        lines did. In half precision it may have been meant to, where they move others."""
        if name not in self.after or self.updated(name):
            return False
        if self.unit == eps(SINGLE):
            return self._moved(name)
        others = [other for other in self.accumulated if not self.updated(other)]
        return any(map(self._moved, (name, *others)))

    def _moved(self, name: str) -> bool:
        if name not in self.after:
            return False
        return name not in self.before or not np.array_equal(self.before[name], self.after[name])
