"""How far two right trainings part: the second model trained twice, once moved by one unit in the
last place.

Rounding grows in training, and how fast depends on the model, the loss and the optimizer. So it is
not guessed: weights and inputs are moved by one unit in the last place, and the same steps are
taken once more. What departs no further than that is rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.leaf_names import replace as replaced
from padiff_graph.training.stages.run_values import run_values
from padiff_graph.training.stages.step_record import StepRecord
from padiff_graph.training.training_side import TrainingSide

__all__ = ["Band", "trained_twice"]

WIDTH = 256.0
"""So many times as far as one unit in the last place moves a quantity two right trainings may part.
Every operation rounds, not the weights alone, and a single draw of signs may move one quantity
little. Chosen so that it lies several times above what was measured: 45 times at most in healthy
pairs of a small convolutional classifier, twelve optimizers, two seeds, eight steps each."""
UNITS, WIDE = 64, 8.0
"""Where a quantity is outside, the second model is trained with weights and inputs moved by so many
units too, twice, and right trainings may part so many times as far as that. Where a kink (ReLU,
Hardswish) lies near, the smallest movement may stay on its side of it and tells nothing, and
frameworks part by about as much as 64 units make, from the first gradients on. Chosen from a text
recogniser and a diffusion model, AdamW and a loop with accumulation, clipping and momentum, ten
steps each: 2 times at most, but for one gradient of 10 that the smallest movement covers."""
FLOOR = 4
"""Units in the last place of its largest value that any quantity may differ by."""
TIMES = 3.0
"""So many times as far as weights have come since the start two right trainings may part in them:
both may go that far in opposite directions, as Adam does where gradients are nothing but rounding,
and one of them further. Without it a single such element would let a whole parameter be anywhere.
"""
PutBack = Callable[[], None]
Key = tuple[int, str, str]


@dataclass(frozen=True)
class Band:
    """What one unit in the last place makes of a training.

    Attributes:
        moved: (step, stage, the second model's name) -> by how much the quantity moves.
        sizes: the same -> its largest magnitude.
        reach: the same, of weights and their averages -> how far they have come since the start.
    """

    moved: Mapping[Key, float]
    sizes: Mapping[Key, float]
    reach: Mapping[Key, float] = field(default_factory=dict)

    def allowed(self, step: int, stage: str, names: Sequence[str]) -> float:
        """How far two right trainings may part in a quantity that these names make up."""
        keys = [(step, stage, name) for name in names]
        grain = float(np.finfo(np.float32).eps) * max(self.sizes.get(key, 0.0) for key in keys)
        most = TIMES * max(self.reach.get(key, math.inf) for key in keys)
        return min(WIDTH * max(self.moved.get(key, 0.0) for key in keys), most) + FLOOR * grain

    def widened(self, further: Band) -> Band:
        """The same with what a movement of `UNITS` units makes."""
        share = WIDE / WIDTH
        moved = {
            key: max(own, share * further.moved.get(key, 0.0)) for key, own in self.moved.items()
        }
        return replace(self, moved=moved)


def trained_twice(
    side: TrainingSide,
    start: Sequence[PutBack],
    losses: Sequence[float],
    is_outside: Callable[[Band], bool],
) -> Band | None:
    """Trains the second model from its start again, twice; everything is left as it is now.

    Args:
        side: the second model after its training.
        start: puts model, optimizer and callable back to the start.
        losses: of each step of the training that was held against the first model's.
        is_outside: whether something is further apart than a band allows: it is trained twice more
            then, moved further.

    Returns:
        None where the training does not repeat itself: something that was not put back decides.
    """
    now = side.remember()
    record = side.record
    try:
        with side.engine.quiet():
            for put_back in start:
                put_back()
            runs = _Runs(side, side.remember(), len(losses))
            plain = _trained(side, len(losses))
            moved = runs.moved(1, 0)
            if not _repeats(losses, plain, moved):
                return None
            band = _band(plain, moved)
            if is_outside(band):
                for seed in range(2):
                    band = band.widened(_band(plain, runs.moved(UNITS, seed)))
    finally:
        for put_back in now:
            put_back()
        side.record = record
    return band


@dataclass
class _Runs:
    """Repetitions of one training.

    Attributes:
        side: what is trained.
        start: puts it back to its start, once.
        steps: how many.
    """

    side: TrainingSide
    start: Sequence[PutBack]
    steps: int

    def moved(self, units: int, seed: int) -> list[StepRecord]:
        """From the start, with weights and inputs moved by so many units in the last place."""
        for put_back in self.start:
            put_back()
        self.start = self.side.remember()
        return _trained(_moved(self.side, units, seed), self.steps)


def _trained(side: TrainingSide, steps: int) -> list[StepRecord]:
    side.record = StepRecord()
    side.clear()
    records = []
    for step in range(1, steps + 1):
        side.learn(step)
        side.step()
        records.append(side.record)
    return records


def _moved(side: TrainingSide, units: int, seed: int) -> TrainingSide:
    """The side with weights and inputs moved by so many units in the last place."""
    random = np.random.default_rng(seed)

    def move(array: Array) -> Array:
        return _by_units(array, random, units)

    side.engine.assign({name: move(array) for name, array in side.values().items()})
    batches = [_moved_batch(side, batch, move) for batch in side.batches]
    return replace(side, batches=batches, record=StepRecord())


def _moved_batch(
    side: TrainingSide, batch: Mapping[str, Any], move: Callable[[Array], Array]
) -> Mapping[str, Any]:
    tools = backend(side.stepper.framework).values
    fresh: dict[str, Any] = {}
    for name, leaf in leaves(batch, tools.is_tensor).items():
        numbers = tools.array(leaf)
        if numbers.dtype.kind == "f":
            fresh[name] = side.engine.tensor(move(numbers), tools.dtype(leaf))
    moved: Mapping[str, Any] = replaced(batch, tools.is_tensor, fresh)
    return moved


def _by_units(array: Array, random: np.random.Generator, units: int) -> Array:
    if array.dtype.kind != "f":
        return array
    signs = random.choice((-units, units), array.shape).astype(array.dtype)
    moved = array + signs * np.spacing(np.abs(array))
    return np.asarray(np.where(array == 0, array, moved), array.dtype)


def _repeats(
    losses: Sequence[float], plain: Sequence[StepRecord], moved: Sequence[StepRecord]
) -> bool:
    """Whether the plain repetition lies closer to the training than the moved one to it."""
    for loss, record, other in zip(losses, plain, moved, strict=True):
        grain = FLOOR * float(np.finfo(np.float32).eps) * abs(loss)
        if not abs(loss - record.loss) <= max(grain, abs(record.loss - other.loss)):
            return False
    return True


def _band(plain: Sequence[StepRecord], moved: Sequence[StepRecord]) -> Band:
    gaps: dict[Key, float] = {}
    sizes: dict[Key, float] = {}
    for step, (record, other) in enumerate(zip(plain, moved, strict=True), 1):
        stages: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
            "loss": ({"loss": np.asarray(record.loss)}, {"loss": np.asarray(other.loss)}),
            "batch": (run_values(record, "batch"), run_values(other, "batch")),
            "outputs": (run_values(record, "outputs"), run_values(other, "outputs")),
            "gradients": (record.accumulated, other.accumulated),
            "averages": (record.averages, other.averages),
            "weights": (record.after, other.after),
            "buffers": (record.after, other.after),
        }
        for stage, (first, second) in stages.items():
            for name in first.keys() & second.keys():
                if np.shape(first[name]) != np.shape(second[name]):
                    continue
                numbers = np.asarray(first[name], np.float64)
                key = step, stage, name
                gaps[key] = float(np.abs(numbers - second[name]).max(initial=0.0))
                sizes[key] = float(np.abs(numbers).max(initial=0.0))
        gaps[step, "loss", "loss"] = max(gaps[step, "loss", "loss"], _carried(record, other))
    return Band(gaps, sizes, _reach(plain))


def _reach(records: Sequence[StepRecord]) -> dict[Key, float]:
    """How far each parameter's weights, and an average of them, may have come in each step: the sum
    of the largest movements so far. Buffers are no steps of an optimizer."""
    reach: dict[Key, float] = {}
    come: dict[str, float] = {}
    for step, record in enumerate(records, 1):
        for name in record.accumulated.keys() & record.before.keys() & record.after.keys():
            movement = np.abs(np.asarray(record.after[name], np.float64) - record.before[name])
            come[name] = come.get(name, 0.0) + float(movement.max(initial=0.0))
        for name, far in come.items():
            reach[step, "weights", name] = reach[step, "averages", name] = far
    return reach


def _carried(plain: StepRecord, moved: StepRecord) -> float:
    """By how much the weights' movement may move the loss, whatever its direction: one number may
    stay by chance where it was. Norm of the gradient times norm of the movement, by parameter."""
    return sum(
        float(np.linalg.norm(gradient) * np.linalg.norm(plain.before[name] - moved.before[name]))
        for name, gradient in plain.accumulated.items()
    )
