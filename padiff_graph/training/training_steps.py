"""Training both models for real, side by side: weights, buffers and optimizer state after every step.

Optimizers are held against each other three times: by their settings, on equal weights and shared
gradients (so that nothing but the update rule can differ), and in the real steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.leaf_names import replace as replaced
from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.known_divergence import biased_variance
from padiff_graph.referee.tolerance import Quantity, Tolerance, quantity
from padiff_graph.request.inputs import SIDES
from padiff_graph.training.optimizer_settings import (
    DIVERGENT,
    Departure,
    SettingDifference,
    Stepper,
    setting_differences,
    try_steps,
)

__all__ = ["Training", "train"]

Loss = Callable[[Any], Any]
AGREE = 1e-3
"""Gradients that differ by less than this share tell what an optimizer does with them."""
PART = 2e-4
"""Share of an update beyond which two optimizers' steps on agreeing gradients differ."""


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
        return all(found.within for _, found in self.quantities if found.counted)


@dataclass
class _Side:
    """One model in training."""

    engine: Engine
    stepper: Stepper
    example: Mapping[str, Any]
    loss: Loss
    gradients: dict[str, Array] = field(default_factory=dict)
    before: dict[str, Array] = field(default_factory=dict)
    after: dict[str, Array] = field(default_factory=dict)

    def values(self) -> dict[str, Array]:
        return {
            name: np.array(self.engine.array(tensor))
            for name, tensor in self.engine.parameters().items()
        }

    def learn(self) -> float:
        """Forward, loss and backward as the user's loop does them; inputs are the tool's own copies."""
        tools = self.stepper.tools
        is_tensor = backend(self.stepper.framework).values.is_tensor
        copies = {
            name: leaf.detach().clone() for name, leaf in leaves(self.example, is_tensor).items()
        }
        with self.engine.recording(True):
            loss = self.loss(self.stepper.model(**replaced(self.example, is_tensor, copies)))
        tools.learn(loss)
        self.gradients = tools.gradients(self.stepper.model)
        return float(self.engine.array(loss).reshape(-1)[0])

    def step(self) -> None:
        self.before = self.after or self.before
        self.stepper.advance()
        self.stepper.tools.clear(self.stepper.model)
        self.after = self.values()


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
        explained: whether the models are known to differ already, so that a departure says nothing new.
        proved: whether every stretch of the models was found to agree.
    """
    rows = [row for row in matching.parameters if row.pieces]
    sides = [
        _Side(engine, stepper, example, loss)
        for engine, stepper, example, loss in zip(engines, steppers, examples, losses, strict=True)
    ]
    # branches side by side run in an order of their own in each model: a setting is looked for in the port's
    settings = _Settings(steppers, rows, first_reads(matching.first.graph))
    undo: list[Callable[[], None]] = []
    for side in sides:
        side.before = side.values()
        undo.append(partial(side.engine.assign, dict(side.before)))
        undo += [
            side.stepper.tools.saved(optimizer, side.stepper.model)
            for optimizer in side.stepper.optimizers
        ]
    try:
        tried = _tried(engines, steppers, rows, steps)
        found = _Found(
            rows,
            matching,
            tolerance,
            {row.first: sides[0].before[row.first] for row in rows if row.first in sides[0].before},
        )
        for side in sides:
            side.stepper.tools.clear(side.stepper.model)
        for step in range(1, steps + 1):
            settings.look(step)
            found.losses.append((sides[0].learn(), sides[1].learn()))
            for side in sides:
                side.step()
            found.compare(step, sides)
    except BaseException:
        for put_back in undo:
            put_back()
        raise
    findings = [*settings.findings(found.parted), *_trial_findings(tried, settings)]
    if not findings and not explained:
        findings += found.findings(steppers, proved)
    quantities = tuple(found.excused(settings.algorithm))
    return Training(tuple(findings), quantities, tuple(found.losses), steps, tuple(found.notes))


def _tried(
    engines: tuple[Engine, Engine],
    steppers: tuple[Stepper, Stepper],
    rows: Sequence[ParameterRow],
    steps: int,
) -> Departure | None:
    if any(len(stepper.optimizers) != 1 for stepper in steppers):
        return None

    def parameters(side: int) -> dict[str, Array]:
        return {
            name: np.array(engines[side].array(tensor))
            for name, tensor in engines[side].parameters().items()
        }

    return try_steps(steppers, parameters, engines[0].assign, rows, max(2, min(steps, 3)))


def _trial_findings(tried: Departure | None, settings: _Settings) -> list[Finding]:
    if tried is None or settings.seen:
        return []
    algorithm = settings.algorithm
    measured = f"after step {tried.step} on equal weights and gradients {tried.first} differs by up to {tried.error:.3g} (the step itself is {tried.update:.3g})"
    paths = _owners(tried.first, tried.second.partition(" + ")[0])
    if algorithm in DIVERGENT:
        return [
            Finding(
                "optimizer",
                "framework-divergence",
                f"the frameworks compute {algorithm} differently: {DIVERGENT[algorithm]}; {measured}",
                *paths,
                error=tried.error,
            )
        ]
    return [
        Finding(
            "optimizer",
            "different",
            f"the optimizers differ though their settings agree: {measured}",
            *paths,
            error=tried.error,
        )
    ]


class _Settings:
    """Differences of settings, looked at before every step: a schedule may change them."""

    def __init__(
        self,
        steppers: tuple[Stepper, Stepper],
        rows: Sequence[ParameterRow],
        positions: Mapping[str, int],
    ) -> None:
        self.steppers, self.rows, self.positions = steppers, rows, positions
        self.seen: dict[tuple[str, tuple[str, str]], tuple[int, SettingDifference]] = {}
        self.algorithm = ""

    def look(self, step: int) -> None:
        if not self.algorithm:
            ours = next(iter(self.steppers[0].settings().values()), {})
            self.algorithm = str(ours.get("algorithm", ""))
        for difference in setting_differences(self.steppers, self.rows):
            self.seen.setdefault((difference.setting, difference.parameters[0]), (step, difference))

    def findings(self, parted: Mapping[tuple[str, str], int]) -> list[Finding]:
        told: dict[tuple[str, tuple[str, str]], Finding] = {}
        for (setting, _), (step, difference) in self.seen.items():
            first = min(
                (parted[pair] for pair in difference.parameters if pair in parted), default=step
            )
            upstream = min(
                difference.parameters,
                key=lambda pair: self.positions.get(pair[0], len(self.positions)),
            )
            finding = Finding(
                "optimizer",
                "different",
                _setting_cause(difference, max(step, first), step, self.steppers),
                *_owners(*upstream),
                places=tuple(
                    dict.fromkeys(_owners(*pair) for pair in (upstream, *difference.parameters))
                ),
                order=step,
            )
            told.setdefault((setting, difference.parameters[0]), finding)
        return list(told.values())


def _setting_cause(
    difference: SettingDifference, departs: int, since: int, steppers: tuple[Stepper, Stepper]
) -> str:
    left, right = difference.values
    kinds = [
        type(stepper.optimizers[0]).__name__ if stepper.optimizers else "a callable"
        for stepper in steppers
    ]
    names = f"{kinds[0]} ({SIDES[0]}) and {kinds[1]} ({SIDES[1]})"
    where = (
        "" if difference.everywhere else f" for {_some([one for one, _ in difference.parameters])}"
    )
    if difference.setting == "owner":
        return f"the optimizers do not train the same parameters: {_some([one for one, _ in difference.parameters])} is {left} on the {SIDES[0]} side and {right} on the {SIDES[1]} side"
    if difference.setting == "learning rate" and since > 1:
        return f"the learning rate schedules differ from step {since} on: the learning rate is {_number(left)} ({SIDES[0]}) against {_number(right)} ({SIDES[1]}){where}"
    return f"the optimizers differ from step {departs} on: {difference.setting} is {_number(left)} ({SIDES[0]}) against {_number(right)} ({SIDES[1]}){where}, in {names}"


class _Found:
    """Numbers of all steps."""

    def __init__(
        self,
        rows: Sequence[ParameterRow],
        matching: Matching,
        tolerance: Tolerance,
        start: Mapping[str, Array],
    ) -> None:
        self.rows, self.matching, self.tolerance, self.start = rows, matching, tolerance, start
        self.quantities: list[tuple[int, Quantity]] = []
        self.losses: list[tuple[float, float]] = []
        self.notes: list[str] = []
        self.parted: dict[tuple[str, str], int] = {}
        self.shares: dict[str, float] = {}
        self.trusted: dict[str, np.ndarray[Any, Any]] = {}

    def compare(self, step: int, sides: Sequence[_Side]) -> None:
        ours, theirs = sides
        one, other = self.losses[-1]
        self._add(step, "loss", "loss", "loss", np.asarray(one), np.asarray(other))
        counts = _variance_counts(self.matching)
        states = [side.stepper.state() for side in sides]
        for row in self.rows:
            names = [piece.second for piece in row.pieces]
            if row.first not in ours.after or any(name not in theirs.after for name in names):
                continue
            buffer = row.first not in ours.gradients and not all(
                name in theirs.gradients for name in names
            )
            first, second = ours.after[row.first], mapped(row, ours.after[row.first], theirs.after)
            kept = self._add(
                step,
                "buffer" if buffer else "parameter",
                row.first,
                " + ".join(names),
                first,
                second,
            )
            if (
                buffer
                and not kept.within
                and names[0] in counts
                and biased_variance(self.start[row.first], first, second, counts[names[0]])
            ):
                self.quantities[-1] = (
                    step,
                    replace(
                        kept,
                        counted=False,
                        reason="torch takes the unbiased batch variance, Paddle the biased one",
                    ),
                )
            if not buffer:
                self._updates(step, row, ours, theirs)
            self._states(step, row, states[0], states[1])

    def _states(
        self,
        step: int,
        row: ParameterRow,
        first: Mapping[str, Mapping[str, Array]],
        second: Mapping[str, Mapping[str, Array]],
    ) -> None:
        own = first.get(row.first, {})
        for kind, numbers in own.items():
            others = {
                piece.second: second[piece.second][kind]
                for piece in row.pieces
                if kind in second.get(piece.second, {})
            }
            if len(others) == len({piece.second for piece in row.pieces}):
                name = " + ".join(f"{kind} of {piece.second}" for piece in row.pieces)
                self._add(
                    step,
                    "parameter",
                    f"{kind} of {row.first}",
                    name,
                    numbers,
                    mapped(row, numbers, others),
                )

    def _add(
        self, step: int, kind: Any, first: str, second: str, one: Array, other: Array
    ) -> Quantity:
        found = quantity(kind, first, second, one, other, self.tolerance)
        self.quantities.append((step, found))
        return found

    def _updates(self, step: int, row: ParameterRow, ours: _Side, theirs: _Side) -> None:
        """Whether, where gradients agree, the steps taken on them do too."""
        gradient = ours.gradients.get(row.first)
        others = {
            piece.second: theirs.gradients[piece.second]
            for piece in row.pieces
            if piece.second in theirs.gradients
        }
        if gradient is None or len(others) != len({piece.second for piece in row.pieces}):
            return
        matched = mapped(row, gradient, others)
        agree = (np.abs(gradient - matched) <= AGREE * np.abs(matched)) & (matched != 0)
        trusted = self.trusted[row.first] = agree & self.trusted.get(row.first, np.asarray(True))
        if not trusted.any():
            return
        after, before = (
            mapped(row, ours.after[row.first], theirs.after),
            mapped(row, ours.before[row.first], theirs.before),
        )
        mine = (ours.after[row.first].astype(np.float64) - ours.before[row.first])[trusted]
        other = (after.astype(np.float64) - before)[trusted]
        grain = float(np.finfo(np.float32).eps) * float(np.abs(after[trusted]).mean())
        size = float(np.abs(other).mean())
        noise = float((np.abs(gradient - matched)[trusted] / np.abs(matched)[trusted]).mean())
        gap = float(np.abs(mine - other).mean())
        if gap > (PART + 10 * noise) * size + 2 * grain:
            name = " + ".join(piece.second for piece in row.pieces)
            self.shares.setdefault(row.first, gap / size if size else math.inf)
            for piece in row.pieces:
                self.parted.setdefault((row.first, piece.second), step)
            self.notes += (
                [
                    f"at step {step} the update of {row.first} and {name} differs by {gap / size if size else math.inf:.2%} where their gradients agree"
                ]
                if len(self.notes) < 3
                else []
            )

    def findings(self, steppers: tuple[Stepper, Stepper], proved: bool) -> list[Finding]:
        """A departure that nothing known explains: of the optimizers where steps differ on agreeing
        gradients, of rounding otherwise."""
        if self.parted and not all(stepper.direct for stepper in steppers):
            step = min(self.parted.values())
            pairs = [pair for pair, first in self.parted.items() if first == step]
            share = self.shares[pairs[0][0]]
            cause = f"the optimizers differ from step {step} on: where the gradients agree, the steps taken on {_some([one for one, _ in pairs])} differ by {share:.2%}; the callables hide how"
            return [
                Finding(
                    "optimizer",
                    "different",
                    cause,
                    *_owners(*pairs[0]),
                    places=tuple(dict.fromkeys(_owners(*pair) for pair in pairs)),
                    order=step,
                )
            ]
        beyond = [
            (step, found) for step, found in self.quantities if found.counted and not found.within
        ]
        if not beyond:
            return []
        step, worst = beyond[0]
        verdict: Any = "rounding" if proved else "not-comparable"
        what = (
            "rounding carried along by training"
            if proved
            else "not told from rounding, since parts of the models could not be compared"
        )
        cause = f"training departs from step {step} on: {worst.first} differs by up to {worst.error:.3g}; {what}"
        return [
            Finding(
                "optimizer",
                verdict,
                cause,
                worst.first.rpartition(".")[0],
                worst.second.rpartition(".")[0],
                error=worst.error,
                relative=worst.relative,
                order=step,
            )
        ]

    def excused(self, algorithm: str) -> list[tuple[int, Quantity]]:
        """The quantities; where the frameworks' update rules differ, what is trained is not counted."""
        if algorithm not in DIVERGENT:
            return self.quantities
        reason = f"the frameworks compute {algorithm} differently"
        return [
            (step, replace(found, counted=False, reason=reason)) for step, found in self.quantities
        ]


def _variance_counts(matching: Matching) -> dict[str, float]:
    """Elements under each running variance of the second model, by the variance's name."""
    counts = {}
    nodes = matching.second.nodes
    for node in nodes:
        if (
            node.op == "BatchNormalization"
            and len(node.inputs) > 4
            and node.inputs[4] is not None
            and node.outputs
        ):
            variance = nodes[node.inputs[4].source]
            if variance.name and variance.outputs:
                counts[variance.name] = node.outputs[0].size / max(variance.outputs[0].size, 1)
    return counts


def _owners(first: str, second: str) -> tuple[str, str]:
    """The module paths of two parameters."""
    return first.rpartition(".")[0], second.rpartition(".")[0]


def _some(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
