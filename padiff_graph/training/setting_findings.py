"""Findings about the optimizers themselves: settings that differ, update rules that part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from padiff_graph.capture.master_weights import MASTERED
from padiff_graph.capture.master_weights import SETTING as MASTERS
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.cause_kinds import setting_kind
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import ParameterRow
from padiff_graph.sides.recorded_training import RecordedOptimizer
from padiff_graph.training.grain import SINGLE, eps
from padiff_graph.training.optimizer_settings import (
    SettingDifference,
    Settings,
    setting_differences,
)
from padiff_graph.training.optimizers import Stepper
from padiff_graph.training.stages.average_rule import AverageWatch
from padiff_graph.training.stages.carried_state import carried_differences
from padiff_graph.training.stages.observed_differences import CLIPPING, observed_differences
from padiff_graph.training.stages.reached_parameters import ReachWatch
from padiff_graph.training.stages.step_record import StepRecord
from padiff_graph.training.stages.still_weights import StillWatch
from padiff_graph.training.update_trial import Departure

__all__ = ["DIVERGENT", "SettingWatch", "owners", "trial_findings"]

DIVERGENT = {
    "RMSProp": (
        "Paddle adds epsilon under the square root, torch behind it: "
        "rate * g / sqrt(mean + epsilon) against rate * g / (sqrt(mean) + epsilon)"
    ),
    "Adamax": (
        "Paddle adds epsilon to the decayed infinity norm, torch to the gradient's magnitude, "
        "before the larger of the two is taken: max(beta2 * norm + epsilon, |g|) against "
        "max(beta2 * norm, |g| + epsilon)"
    ),
    "ASGD": (
        "Paddle averages the last gradients, torch averages the weights and decays the "
        "learning rate: rate * mean of the last batch_num g against "
        "rate / (1 + lambd * rate * t)^alpha * g + lambd * rate * w"
    ),
}
"""Update rules that the two frameworks do not compute alike, whatever the settings."""
AVERAGE = "average of weights"
FACTORS = ("accumulation", "loss factor")
"""What a factor between all gradients is taken for."""
LOOP = (*FACTORS, MASTERS)
"""Settings of the loop as a whole: where they hold for every parameter no module is at fault."""
ROOT = ("", "")
HIDDEN = "a callable"
"""The class of an optimizer that a callable hides."""


class SettingWatch:
    """Differences of settings, looked at in every step: a schedule may change them."""

    def __init__(
        self,
        steppers: tuple[Stepper, Stepper],
        rows: Sequence[ParameterRow],
        positions: Mapping[str, int],
        averages: AverageWatch,
        coarse: str = "",
    ) -> None:
        """
        Args:
            coarse: the half precision that both models hold weights in; "" for none.
            positions: where the first model first reads each of its parameters.
            averages: what is known of averages that callables keep.
        """
        self.averages = averages
        self.steppers, self.rows, self.positions = steppers, rows, positions
        self.seen: dict[tuple[str, tuple[str, str]], tuple[int, SettingDifference]] = {}
        self.rules = "", ""
        self.reach = ReachWatch()
        self.still = StillWatch()
        self.coarse, self.known = coarse, (False, False)

    def look_back(self) -> None:
        """Reads what the optimizers remember from before the first step."""
        if all(stepper.optimizers for stepper in self.steppers):
            states = self.steppers[0].state(), self.steppers[1].state()
            self._note(1, carried_differences(*states, self.rows))

    def look(self, step: int, first: StepRecord, second: StepRecord) -> None:
        """Reads what both sides did in a step."""
        settings = self._settings(first, 0), self._settings(second, 1)
        self.known = bool(settings[0]), bool(settings[1])
        if not any(self.rules):
            self.rules = _rule(settings[0]), _rule(settings[1])
        trains = tuple(stepper.tools.trainable(stepper.model) for stepper in self.steppers)
        pairs = [(row.first, piece.second) for row in self.rows for piece in row.pieces]
        told_settings = setting_differences(settings, (trains[0], trains[1]), pairs)
        owned = self._owned(settings)
        observed = self.reach.look(step, (first, second), owned, (trains[0], trains[1]))
        reached = {pair for difference in observed for pair in difference.parameters}
        # what no gradient reaches on one side is not updated there either
        observed += [
            difference
            for difference in observed_differences(first, second, owned)
            if not reached.issuperset(difference.parameters)
        ]
        if any(earlier < step for earlier, _ in self.seen.values()):
            # weights have gone other ways since: gradients may be multiples of each other by that
            observed = [each for each in observed if each.setting not in FACTORS]
        seen = {difference.setting for difference in observed}
        if not all(stepper.plain for stepper in self.steppers):
            # a callable or a hook may clip too: what both do is seen, what one says is half of it
            seen.add(CLIPPING)
        kept = [difference for difference in told_settings if difference.setting not in seen]
        self._note(step, [*kept, *observed])
        if max(first.unit, second.unit) > eps(SINGLE):  # nothing is lost in float32
            self.still.look(first, second)
        self.averages.look(step, first, second)

    @property
    def algorithm(self) -> str:
        """The update rule that both frameworks have by this name; "" where they are two."""
        return self.rules[0] if self.rules[0] == self.rules[1] else ""

    def _settings(self, record: StepRecord, side: int) -> Settings:
        """As the update found them; where none was made, as they are."""
        return record.settings or self.steppers[side].settings()

    def _owned(self, settings: tuple[Settings, Settings]) -> list[ParameterRow]:
        """The rows whose parameters both optimizers own, as far as is known."""
        ours, theirs = settings
        return [
            row
            for row in self.rows
            if (not ours or row.first in ours)
            and (not theirs or theirs.keys() >= {piece.second for piece in row.pieces})
        ]

    def _note(self, step: int, differences: Sequence[SettingDifference]) -> None:
        for difference in differences:
            self.seen.setdefault((difference.setting, difference.parameters[0]), (step, difference))

    def findings(self, parted: Mapping[tuple[str, str], int]) -> list[Finding]:
        """One finding for each difference; `parted` is the step at which parameters part."""
        self._note_hidden_masters()
        averages = self.averages.difference()
        pairs = tuple((row.first, piece.second) for row in self.rows for piece in row.pieces)
        if averages is not None and not self.seen and pairs:
            step, values = averages
            self._note(step, [SettingDifference(AVERAGE, values, pairs, everywhere=True)])
        return [self._finding(step, difference, parted) for step, difference in self.seen.values()]

    def _note_hidden_masters(self) -> None:
        """Updates that are lost on one side, told from where weights stay; only where a callable
        hides what an optimizer would say, and the other side alone can hold what is not lost."""
        if self.seen or not self.coarse or all(self.known):
            return
        lost = self.still.loser(self.rows)
        if lost is not None and not self._adds_up(lost) and self._adds_up(1 - lost):
            values = [self.coarse, MASTERED] if lost == 0 else [MASTERED, self.coarse]
            pairs = tuple((row.first, piece.second) for row in self.rows for piece in row.pieces)
            told = SettingDifference(MASTERS, (values[0], values[1]), pairs, everywhere=True)
            self._note(1, [told])

    def _adds_up(self, side: int) -> bool:
        """Whether something on a side may hold weights in full."""
        stepper = self.steppers[side]
        told = (setting.get(MASTERS) for setting in stepper.settings().values())
        return MASTERED in told or stepper.may_add_up()

    def _finding(
        self, step: int, difference: SettingDifference, parted: Mapping[tuple[str, str], int]
    ) -> Finding:
        steps = [parted[pair] for pair in difference.parameters if pair in parted]
        departs = max(step, min(steps, default=step))
        last = len(self.positions)
        upstream = min(difference.parameters, key=lambda pair: self.positions.get(pair[0], last))
        places = dict.fromkeys(owners(*pair) for pair in (upstream, *difference.parameters))
        if difference.everywhere and difference.setting in LOOP:
            places = {ROOT: None}
        cause = _cause(difference, departs, step, self.steppers)
        if difference.setting == MASTERS:
            lost = self.still.facts(difference.parameters)
            cause = replace(cause, facts=(*cause.facts, *lost.items()))
        return Finding(
            "optimizer",
            "different",
            cause,
            *next(iter(places)),
            places=tuple(places),
            order=step,
            frameworks=_frameworks(self.steppers),
        )


def _cause(
    difference: SettingDifference, departs: int, since: int, steppers: tuple[Stepper, Stepper]
) -> Cause:
    """`departs` is the step at which weights part, `since` the one from which the setting
    differs."""
    first, second = difference.values
    some = tuple(name for name, _ in difference.parameters)
    values = {"first_setting": first, "second_setting": second}
    if difference.setting == "owner":
        return Cause.of("optimizer.owner", some=some, **values)
    if not difference.everywhere:
        values["some"] = some
    if difference.setting == "learning rate" and since > 1:
        return Cause.of("optimizer.schedule", step=since, **values)
    return Cause.of(
        setting_kind(difference.setting),
        step=departs,
        setting=difference.setting,
        first_class=_class(steppers[0]),
        second_class=_class(steppers[1]),
        **values,
    )


def _rule(settings: Settings) -> str:
    """The update rule of a side; "" where it is not known."""
    told: Mapping[str, object] = next(iter(settings.values()), {})
    return str(told.get("algorithm", ""))


def _class(stepper: Stepper) -> str:
    if not stepper.optimizers:
        return HIDDEN
    own = stepper.optimizers[0]
    return own.class_name if isinstance(own, RecordedOptimizer) else type(own).__name__


def _frameworks(steppers: tuple[Stepper, Stepper]) -> tuple[str, str]:
    return steppers[0].framework, steppers[1].framework


def trial_findings(departure: Departure | None, watch: SettingWatch) -> list[Finding]:
    """The finding that optimizers part on equal weights and gradients though their settings
    agree."""
    if departure is None or watch.seen:
        return []
    measured: dict[str, object] = {"step": departure.step, "first_name": departure.first}
    measured |= {"error": departure.error, "update": departure.update}
    algorithm = watch.algorithm
    cause = Cause.of("optimizer.update", **measured)
    if algorithm in DIVERGENT:
        rule = DIVERGENT[algorithm]
        cause = Cause.of("framework.update_rule", algorithm=algorithm, rule=rule, **measured)
    elif not algorithm:
        cause = Cause.of(
            "optimizer.algorithm",
            setting="algorithm",
            first_setting=watch.rules[0],
            second_setting=watch.rules[1],
            first_class=_class(watch.steppers[0]),
            second_class=_class(watch.steppers[1]),
            **measured,
        )
    return [
        Finding(
            "optimizer",
            "framework-divergence" if algorithm in DIVERGENT else "different",
            cause,
            *owners(departure.first, departure.second[0]),
            error=departure.error,
            frameworks=_frameworks(watch.steppers),
        )
    ]


def owners(first: str, second: str) -> tuple[str, str]:
    """The module paths of two parameters."""
    return first.rpartition(".")[0], second.rpartition(".")[0]
