"""The numbers of all training steps, and what they say of the optimizers where gradients agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.known_divergence import variance_counts
from padiff_graph.referee.tolerance import Kind as QuantityKind
from padiff_graph.referee.tolerance import Quantity, Tolerance, quantity
from padiff_graph.report.training_curves import TrainingStep
from padiff_graph.training.grain import SINGLE, differences, eps, gap, grain_of, largest
from padiff_graph.training.setting_findings import DIVERGENT, owners
from padiff_graph.training.stages.curves import curve_step
from padiff_graph.training.stages.departure import StageGap
from padiff_graph.training.stages.loss_factor import factor_between, multiple
from padiff_graph.training.stages.run_values import Kind, habits, run_pairs, run_values
from padiff_graph.training.stages.running_variance import carried_to_unbiased, share_of_example
from padiff_graph.training.stages.step_record import StepRecord
from padiff_graph.training.training_side import TrainingSide

__all__ = ["StepNumbers", "step_share"]

AGREE = 1e-3
"""Gradients that differ by less than this share tell what an optimizer does with them."""
PART = 2e-4
"""Share of an update beyond which two optimizers' steps on agreeing gradients differ; chosen above
what Adam's division loses in float32."""
NOISE = 10
"""How many times the gradients' own difference a step may carry on."""
GRAIN = 2
"""Roundings of a weight that a step may add."""
TOLD = 3
"""Most parameters that notes speak of."""
RUN_STAGES: tuple[Kind, ...] = ("batch", "outputs")
OWN_DRAWS = "both sides draw random numbers of their own"
Leaves = Mapping[Kind, Sequence[tuple[str, str]]]
UNBIASED = "torch takes the unbiased batch variance, Paddle the biased one"


