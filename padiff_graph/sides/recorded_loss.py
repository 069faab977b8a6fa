"""The loss of a recorded model: it answers for the outputs that it was recorded on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.sides.recorded_model import RecordedModel, RecordedTensor

__all__ = ["RecordedLoss", "recorded_loss"]

ELSEWHERE = "the recording holds no loss of these outputs in {}"


class RecordedLoss:
    """A loss of which a recording holds the value and the gradients; stands where a function of the
    model's output does.

    Attributes:
        model: of the recording.
    """

    def __init__(self, model: RecordedModel, name: str) -> None:
        self.model = model
        self.__name__ = name

    def __call__(self, output: Any) -> RecordedTensor:
        """The loss of the recorded run."""
        value = self.model.array("loss", "value")
        if value.size != 1:
            raise self.model.recording.refused(f"its loss is an array of shape {value.shape}")
        return RecordedTensor.of(value)

    def on_its_outputs(
        self, wanted: Collection[str], kind: np.dtype[Any]
    ) -> tuple[float, dict[str, Array]]:
        """The loss of the recorded outputs, computed in float64 or float32, and its gradients by
        output name.

        Raises:
            NotRunnable: it could not be computed in that precision.
        """
        room = f"loss.{kind}"
        if not self.model.recording.holds(room, "value"):
            raise NotRunnable(ELSEWHERE.format(kind))
        held = self.model.arrays(room)
        gradients = {name: held[f"output:{name}"] for name in wanted if f"output:{name}" in held}
        return float(held["value"].reshape(-1)[0]), gradients


def recorded_loss(model: RecordedModel) -> RecordedLoss | None:
    """The loss that a model was recorded with; None where it was recorded without."""
    facts = model.facts["whole"]["loss"]
    return None if facts is None else RecordedLoss(model, facts["name"])
