"""Training both models for real, side by side: weights, buffers and optimizer state after every
step.

Optimizers are held against each other three times: by their settings, on equal weights and shared
gradients (so that nothing but the update rule can differ), and in the real steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.engine import Engine
from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.tolerance import Quantity, Tolerance
from padiff_graph.training.optimizers import Stepper
from padiff_graph.training.setting_findings import SettingWatch, trial_findings
from padiff_graph.training.step_numbers import StepNumbers
from padiff_graph.training.training_side import Loss, TrainingSide
from padiff_graph.training.update_trial import Departure, try_steps

__all__ = ["Training", "train"]

TRIALS = (2, 3)
"""Fewest and most steps that optimizers are tried for: a second one shows what the first left
behind."""


@dataclass(frozen=True)
class Training:
    """What training showed.

    Attributes:
        findings: of phase "optimizer".
        quantities: (step, quantity) of everything compared.
        losses: the two losses of every step.
        steps: how many steps were taken.
        notes: what the user should know, in sentences.
    """

    findings: tuple[Finding, ...] = ()
    quantities: tuple[tuple[int, Quantity], ...] = ()
    losses: tuple[tuple[float, float], ...] = ()
    steps: int = 0
    notes: tuple[str, ...] = ()

    @property
    def within(self) -> bool:
        """Whether everything counted is within the tolerance."""
        return all(compared.within for _, compared in self.quantities if compared.counted)


def train(
    engines: tuple[Engine, Engine],
    steppers: tuple[Stepper, Stepper],
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    losses: tuple[Loss, Loss],
    matching: Matching,
    steps: int,
    tolerance: Tolerance,
    explained: bool = False,
    proved: bool = True,
) -> Training:
    """Takes `steps` training steps on the user's models. On an exception all is put back.

    Args:
        engines, steppers, examples, losses: of both sides.
        matching: whose counterpart each parameter is.
        steps: how many steps.
        tolerance: what numbers are held against.
        explained: whether the models are known to differ already, so that a departure says nothing
            new.
        proved: whether every stretch of the models was found to agree.
    """
    rows = [row for row in matching.parameters if row.pieces]
    sides = [
        TrainingSide(engine, stepper, example, loss)
        for engine, stepper, example, loss in zip(engines, steppers, examples, losses, strict=True)
    ]
    # branches side by side run in an order of their own in each model: a setting is looked for in
    # the port's
    watch = SettingWatch(steppers, rows, first_reads(matching.first.graph))
    undo = [put_back for side in sides for put_back in side.remember()]
    try:
        departure = _tried(sides, rows, steps)
        numbers = StepNumbers(rows, matching, tolerance, dict(sides[0].before))
        _take_steps(sides, steps, watch, numbers)
    except BaseException:
        for put_back in undo:
            put_back()
        raise
    findings = [*watch.findings(numbers.parted), *trial_findings(departure, watch)]
    if not findings and not explained:
        findings += numbers.findings(steppers, proved)
    quantities = tuple(numbers.excused(watch.algorithm))
    return Training(tuple(findings), quantities, tuple(numbers.losses), steps, tuple(numbers.notes))


def _tried(
    sides: Sequence[TrainingSide], rows: Sequence[ParameterRow], steps: int
) -> Departure | None:
    """Where the optimizers part on shared gradients; None too where a callable holds none or
    several."""
    steppers = sides[0].stepper, sides[1].stepper
    if any(len(stepper.optimizers) != 1 for stepper in steppers):
        return None
    fewest, most = TRIALS
    write: Callable[..., None] = sides[0].engine.assign
    return try_steps(
        steppers,
        lambda side: sides[side].values(),
        write,
        rows,
        max(fewest, min(steps, most)),
    )


def _take_steps(
    sides: Sequence[TrainingSide], steps: int, watch: SettingWatch, numbers: StepNumbers
) -> None:
    for side in sides:
        side.clear()
    for step in range(1, steps + 1):
        watch.look(step)
        numbers.losses.append((sides[0].learn(), sides[1].learn()))
        for side in sides:
            side.step()
        numbers.compare(step, sides)
