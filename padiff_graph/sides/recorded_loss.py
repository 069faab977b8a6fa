"""The loss of a recorded model: it answers for the outputs that it was recorded on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable, same_numbers
from padiff_graph.capture.leaf_names import output_leaves
from padiff_graph.sides.recorded_model import RecordedModel, RecordedTensor
from padiff_graph.sides.recorded_training import StepRun

__all__ = ["RecordedLoss", "recorded_loss"]

ELSEWHERE = "the recording holds no loss of these outputs in {}"


class RecordedLoss:
    """A loss of which a recording holds the value and the gradients; stands where a function of the
    model's output does.

    Attributes:
        model: of the recording.
        which: the mark of the run whose output it was last called on.
    """

    def __init__(self, model: RecordedModel, name: str) -> None:
        self.model = model
        self.which = ""
        self.__name__ = name

    def __call__(self, output: Any) -> RecordedTensor:
        """The loss of the recorded run, or of a recorded training step."""
        if isinstance(output, StepRun):
            return RecordedTensor.of(np.asarray(output.loss))
        self.which = self._run_of(output)
        value = self.model.array(f"loss{self.which}", "value")
        if value.size != 1:
            raise self.model.recording.refused(f"its loss is an array of shape {value.shape}")
        return RecordedTensor.of(value)

    def _run_of(self, output: Any) -> str:
        """The mark of the recorded run that yields an output: one that draws is recorded twice."""
        if self.model.facts["whole"]["again"] is None:
            return ""
        given = output_leaves(output, lambda value: isinstance(value, RecordedTensor))
        again = self.model.arrays("outputs.again")
        same = all(
            name in again and same_numbers(tensor.numpy(), again[name])
            for name, tensor in given.items()
        )
        return ".again" if same else ""

    def on_its_outputs(
        self, wanted: Collection[str], kind: np.dtype[Any]
    ) -> tuple[float, dict[str, Array]]:
        """The loss of the recorded outputs, computed in float64 or float32, and its gradients by
        output name.

        Raises:
            NotRunnable: it could not be computed in that precision.
        """
        room = f"loss.{kind}{self.which}"
        if not self.model.recording.holds(room, "value"):
            raise NotRunnable(ELSEWHERE.format(kind))
        held = self.model.arrays(room)
        gradients = {name: held[f"output:{name}"] for name in wanted if f"output:{name}" in held}
        return float(held["value"].reshape(-1)[0]), gradients


def recorded_loss(model: RecordedModel) -> RecordedLoss | None:
    """The loss that a model was recorded with; None where it was recorded without."""
    facts = model.facts["whole"]["loss"]
    return None if facts is None else RecordedLoss(model, facts["name"])
