"""Both trainings over their steps, as a report draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.report.training_curves import TrainingStep
from padiff_graph.training.stages.band import Band
from padiff_graph.training.stages.departure import StageGap
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["curve_step", "with_band"]


def curve_step(
    step: int, first: StepRecord, second: StepRecord, gaps: Sequence[StageGap]
) -> TrainingStep:
    """What is drawn of one step.

    Args:
        step: 1 for the first.
        first, second: what both sides did in it.
        gaps: how far they are apart, by stage and step.
    """
    told = first.told and second.told
    errors = [gap.error for gap in gaps if gap.step == step and gap.stage == "weights"]
    return TrainingStep(
        step,
        (first.loss, second.loss) if told else None,
        (_norm(first.accumulated), _norm(second.accumulated)),
        max(errors, default=0.0),
    )


def with_band(
    curves: Sequence[TrainingStep], gaps: Sequence[StageGap], band: Band
) -> list[TrainingStep]:
    """The steps with how far two right runs may part, in what is furthest apart."""
    return [
        replace(
            curve,
            loss_band=_allowed(curve.step, "loss", gaps, band),
            weights_band=_allowed(curve.step, "weights", gaps, band),
        )
        for curve in curves
    ]


def _allowed(step: int, stage: str, gaps: Sequence[StageGap], band: Band) -> float | None:
    own = [gap for gap in gaps if gap.step == step and gap.stage == stage]
    if not own:
        return None
    return band.allowed(step, stage, max(own, key=lambda gap: gap.error).second)


def _norm(arrays: Mapping[str, Array]) -> float:
    return math.sqrt(
        sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays.values())
    )
