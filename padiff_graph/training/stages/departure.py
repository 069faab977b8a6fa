"""The first stage of the first step in which two trainings part further than rounding does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Verdict
from padiff_graph.training.stages.band import Band

__all__ = ["StageGap", "departure_finding", "first_outside"]

STAGES = ("loss", "gradients", "weights", "buffers")
"""Stages that are held against each other as numbers, in the order of a step."""
TOLD = {"loss": "loss", "gradients": "gradients", "weights": "update", "buffers": "buffers"}
"""What a stage computes."""


@dataclass(frozen=True)
class StageGap:
    """How far the two sides are apart in one quantity of one stage.

    Attributes:
        step, stage: where.
        first: the first model's name of it.
        second: the second model's names that make it up.
        error: the largest difference.
    """

    step: int
    stage: str
    first: str
    second: tuple[str, ...]
    error: float


def first_outside(gaps: Sequence[StageGap], band: Band) -> StageGap | None:
    """The first quantity that two right trainings do not part so far in."""
    for gap in sorted(gaps, key=lambda gap: (gap.step, STAGES.index(gap.stage))):
        if not gap.error <= band.allowed(gap.step, gap.stage, gap.second):
            return gap
    return None


def departure_finding(
    beyond: StageGap,
    gaps: Sequence[StageGap],
    band: Band | None,
    proved: bool,
    frameworks: tuple[str, str],
) -> Finding:
    """What a departure is that no setting and no region explains.

    Args:
        beyond: the first quantity beyond the tolerance.
        gaps: everything that was held against each other.
        band: None where the training could not be repeated.
        proved: whether every stretch of the models was found to agree, so that nothing known parts
            them.
        frameworks: of both sides.
    """
    outside = first_outside(gaps, band) if band is not None else None
    told = outside or beyond
    known = beyond.stage != "buffers" or any(_same(beyond, gap) for gap in gaps)
    numbers = {"step": told.step, "first_name": told.first, "error": told.error}
    if band is not None:
        numbers["band"] = band.allowed(told.step, told.stage, told.second)
    verdict: Verdict
    if band is None or not (proved if outside else known):
        verdict, cause = "not-comparable", Cause.of("training.undecided", **numbers)
    elif outside is not None:
        verdict, cause = (
            "different",
            Cause.of("training.departs", stage=TOLD[told.stage], **numbers),
        )
    else:
        verdict, cause = "rounding", Cause.of("training.rounding", **numbers)
    return Finding(
        "optimizer",
        verdict,
        cause,
        told.first.rpartition(".")[0],
        told.second[0].rpartition(".")[0],
        error=told.error,
        order=told.step,
        frameworks=frameworks,
    )


def _same(one: StageGap, other: StageGap) -> bool:
    return (one.step, one.stage, one.first) == (other.step, other.stage, other.first)
