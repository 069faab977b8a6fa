"""One model in training: gradients, and weights before and after a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.leaf_names import replace as replaced
from padiff_graph.training.optimizers import Stepper

__all__ = ["Loss", "TrainingSide"]

Loss = Callable[[Any], Any]


@dataclass
class TrainingSide:
    """One model in training.

    Attributes:
        engine: of the model.
        stepper: its optimizer.
        example: its keyword arguments.
        loss: of its output.
        gradients: of the last backward, by parameter name.
        before, after: weights and buffers around the last step, by name.
    """

    engine: Engine
    stepper: Stepper
    example: Mapping[str, Any]
    loss: Loss
    gradients: dict[str, Array] = field(default_factory=dict)
    before: dict[str, Array] = field(default_factory=dict)
    after: dict[str, Array] = field(default_factory=dict)

    def values(self) -> dict[str, Array]:
        """Copies of all parameters and buffers."""
        return {
            name: np.array(self.engine.array(tensor))
            for name, tensor in self.engine.parameters().items()
        }

    def remember(self) -> list[Callable[[], None]]:
        """Notes the weights as they are; the answers put model and optimizer back."""
        self.before = self.values()
        tools, model = self.stepper.tools, self.stepper.model
        saved = [tools.saved(optimizer, model) for optimizer in self.stepper.optimizers]
        return [partial(self.engine.assign, dict(self.before)), *saved]

    def clear(self) -> None:
        """Drops all gradients."""
        self.stepper.tools.clear(self.stepper.model)

    def learn(self) -> float:
        """Forward, loss and backward as the user's loop does them; inputs are the tool's own
        copies."""
        tools = self.stepper.tools
        is_tensor = backend(self.stepper.framework).values.is_tensor
        copies = {
            name: leaf.detach().clone() for name, leaf in leaves(self.example, is_tensor).items()
        }
        with self.engine.recording(True):
            loss = self.loss(self.stepper.model(**replaced(self.example, is_tensor, copies)))
        tools.learn(loss)
        self.gradients = tools.gradients(self.stepper.model)
        return float(self.engine.array(loss).reshape(-1)[0])

    def step(self) -> None:
        """One step of the optimizer on the gradients at hand."""
        self.before = self.after or self.before
        self.stepper.advance()
        self.clear()
        self.after = self.values()