class StepNumbers:
    """Compares both models after every step.

    Attributes:
        quantities: (step, quantity) of everything compared.
        losses: the two losses of every step.
        parted: (first, second) names of parameters -> the step from which their updates differ
            though their gradients agree.
        gaps: how far the sides are apart in each stage.
        curves: both trainings step by step.
        grain: what both models are rounded to.
        handed: what the second side's first update was handed.
        steps: how many are taken in all; 0 where that is not known.
        habits: by step, what the two do otherwise with the model as a whole.
        notes: what the user should know, in sentences.
    """

    def __init__(
        self,
        rows: Sequence[ParameterRow],
        matching: Matching,
        tolerance: Tolerance,
        shared: bool = False,
        leaves: Leaves | None = None,
        steps: int = 0,
    ) -> None:
        """
        Args:
            steps: how many are taken in all; 0 where that is not known.
            leaves: names of inputs ("batch") and of outputs that correspond: "outputs" are held
                against each other, "logits" may be those of a loss.
            shared: whether the first side steps on the second's gradients, as both draw their own
                random numbers: losses and buffers are not held against each other then.
        """
        self.rows, self.tolerance, self.shared = rows, tolerance, shared
        self.grain = grain_of(matching)
        self._matching = matching
        self.quantities: list[tuple[int, Quantity]] = []
        self.losses: list[tuple[float, float]] = []
        self.leaves, self.steps = leaves or {}, steps
        self.habits: dict[int, tuple[Cause, ...]] = {}
        self.gaps: list[StageGap] = []
        self.curves: list[TrainingStep] = []
        self.notes: list[str] = []
        self.handed: Mapping[str, Array] = {}
        self.parted: dict[tuple[str, str], int] = {}
        self._counts = variance_counts(matching)
        self._scale = 1.0
        self._share: float | None = 1.0
        self._shares: dict[str, float] = {}
        self._noise: dict[str, float] = {}
        self._largest: dict[str, np.ndarray[Any, Any]] = {}
        self._trusted: dict[str, np.ndarray[Any, Any]] = {}

    def compare(self, step: int, sides: Sequence[TrainingSide]) -> None:
        """Holds losses, weights, buffers and what the optimizers remember against each other."""
        ours, theirs = sides
        first, second = ours.record, theirs.record
        self.losses.append((first.loss, second.loss))
        self.habits[step] = habits(first, second, self.leaves.get("logits", ()))
        self.handed = self.handed or second.handed
        self._scale = _taken_back(self.rows, first, second)
        self._share = share_of_example(second, theirs.sizes(step), theirs.sizes(1))
        self.grain = grain_of(self._matching, (first.autocast, second.autocast))
        self._runs(step, first, second)
        if first.told and second.told:
            self._add(step, "loss", "loss", "loss", *map(np.asarray, self.losses[-1]))
            self._gap(step, "loss", "loss", ("loss",), *map(np.asarray, self.losses[-1]))
            self.gaps[-1] = replace(self.gaps[-1], numbers=self.losses[-1])
        if self.shared:
            self._leave_out(OWN_DRAWS)
        states = ours.stepper.state(), theirs.stepper.state()
        handed = first.stepped_on, second.stepped_on
        for row in self.rows:
            names = [piece.second for piece in row.pieces]
            if row.first not in first.after or not second.after.keys() >= set(names):
                continue
            trained = row.first in first.accumulated or second.accumulated.keys() >= set(names)
            if trained:
                after = mapped(row, first.after[row.first], second.after)
                own = first.after[row.first]
                self._add(step, "parameter", row.first, _joined(row), own, after)
                self._gaps(step, row, first, second, after)
                self._updates(step, row, first, second, handed, after)
            else:
                self._buffer(step, row, first, second)
            self._states(step, row, *states)
        self.curves.append(curve_step(step, first, second, self.gaps))

    def _add(
        self, step: int, kind: QuantityKind, first: str, second: str, one: Array, other: Array
    ) -> Quantity:
        added = quantity(kind, first, second, one, other, self.tolerance)
        self.quantities.append((step, added))
        return added

    def _runs(self, step: int, ours: StepRecord, theirs: StepRecord) -> None:
        """How far the runs of the users' own steps are apart in what goes in and comes out."""
        for stage in RUN_STAGES:
            pairs = self.leaves.get(stage, ())
            first, second = run_values(ours, stage), run_values(theirs, stage)
            for one, other in run_pairs(pairs, ours, theirs):
                if one in first and other in second and first[one].shape == second[other].shape:
                    self._gap(step, stage, one, (other,), first[one], second[other])

    def _gaps(
        self, step: int, row: ParameterRow, ours: StepRecord, theirs: StepRecord, after: Array
    ) -> None:
        """How far gradients and weights are apart; `after`: the second's weights, laid out as the
        first's."""
        names = tuple(dict.fromkeys(piece.second for piece in row.pieces))
        stages = {
            "gradients": (ours.accumulated, theirs.accumulated),
            "weights": (ours.after, theirs.after),
            "averages": (ours.averages, theirs.averages),
        }
        for stage, (first, second) in stages.items():
            if row.first in first and second.keys() >= set(names):
                own = first[row.first]
                if stage == "gradients":
                    own = own / own.dtype.type(self._scale)
                other = after if stage == "weights" else mapped(row, own, second)
                self._gap(step, stage, row.first, names, own, other)

    def _gap(
        self, step: int, stage: str, first: str, names: tuple[str, ...], own: Array, other: Array
    ) -> None:
        self.gaps.append(StageGap(step, stage, first, names, gap(own, other), largest(other)))

    def _leave_out(self, reason: str) -> None:
        """The last quantity is told and does not count."""
        step, added = self.quantities[-1]
        self.quantities[-1] = step, replace(added, counted=False, reason=reason)

    def _buffer(self, step: int, row: ParameterRow, ours: StepRecord, theirs: StepRecord) -> None:
        """A buffer; of a running variance what the frameworks' own rules make of it is not
        counted."""
        own = ours.after[row.first]
        wanted = mapped(row, own, theirs.after)
        compared = self._add(step, "buffer", row.first, _joined(row), own, wanted)
        if self.shared:
            self._leave_out(OWN_DRAWS)
            return
        carried = None
        if row.pieces[0].second in self._counts:
            if compared.within:
                return
            carried = self._carried(row, ours, theirs)
            if carried is None:
                # other rules of the frameworks: no band is theirs
                return
            self._leave_out(UNBIASED)
            self._add(step, "buffer", row.first, _joined(row), carried, wanted)
        names = tuple(dict.fromkeys(piece.second for piece in row.pieces))
        self._gap(step, "buffers", row.first, names, own if carried is None else carried, wanted)

    def _carried(self, row: ParameterRow, ours: StepRecord, theirs: StepRecord) -> Array | None:
        """The first side's running variance as the second's framework updates it."""
        share = self._share
        if share is None or row.first not in ours.before:
            return None
        before = mapped(row, ours.before[row.first], theirs.before)
        after = mapped(row, ours.after[row.first], theirs.after)
        return carried_to_unbiased(
            (ours.before[row.first], before),
            (ours.after[row.first], after),
            share * self._counts[row.pieces[0].second],
        )

    def _states(
        self,
        step: int,
        row: ParameterRow,
        first: Mapping[str, Mapping[str, Array]],
        second: Mapping[str, Mapping[str, Array]],
    ) -> None:
        """What the optimizers remember of one parameter, where both do."""
        for kind, numbers in first.get(row.first, {}).items():
            names = {piece.second for piece in row.pieces}
            others = {name: second[name][kind] for name in names if kind in second.get(name, {})}
            if len(others) < len(names):
                continue
            shown = " + ".join(f"{kind} of {piece.second}" for piece in row.pieces)
            wanted = mapped(row, numbers, others)
            self._add(step, "parameter", f"{kind} of {row.first}", shown, numbers, wanted)

    def _updates(
        self,
        step: int,
        row: ParameterRow,
        ours: StepRecord,
        theirs: StepRecord,
        handed: tuple[Mapping[str, Array], Mapping[str, Array]],
        after: Array,
    ) -> None:
        """Whether, where gradients agree, the steps taken on them do too.

        Args:
            handed: what the first update of each parameter was made of, of both sides.
            after: the second's weights, laid out as the first's.
        """
        gradient = handed[0].get(row.first)
        if gradient is None or not handed[1].keys() >= {piece.second for piece in row.pieces}:
            return
        wanted = mapped(row, gradient, handed[1])
        apart, size = np.abs(gradient - wanted), np.abs(wanted)
        trusted = (apart <= AGREE * size) & (wanted != 0)
        trusted &= self._trusted.get(row.first, np.asarray(True))
        if not self.last(step):
            self._trusted[row.first] = trusted
        if not trusted.any():
            return
        noise = float((apart[trusted] / size[trusted]).mean())
        # a step carries earlier gradients along, with what these differ by, and may cancel them
        noise = self._noise[row.first] = max(noise, self._noise.get(row.first, 0.0))
        moved = after.astype(np.float64) - mapped(row, ours.before[row.first], theirs.before)
        steps = np.abs(moved)
        steps = np.where(np.isfinite(steps), steps, 0.0)
        if row.first in self._largest:
            steps = np.maximum(steps, self._largest[row.first])
        if not self.last(step):
            self._largest[row.first] = steps
        unit = self.grain.of_weight(row.first)
        far = float(steps[trusted].mean())
        own = ours.after[row.first].astype(np.float64) - ours.before[row.first]
        share = step_share(own, moved, after, trusted, noise, far, unit)
        if share is not None:
            self._part(step, row, share)

    def last(self, step: int) -> bool:
        """Whether no step follows, so that nothing is kept for it."""
        return step >= self.steps > 0

    def _part(self, step: int, row: ParameterRow, share: float) -> None:
        self._shares.setdefault(row.first, share)
        for piece in row.pieces:
            self.parted.setdefault((row.first, piece.second), step)
        if len(self.notes) < TOLD:
            self.notes.append(
                f"at step {step} the update of {row.first} and {_joined(row)} differs by "
                f"{share:.2%} where their gradients agree"
            )

    def beyond(self) -> StageGap | None:
        """The first counted quantity beyond the tolerance."""
        for step, compared in self.quantities:
            if compared.counted and not compared.within:
                stage = {"loss": "loss", "buffer": "buffers"}.get(compared.kind, "weights")
                return StageGap(step, stage, compared.first, (compared.second,), compared.error)
        return None

    def hidden(self, frameworks: tuple[str, str]) -> Finding:
        """Steps that differ on agreeing gradients, taken by callables that hide how."""
        step = min(self.parted.values())
        pairs = [pair for pair, first in self.parted.items() if first == step]
        some = tuple(first for first, _ in pairs)
        share = self._shares[some[0]]
        return Finding(
            "optimizer",
            "different",
            Cause.of("optimizer.steps", step=step, some=some, share=share),
            *owners(*pairs[0]),
            places=tuple(dict.fromkeys(owners(*pair) for pair in pairs)),
            order=step,
            frameworks=frameworks,
        )

    def excused(self, algorithm: str, departed: bool) -> list[tuple[int, Quantity]]:
        """The quantities; where the frameworks' update rules were seen to part, what is trained is
        not counted."""
        if algorithm not in DIVERGENT or not departed:
            return self.quantities
        reason = f"the frameworks compute {algorithm} differently"
        return [
            (step, replace(compared, counted=False, reason=reason))
            for step, compared in self.quantities
        ]


