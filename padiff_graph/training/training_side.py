"""One model in training: gradients, and weights before and after a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from padiff_graph.capture.abilities import WatchedPass, WatchedStep
from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.leaf_names import replace as replaced
from padiff_graph.training.grain import SINGLE, eps, spacing
from padiff_graph.training.held_state import held_state
from padiff_graph.training.optimizers import Stepper
from padiff_graph.training.stages.held_averages import HeldAverage, find_average
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["Loss", "TrainingSide"]

Loss = Callable[[Any], Any]


@dataclass
class TrainingSide:
    """One model in training.

    Attributes:
        engine: of the model.
        stepper: its optimizer.
        batches: its keyword arguments in each step; the last serves all further ones.
        loss: of its output.
        loop: the user's own step, of the model and a batch; None where the tool makes the step.
        record: the step that is being taken, or was taken last.
        average: an average of the weights that the user's callable keeps.
        dtype: the coarsest that the model holds a weight, and so its gradient, in.
    """

    engine: Engine
    stepper: Stepper
    batches: Sequence[Mapping[str, Any]]
    loss: Loss
    loop: Callable[[Any, Any], Any] | None = None
    record: StepRecord = field(default_factory=StepRecord)
    average: HeldAverage | None = None
    dtype: str = SINGLE

    def __post_init__(self) -> None:
        tools, model = self.stepper.tools, self.stepper.model
        values = backend(self.stepper.framework).values
        if hasattr(model, "named_parameters") and not self.stepper.direct:
            self.average = find_average(
                self.stepper.given,
                (*self.stepper.optimizers, *self.stepper.masters.values(), model),
                model,
                tools.trainable(model),
                values.is_tensor,
                values.array,
                values.dtype,
            )

    def averages(self) -> dict[str, Array]:
        """Averages of weights that the user's callable keeps, by parameter name."""
        return {} if self.average is None else self.average.values()

    def values(self) -> dict[str, Array]:
        """Copies of all parameters and buffers."""
        return {
            name: np.asarray(self.engine.array(tensor))  # a copy by itself
            for name, tensor in self.engine.parameters().items()
        }

    def assign(self, values: Mapping[str, Array]) -> None:
        """Writes parameters and buffers, and masters with them: an update begins at those."""
        self.engine.assign(values)
        for name, master in self.stepper.all_masters().items():
            if name in values:
                self.stepper.tools.overwrite(master, values[name].astype(np.float32))

    def settle(self) -> None:
        """Masters that were made of other weights than the model has now become those: the check
        may have copied weights since."""
        masters = self.stepper.all_masters()
        own = self.values() if masters else {}
        for name, master in masters.items():
            numbers, held = self.engine.array(master), own[name]
            # half a unit is what a rounding takes away
            if not (np.abs(numbers - held) <= spacing(held, self.dtype)).all():
                self.stepper.tools.overwrite(master, held.astype(np.float32))

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
            *(self._remembered(tensor) for tensor in self.stepper.tensors()),
            *([] if self.average is None else self.average.remembered(tools.overwrite)),
        ]

    def _remembered(self, tensor: Any) -> Callable[[], None]:
        """Puts back the numbers of a tensor that the user's callable holds, where they changed."""
        values = backend(self.stepper.framework).values
        numbers = np.array(values.array(tensor))

        def put_back() -> None:
            if not np.array_equal(
                values.array(tensor), numbers, equal_nan=numbers.dtype.kind == "f"
            ):
                self.stepper.tools.overwrite(tensor, numbers)

        return put_back

    def clear(self) -> None:
        """Drops all gradients: those that stem from before the first step."""
        self.stepper.tools.clear(self.stepper.model)

    def learn(self, step: int) -> None:
        """Forward, loss and backward as the user's loop does them, or all of the loop's step where
        the user gave it; inputs are the tool's own copies.

        Args:
            step: 1 for the first.
        """
        self.record = StepRecord(left=self.record.remaining, unit=eps(self.dtype))
        batch = self._batch(step)
        if self.loop is not None:
            self._loop(self.loop, batch)
            return
        tools, model = self.stepper.tools, self.stepper.model
        with self.engine.recording(True):
            loss = self.loss(model(**batch))
        tools.learn(loss)
        self.record.loss = float(self.engine.array(loss).reshape(-1)[0])
        self.record.accumulated = tools.gradients(model)

    def _batch(self, step: int) -> Any:
        """The tool's own copy of a step's batch."""
        batch = self.batches[min(step, len(self.batches)) - 1]
        is_tensor = backend(self.stepper.framework).values.is_tensor
        copies = {name: leaf.detach().clone() for name, leaf in leaves(batch, is_tensor).items()}
        return replaced(batch, is_tensor, copies)

    def sizes(self, step: int) -> dict[str, int]:
        """Elements of each tensor of a step's batch, by leaf name."""
        batch = self.batches[min(step, len(self.batches)) - 1]
        is_tensor = backend(self.stepper.framework).values.is_tensor
        return {
            name: math.prod(tuple(leaf.shape)) for name, leaf in leaves(batch, is_tensor).items()
        }

    def _loop(self, loop: Callable[[Any, Any], Any], batch: Any) -> None:
        """The user's own step, watched: what each update was handed, and what it left behind."""
        tools, model, record = self.stepper.tools, self.stepper.model, self.record
        record.before = self.values()
        with self.engine.recording(True), tools.watching(model) as events:
            loss = loop(model, batch)
        record.told = loss is not None
        record.loss = 0.0 if loss is None else self._number(loss)
        record.updates = tuple(event for event in events if isinstance(event, WatchedStep))
        record.passes = tuple(event for event in events if isinstance(event, WatchedPass))
        record.accumulated = _accumulated(events) or record.handed
        record.after = self.values()
        record.averages = self.averages()

    def _number(self, loss: Any) -> float:
        if backend(self.stepper.framework).values.is_tensor(loss):
            return float(self.engine.array(loss).reshape(-1)[0])
        return float(loss)

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
        """The optimizer's turn, on the gradients at hand; the user's own step has had it."""
        if self.loop is not None:
            return
        tools, model, record = self.stepper.tools, self.stepper.model, self.record
        record.before = self.values()
        with tools.watching(model) as events:
            self.stepper.advance()
        record.updates = tuple(event for event in events if isinstance(event, WatchedStep))
        record.remaining = tools.gradients(model)
        record.after = self.values()
        record.averages = self.averages()


def _accumulated(events: Sequence[WatchedStep | WatchedPass]) -> Mapping[str, Array]:
    """The gradients that the last backward pass before the first update left."""
    left: Mapping[str, Array] = {}
    for event in events:
        if isinstance(event, WatchedStep):
            break
        left = event.gradients
    return left
