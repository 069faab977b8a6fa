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
from padiff_graph.training.held_state import held_state
from padiff_graph.training.optimizers import Stepper
from padiff_graph.training.stages.step_record import StepRecord

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
        record: the step that is being taken, or was taken last.
    """

    engine: Engine
    stepper: Stepper
    example: Mapping[str, Any]
    loss: Loss
    record: StepRecord = field(default_factory=StepRecord)

    def values(self) -> dict[str, Array]:
        """Copies of all parameters and buffers."""
        return {
            name: np.array(self.engine.array(tensor))
            for name, tensor in self.engine.parameters().items()
        }

    def remember(self) -> list[Callable[[], None]]:
        """Notes everything as it is; the answers put model, optimizer and callable back."""
        tools, model = self.stepper.tools, self.stepper.model
        gradients = tools.gradients(model)
        saved = [tools.saved(optimizer, model) for optimizer in self.stepper.optimizers]
        return [
            partial(self.engine.assign, self.values()),
            *saved,
            held_state(self.stepper.given, (*self.stepper.optimizers, model)),
            partial(tools.put_gradients, model, gradients),
        ]

    def clear(self) -> None:
        """Drops all gradients: those that stem from before the first step."""
        self.stepper.tools.clear(self.stepper.model)

    def learn(self) -> None:
        """Forward, loss and backward as the user's loop does them; inputs are the tool's own
        copies."""
        tools, model = self.stepper.tools, self.stepper.model
        is_tensor = backend(self.stepper.framework).values.is_tensor
        copies = {
            name: leaf.detach().clone() for name, leaf in leaves(self.example, is_tensor).items()
        }
        self.record = StepRecord(left=self.record.remaining)
        with self.engine.recording(True):
            loss = self.loss(model(**replaced(self.example, is_tensor, copies)))
        tools.learn(loss)
        self.record.loss = float(self.engine.array(loss).reshape(-1)[0])
        self.record.accumulated = tools.gradients(model)

    def give(self, gradients: Mapping[str, Array]) -> None:
        """Other gradients in the place of those that this batch added to what was left."""
        left = self.record.left
        summed = {
            name: gradient + left[name] if name in left else gradient
            for name, gradient in gradients.items()
        }
        self.stepper.tools.put_gradients(self.stepper.model, {**left, **summed})
        self.record.accumulated = self.stepper.tools.gradients(self.stepper.model)

    def added(self) -> dict[str, Array]:
        """The gradients of this batch alone."""
        left = self.record.left
        return {
            name: gradient - left[name] if name in left else gradient
            for name, gradient in self.record.accumulated.items()
        }

    def step(self) -> None:
        """The optimizer's turn, on the gradients at hand."""
        tools, model, record = self.stepper.tools, self.stepper.model, self.record
        record.before = self.values()
        with tools.watching(model) as updates:
            self.stepper.advance()
        record.updates = tuple(updates)
        record.remaining = tools.gradients(model)
        record.after = self.values()
