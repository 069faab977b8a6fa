"""The first stage of the first step in which two trainings part further than rounding does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Verdict
from padiff_graph.training.stages.band import Band

__all__ = [
    "StageGap",
    "ahead_of_updates",
    "departure_finding",
    "first_outside",
    "rounded_finding",
    "suspicious",
]

STAGES = ("batch", "outputs", "loss", "gradients", "weights", "averages", "buffers")
"""Stages that are held against each other as numbers, in the order of a step."""
TOLD = {"weights": "update"}
"""What a stage is called where it is not called by its numbers."""
CERTAIN = ("training.mode", "loss.")
"""Kinds of habits that are told whatever the numbers are."""
SPLIT = "accumulated"
"""The stage where two steps take another number of backward passes."""


AHEAD = frozenset({"batch", "outputs", "loss", "gradients"})
"""Stages that come before the first update in the first step, whatever the optimizers are."""
SUSPICIOUS = 1e-4
"""Share of its size from which on a gap is looked at though it is within the tolerance; the bound
of two losses in float32 (`losses.BOUNDS`). Whether it is rounding the band tells."""


@dataclass(frozen=True)
class StageGap:
    """How far the two sides are apart in one quantity of one stage.

    Attributes:
        step, stage: where.
        first: the first model's name of it.
        second: the second model's names that make it up.
        error: the largest difference.
        size: the second's largest magnitude.
        numbers: both, where each is a single number.
    """

    step: int
    stage: str
    first: str
    second: tuple[str, ...]
    error: float
    size: float = 0.0
    numbers: tuple[float, float] | None = None


def ahead_of_updates(gaps: Sequence[StageGap]) -> list[StageGap]:
    """What no optimizer has had a part in yet."""
    return [gap for gap in gaps if gap.step == 1 and gap.stage in AHEAD]


def suspicious(gaps: Sequence[StageGap]) -> list[StageGap]:
    """What is further apart than rounding as a rule makes it."""
    return [gap for gap in gaps if gap.error > SUSPICIOUS * gap.size]


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
    habits: Mapping[int, Sequence[Cause]] = MappingProxyType({}),
) -> Finding:
    """What a departure is that no setting and no region explains.

    Args:
        beyond: the first quantity beyond the tolerance.
        gaps: everything that was held against each other.
        band: None where the training could not be repeated.
        proved: whether every stretch of the models was found to agree, so that nothing known parts
            them.
        frameworks: of both sides.
        habits: by step, what the two are known to do otherwise.
    """
    outside = first_outside(gaps, band) if band is not None else None
    told = outside or beyond
    known_habits = habits.get(told.step, ())
    known = beyond.stage != "buffers" or any(_same(beyond, gap) for gap in gaps)
    numbers: dict[str, object] = {"step": told.step}
    numbers |= {"first_name": told.first, "error": told.error}
    if band is not None and band.knows(told.step, told.stage, told.second):
        numbers["band"] = band.allowed(told.step, told.stage, told.second)
    verdict: Verdict
    certain = [habit for habit in known_habits if habit.kind.startswith(CERTAIN)]
    if band is None and certain:
        # draws part the two, and neither the mode nor what a loss does with its rows is drawn
        verdict, cause = "different", certain[0].followed_by(*certain[1:])
    elif band is None or not (proved if outside else known):
        verdict, cause = "not-comparable", Cause.of("training.undecided", **numbers)
    elif outside is not None:
        if told.numbers is not None:
            numbers["first_number"], numbers["second_number"] = told.numbers
        stage = _stage(told, known_habits)
        verdict, cause = "different", Cause.of("training.departs", stage=stage, **numbers)
        cause = cause.followed_by(*known_habits)
    else:
        verdict, cause = "rounding", Cause.of("training.rounding", **numbers)
    everywhere = outside is not None and proved and _everywhere(outside, gaps, band)
    return Finding(
        "optimizer",
        verdict,
        cause,
        "" if everywhere else told.first.rpartition(".")[0],
        "" if everywhere else told.second[0].rpartition(".")[0],
        error=told.error,
        order=told.step,
        frameworks=frameworks,
    )


def rounded_finding(beyond: StageGap, frameworks: tuple[str, str]) -> Finding:
    """That a departure is the updates' own rounding, where both sides step on the second's
    gradients.

    Args:
        beyond: the first quantity beyond the tolerance.
        frameworks: of both sides.
    """
    numbers: dict[str, object] = {"step": beyond.step, "first_name": beyond.first}
    numbers |= {"error": beyond.error, "handed": f"the gradients of the {frameworks[1]} model"}
    return Finding(
        "optimizer",
        "rounding",
        Cause.of("training.rounding", **numbers),
        beyond.first.rpartition(".")[0],
        beyond.second[0].rpartition(".")[0],
        error=beyond.error,
        order=beyond.step,
        frameworks=frameworks,
    )


def _everywhere(told: StageGap, gaps: Sequence[StageGap], band: Band | None) -> bool:
    """Whether all gradients of the step depart: where every stretch of the models agrees, what is
    differentiated differs, and no module is at fault."""
    same = [gap for gap in gaps if (gap.step, gap.stage) == (told.step, told.stage)]
    return (
        band is not None
        and told.stage == "gradients"
        and len(same) > 1
        and all(not gap.error <= band.allowed(gap.step, gap.stage, gap.second) for gap in same)
    )


def _stage(gap: StageGap, habits: Sequence[Cause]) -> str:
    if any(habit.kind == "training.passes" for habit in habits):
        return SPLIT
    return TOLD.get(gap.stage, gap.stage)


def _same(one: StageGap, other: StageGap) -> bool:
    return (one.step, one.stage, one.first) == (other.step, other.stage, other.first)
