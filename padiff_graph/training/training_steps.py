"""Training both models for real, side by side: weights, buffers and optimizer state after every
step.

Optimizers are held against each other by their settings and what they are seen to do, on equal
weights and shared gradients (so that nothing but the update rule can differ), and in the real
steps. Where both models draw random numbers of their own, the first one steps on the second's
gradients: the models' own are compared region by region.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.tolerance import Quantity, Tolerance
from padiff_graph.report.training_curves import TrainingStep
from padiff_graph.training.optimizers import Stepper
from padiff_graph.training.setting_findings import SettingWatch, trial_findings
from padiff_graph.training.stages.average_rule import AverageWatch
from padiff_graph.training.stages.band import trained_twice
from padiff_graph.training.stages.carried_over import carried_over
from padiff_graph.training.stages.curves import with_band
from padiff_graph.training.stages.departure import departure_finding
from padiff_graph.training.step_numbers import Leaves, StepNumbers
from padiff_graph.training.training_side import Loss, TrainingSide
from padiff_graph.training.update_trial import Departure, try_steps

__all__ = ["Training", "train"]

Loop = Callable[[Any, Any], Any]

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
        curves: both trainings step by step.
    """

    findings: tuple[Finding, ...] = ()
    quantities: tuple[tuple[int, Quantity], ...] = ()
    losses: tuple[tuple[float, float], ...] = ()
    steps: int = 0
    notes: tuple[str, ...] = ()
    curves: tuple[TrainingStep, ...] = ()

    @property
    def within(self) -> bool:
        """Whether everything counted is within the tolerance."""
        return all(compared.within for _, compared in self.quantities if compared.counted)


def train(
    engines: tuple[Engine, Engine],
    steppers: tuple[Stepper, Stepper],
    batches: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    losses: tuple[Loss, Loss],
    matching: Matching,
    steps: int,
    tolerance: Tolerance,
    loops: tuple[Loop, Loop] | None = None,
    explained: bool = False,
    proved: bool = True,
    shared: bool = False,
    leaves: Leaves | None = None,
) -> Training:
    """Takes `steps` training steps on the user's models. On an exception all is put back.

    Args:
        engines, steppers, losses: of both sides.
        batches: inputs of both sides in each step; the last serves all further ones.
        matching: whose counterpart each parameter is.
        steps: how many steps.
        tolerance: what numbers are held against.
        loops: the users' own steps, of a model and a batch; None where the tool makes the steps.
        explained: whether the models are known to differ already, so that a departure says nothing
            new.
        proved: whether every stretch of the models was found to agree.
        shared: whether both sides draw random numbers of their own, so that the first side steps on
            the second's gradients.
    """
    rows = [row for row in matching.parameters if row.pieces]
    first, second = (
        TrainingSide(
            engines[side],
            steppers[side],
            [pair[side] for pair in batches],
            losses[side],
            None if loops is None else loops[side],
        )
        for side in (0, 1)
    )
    sides = first, second
    # branches side by side run in an order of their own in each model: a setting is looked for in
    # the port's
    averages = AverageWatch((first.averages(), second.averages()))
    watch = SettingWatch(steppers, rows, first_reads(matching.first.graph), averages)
    # what happens inside of a user's step is the user's: no gradients are handed over there
    handed_over = shared and loops is None
    numbers = StepNumbers(rows, matching, tolerance, first.values(), handed_over, leaves)
    trials = Trials(sides, rows, steps)
    start = second.remember()
    undo = [*first.remember(), *start]
    try:
        trials.on_noise()
        watch.look_back()
        _take_steps(sides, steps, watch, numbers, trials)
    except BaseException:
        for put_back in undo:
            put_back()
        raise
    findings = [*watch.findings(numbers.parted), *trial_findings(trials.departure, watch)]
    if not findings and not explained:
        repeatable = None if shared else second
        findings += _departures(repeatable, start, numbers, proved, steppers)
    quantities = tuple(numbers.excused(watch.algorithm, trials.departure is not None))
    return Training(
        tuple(findings),
        quantities,
        tuple(numbers.losses),
        steps,
        tuple(numbers.notes),
        tuple(numbers.curves),
    )


