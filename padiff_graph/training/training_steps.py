"""Training both models for real, side by side: weights, buffers and optimizer state after every
step.

Optimizers are held against each other by their settings and what they are seen to do, on equal
weights and shared gradients (so that nothing but the update rule can differ), and in the real
steps. Where both models draw random numbers of their own, the first one steps on the second's
gradients: the models' own are compared region by region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.tolerance import Quantity, Tolerance
from padiff_graph.report.training_curves import TrainingStep
from padiff_graph.sides.recorded_training import RecordedOptimizer
from padiff_graph.training.grain import Grain, grain_of, held_in
from padiff_graph.training.optimizers import Stepper
from padiff_graph.training.setting_findings import DIVERGENT, SettingWatch, trial_findings
from padiff_graph.training.stages.average_rule import AverageWatch
from padiff_graph.training.stages.band import Band, recorded_band, trained_twice
from padiff_graph.training.stages.carried_over import carried_over
from padiff_graph.training.stages.curves import with_band
from padiff_graph.training.stages.departure import (
    StageGap,
    ahead_of_updates,
    departure_finding,
    first_outside,
    rounded_finding,
    suspicious,
)
from padiff_graph.training.step_numbers import Leaves, StepNumbers
from padiff_graph.training.training_side import Loss, TrainingSide
from padiff_graph.training.update_trial import Departure, try_steps

__all__ = ["TRIALS", "Training", "train"]

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
            dtype=held_in((matching.first, matching.second)[side].graph),
        )
        for side in (0, 1)
    )
    sides = first, second
    for side in sides:
        side.settle()
    # branches side by side run in an order of their own in each model: a setting is looked for in
    # the port's
    held = [side.average.held_in() if side.average else "" for side in sides]
    averages = AverageWatch((first.averages(), second.averages()), (held[0], held[1]))
    weights = grain_of(matching).weights.values()
    coarse = next(iter(weights), "")
    watch = SettingWatch(steppers, rows, first_reads(matching.first.graph), averages, coarse)
    # what happens inside of a user's step is the user's: no gradients are handed over there
    handed_over = shared and loops is None
    numbers = StepNumbers(rows, matching, tolerance, handed_over, leaves, steps)
    trials = Trials(sides, rows, steps, numbers.grain)
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
    if numbers.parted and watch.algorithm in DIVERGENT:
        trials.again(undo, numbers.handed)
    findings = [*watch.findings(numbers.parted), *trial_findings(trials.departure, watch)]
    if not explained and not any(finding.fails for finding in findings):
        again = None if shared else Repetition(second, start, numbers)
        # rules that are known to part, and were not seen to on equal gradients, decide nothing
        decided = proved and not (trials.recorded and watch.algorithm in DIVERGENT)
        findings += _departures(again, numbers, decided, steppers, trials.departure is not None)
    quantities = tuple(numbers.excused(watch.algorithm, trials.departure is not None))
    return Training(
        tuple(findings),
        quantities,
        tuple(numbers.losses),
        steps,
        (*numbers.notes, *(_left_alone(steppers) if loops is None and steps > 1 else ())),
        tuple(numbers.curves),
    )


def _left_alone(steppers: tuple[Stepper, Stepper]) -> Iterator[str]:
    """Schedules that no step of these looks at: an optimizer alone does not step its own."""
    for stepper in steppers:
        kind = stepper.tools.schedule(stepper.given) if stepper.direct else ""
        if kind:
            yield (
                f"the rate of the {stepper.framework} optimizer is left to a {kind}, which nothing "
                "steps here: all steps have the rate of the first; give callables that step it too"
            )


@dataclass
class Repetition:
    """The second side's training, which can be repeated.

    Attributes:
        side: after its training.
        start: puts it back to its start.
        numbers: of both trainings.
    """

    side: TrainingSide
    start: Sequence[Callable[[], None]]
    numbers: StepNumbers

    def band(self, gaps: Sequence[StageGap]) -> Band | None:
        """How far two right trainings part; the curves are drawn with it.

        Args:
            gaps: what is to be told from rounding.
        """
        losses = [loss for _, loss in self.numbers.losses]

        def is_outside(band: Band) -> bool:
            return first_outside(gaps, band) is not None

        dtype = self.numbers.grain.values
        given = self.side.stepper.given
        band = (
            recorded_band(given, dtype)
            if isinstance(given, RecordedOptimizer)
            else trained_twice(self.side, self.start, losses, is_outside, dtype)
        )
        if band is not None:
            self.numbers.curves = with_band(self.numbers.curves, self.numbers.gaps, band)
        return band


def _departures(
    again: Repetition | None,
    numbers: StepNumbers,
    proved: bool,
    steppers: tuple[Stepper, Stepper],
    divergent: bool,
) -> list[Finding]:
    """A departure that nothing known explains: of the optimizers where steps differ on agreeing
    gradients, else rounding, where two right trainings part as far.

    Args:
        again: the second side's training; None where it draws random numbers, by which two
            trainings part.
        divergent: whether the frameworks' update rules are known to part: what comes before the
            first update is looked at then.
    """
    frameworks = steppers[0].framework, steppers[1].framework
    if numbers.parted and not divergent and not all(stepper.direct for stepper in steppers):
        return [numbers.hidden(frameworks)]
    beyond = None if divergent else numbers.beyond()
    plain = all(stepper.plain for stepper in steppers)
    if beyond is not None and numbers.shared and proved and plain and not divergent:
        # equal settings, a trial on equal weights, and no update that parted on equal gradients
        return [rounded_finding(beyond, frameworks)]
    if beyond is not None:
        band = None if again is None else again.band(numbers.gaps)
        return [departure_finding(beyond, numbers.gaps, band, proved, frameworks, numbers.habits)]
    every = ahead_of_updates(numbers.gaps) if divergent else numbers.gaps
    gaps = suspicious(every)
    if again is None or again.side.loop is None or not proved or not gaps:
        return []
    # nothing but its numbers shows what is inside of a user's own step: within the tolerance too
    # it is held against rounding
    band = again.band(gaps)
    outside = None if band is None else first_outside(gaps, band)
    if outside is None:
        return []
    return [departure_finding(outside, every, band, proved, frameworks, numbers.habits)]


@dataclass
class Trials:
    """The optimizers on equal weights and gradients, where those of both sides are known.

    Attributes:
        sides, rows: what is tried.
        steps: how many steps the user asked for.
        grain: what weights are rounded to.
        departure: where they first parted.
    """

    sides: tuple[TrainingSide, TrainingSide]
    rows: Sequence[ParameterRow]
    steps: int
    grain: Grain
    departure: Departure | None = None

    @property
    def recorded(self) -> bool:
        """Whether both are recorded: each was tried on gradients of its own then."""
        given = (side.stepper.given for side in self.sides)
        return all(isinstance(each, RecordedOptimizer) for each in given)

    def on_noise(self) -> None:
        """On seeded gradients of a common size."""
        fewest, most = TRIALS
        self._try(max(fewest, min(self.steps, most)), None)

    def on_gradients(self, gradients: Mapping[str, Array]) -> None:
        """On the second model's own: where they are small, an epsilon decides."""
        if self.departure is None:
            self._try(1, gradients)

    def again(self, start: Sequence[Callable[[], None]], gradients: Mapping[str, Array]) -> None:
        """On what the user's own loop handed to its first update, with both sides as at their
        start; afterwards they are as they were.

        Args:
            start: puts both sides back to their start.
            gradients: of the second model.
        """
        if not gradients or self.departure is not None:
            return
        now = [put_back for side in self.sides for put_back in side.remember()]
        try:
            for put_back in start:
                put_back()
            self.on_gradients(gradients)
        finally:
            for put_back in now:
                put_back()

    def _try(self, steps: int, gradients: Mapping[str, Array] | None) -> None:
        first, second = self.sides
        steppers = first.stepper, second.stepper
        if self.recorded or not all(
            stepper.optimizers and stepper.steps_alone for stepper in steppers
        ):
            return
        held = [side.stepper.tools.gradients(side.stepper.model) for side in self.sides]
        write: Callable[..., None] = first.assign
        self.departure = try_steps(
            steppers,
            lambda side: self.sides[side].values(),
            write,
            self.rows,
            steps,
            self.grain,
            gradients,
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