def step_share(
    own: Array,
    wanted: Array,
    after: Array,
    trusted: Array,
    noise: float,
    far: float,
    unit: float = eps(SINGLE),
) -> float | None:
    """By which share of itself an update differs beyond rounding; None where it does not.

    Args:
        own, wanted: how far one parameter's weights went on either side, laid out as the first
            side holds them.
        after: the second's weights after the step, laid out so.
        trusted: elements whose gradients agree.
        noise: the relative difference of these gradients, in the step where it was largest.
        far: mean size of the largest steps that these elements took so far.
        unit: relative distance of two numbers that a weight can hold.
    """
    gaps = differences(own, wanted)
    # what is lost on both sides alike tells nothing
    told = trusted & (np.isfinite(wanted) | (gaps > 0))
    if not told.any():
        return None
    grain = unit * _mean_size(after[told])
    size = _mean_size(wanted[told])
    apart = float(gaps[told].mean())
    if apart <= PART * size + NOISE * noise * far + GRAIN * grain:
        return None
    return apart / size if size else math.inf


def _mean_size(numbers: Array) -> float:
    """The mean magnitude of what is finite."""
    finite = numbers[np.isfinite(numbers)]
    return float(np.abs(finite).mean()) if finite.size else 0.0


def _taken_back(rows: Sequence[ParameterRow], ours: StepRecord, theirs: StepRecord) -> float:
    """What one side's gradients alone are multiplied by; where that is not taken back, a finding
    says so."""
    ratio = multiple(rows, ours.accumulated, theirs.accumulated)
    return factor_between(ratio, ours, theirs) or 1.0


def _joined(row: ParameterRow) -> str:
    return " + ".join(piece.second for piece in row.pieces)