def _departures(
    repeatable: TrainingSide | None,
    start: Sequence[Callable[[], None]],
    numbers: StepNumbers,
    proved: bool,
    steppers: tuple[Stepper, Stepper],
) -> list[Finding]:
    """A departure that nothing known explains: of the optimizers where steps differ on agreeing
    gradients, else rounding, where two right trainings part as far.

    Args:
        repeatable: the second side; None where it draws random numbers, by which two trainings
            part.
        start: puts it back to its start.
    """
    frameworks = steppers[0].framework, steppers[1].framework
    if numbers.parted and not all(stepper.direct for stepper in steppers):
        return [numbers.hidden(frameworks)]
    beyond = numbers.beyond()
    if beyond is None:
        return []
    band = None
    if repeatable is not None:
        band = trained_twice(repeatable, start, [loss for _, loss in numbers.losses])
    if band is not None:
        numbers.curves = with_band(numbers.curves, numbers.gaps, band)
    return [departure_finding(beyond, numbers.gaps, band, proved, frameworks, numbers.habits)]


@dataclass
class Trials:
    """The optimizers on equal weights and gradients, where those of both sides are known.

    Attributes:
        sides, rows: what is tried.
        steps: how many steps the user asked for.
        departure: where they first parted.
    """

    sides: tuple[TrainingSide, TrainingSide]
    rows: Sequence[ParameterRow]
    steps: int
    departure: Departure | None = None

    def on_noise(self) -> None:
        """On seeded gradients of a common size."""
        fewest, most = TRIALS
        self._try(max(fewest, min(self.steps, most)), None)

    def on_gradients(self, gradients: Mapping[str, Array]) -> None:
        """On the second model's own: where they are small, an epsilon decides."""
        if self.departure is None:
            self._try(1, gradients)

    def _try(self, steps: int, gradients: Mapping[str, Array] | None) -> None:
        first, second = self.sides
        steppers = first.stepper, second.stepper
        if not all(stepper.optimizers for stepper in steppers):
            return
        held = [side.stepper.tools.gradients(side.stepper.model) for side in self.sides]
        write: Callable[..., None] = first.engine.assign
        self.departure = try_steps(
            steppers, lambda side: self.sides[side].values(), write, self.rows, steps, gradients
        )
        for side, own in zip(self.sides, held, strict=True):
            side.stepper.tools.put_gradients(side.stepper.model, own)


def _take_steps(
    sides: tuple[TrainingSide, TrainingSide],
    steps: int,
    watch: SettingWatch,
    numbers: StepNumbers,
    trials: Trials,
) -> None:
    first, second = sides
    for side in sides:
        side.clear()
    for step in range(1, steps + 1):
        earlier = first.record, second.record
        for side in sides:
            side.learn(step)
        if first.loop is not None:
            records = first.record, second.record
            kept = carried_over(records, earlier, trials.rows)
            first.record.remaining, second.record.remaining = kept
        if numbers.shared:
            first.give(_handed_over(trials.rows, first.added(), second.added()))
        if step == 1 and first.loop is None:
            # both optimizers are as they were given: later their states hold each side's rounding
            trials.on_gradients(second.record.accumulated)
        for side in sides:
            side.step()
        watch.look(step, first.record, second.record)
        numbers.compare(step, sides)


def _handed_over(
    rows: Sequence[ParameterRow], own: Mapping[str, Array], theirs: Mapping[str, Array]
) -> dict[str, Array]:
    """The first model's gradients with the second's in their place, where both have one."""
    given = dict(own)
    for row in rows:
        if row.first in own and theirs.keys() >= {piece.second for piece in row.pieces}:
            given[row.first] = mapped(row, own[row.first], theirs)
    return given
