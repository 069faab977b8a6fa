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
from padiff_graph.sides.recorded_training import RecordedOptimizer
from padiff_graph.training.grain import HALVES, SINGLE, eps, spacing
from padiff_graph.training.stages.run_values import run_values
from padiff_graph.training.stages.step_record import StepRecord
from padiff_graph.training.training_side import TrainingSide

__all__ = ["Band", "recorded_band", "trained_twice"]


@dataclass(frozen=True)
class Rule:
    """What a movement by units in the last place says of two right trainings.

    Attributes:
        width: so many times as far as one unit moves a quantity they may part.
        units, wide: where a quantity is outside, the second model is trained with weights and
            inputs moved by so many units too, twice, and right trainings may part so many times as
            far as that.
        floor: units in the last place of its largest value that any quantity may differ by.
    """

    width: float
    units: int
    wide: float
    floor: int


SMALL = Rule(width=256.0, units=64, wide=8.0, floor=4)
"""In float32. Every operation rounds, not the weights alone, and a single draw of signs may move
one quantity little. The width was chosen so that it lies several times above what was measured: 45
times at most in healthy pairs of a small convolutional classifier, twelve optimizers, two seeds,
eight steps each. Where a kink (ReLU, Hardswish) lies near, the smallest movement may stay on its
side of it and tells nothing, and frameworks part by about as much as 64 units make, from the first
gradients on. Chosen from a text recogniser and a diffusion model, AdamW and a loop with
accumulation, clipping and momentum, ten steps each: 2 times at most, but for one gradient of 10
that the smallest movement covers."""
COARSE = Rule(width=8.0, units=1, wide=8.0, floor=4)
"""In half precision, where every operation rounds as much as a movement by one unit does. Two
right runs were apart by 3.9 times that at most beyond the floor: a perceptron, a convolutional
classifier and a decoder, with fused operations against spelled ones and fused optimizers against
plain ones, three optimizers, bfloat16 and float16, eight steps each."""
RULES: Mapping[str, Rule] = {SINGLE: SMALL, **dict.fromkeys(HALVES, COARSE)}
"""By what both models are rounded to."""
TIMES = 3.0
"""So many times as far as weights have come since the start two right trainings may part in them:
both may go that far in opposite directions, as Adam does where gradients are nothing but rounding,
and one of them further. Without it a single such element would let a whole parameter be anywhere.
"""
SCALARS = eps(SINGLE) / 8 / (1 - 0.999)
"""Share of the way that weights have come by which two frameworks' Adam may part: torch corrects
the bias by powers of the betas in double precision (torch/optim/adam.py), Paddle keeps them in
float32 (Beta2Pow of the adam operator), where one next to 1 is rounded by up to eps / 4; the step
divides by the root of 1 - beta2**t, which is 0.001 at least for the beta2 both start from."""
PutBack = Callable[[], None]
Key = tuple[int, str, str]


@dataclass(frozen=True)
class Band:
    """What one unit in the last place makes of a training.

    Attributes:
        moved: (step, stage, the second model's name) -> by how much the quantity moves.
        sizes: the same -> its largest magnitude.
        reach: the same, of weights and their averages -> how far they have come since the start.
        dtype: whose unit it was.
    """

    moved: Mapping[Key, float]
    sizes: Mapping[Key, float]
    reach: Mapping[Key, float] = field(default_factory=dict)
    dtype: str = SINGLE

    def allowed(self, step: int, stage: str, names: Sequence[str]) -> float:
        """How far two right trainings may part in a quantity that these names make up."""
        keys = [(step, stage, name) for name in names]
        rule = RULES[self.dtype]
        grain = eps(self.dtype) * max(self.sizes.get(key, 0.0) for key in keys)
        most = TIMES * max(self.reach.get(key, math.inf) for key in keys)
        moved = rule.width * max(self.moved.get(key, 0.0) for key in keys)
        scalars = SCALARS * max(self.reach.get(key, 0.0) for key in keys)
        return min(moved, most) + scalars + rule.floor * grain

    def knows(self, step: int, stage: str, names: Sequence[str]) -> bool:
        """Whether it was seen how far the quantity moves: what optimizers remember is not."""
        return any((step, stage, name) in self.moved for name in names)

    def widened(self, further: Band) -> Band:
        """The same with what a further movement makes."""
        rule = RULES[self.dtype]
        share = rule.wide / rule.width
        moved = {
            key: max(own, share * further.moved.get(key, 0.0)) for key, own in self.moved.items()
        }
        return replace(self, moved=moved)


def trained_twice(
    side: TrainingSide,
    start: Sequence[PutBack],
    losses: Sequence[float],
    is_outside: Callable[[Band], bool],
    dtype: str = SINGLE,
) -> Band | None:
    """Trains the second model from its start again, twice; everything is left as it is now.

    Args:
        side: the second model after its training.
        start: puts model, optimizer and callable back to the start.
        losses: of each step of the training that was held against the first model's.
        is_outside: whether something is further apart than a band allows: it is trained twice more
            then, moved further.
        dtype: what both models are rounded to.

    Returns:
        None where the training does not repeat itself: something that was not put back decides.
    """
    now = side.remember()
    record = side.record
    try:
        with side.engine.quiet():
            for put_back in start:
                put_back()
            runs = _Runs(side, side.remember(), len(losses), dtype)
            plain = _trained(side, len(losses))
            moved = runs.moved(1, 0)
            if not _repeats(losses, plain, moved):
                return None
            band = _band(plain, moved, dtype)
            if is_outside(band):
                for seed in range(2):
                    further = runs.moved(RULES[dtype].units, seed + 1)
                    band = band.widened(_band(plain, further, dtype))
    finally:
        for put_back in now:
            put_back()
        side.record = record
    return band


def recorded_band(optimizer: RecordedOptimizer, dtype: str) -> Band | None:
    """The band of a recorded training, which was repeated when it was recorded.

    Args:
        dtype: what both models are rounded to.

    Returns:
        None where it did not repeat itself, or is rounded otherwise than both.
    """
    told = optimizer.facts["band"]
    if told is None or optimizer.facts["dtype"] != dtype:
        return None
    return Band(
        {(step, stage, name): moved for step, stage, name, moved, _, _ in told},
        {(step, stage, name): size for step, stage, name, _, size, _ in told},
        {(step, stage, name): far for step, stage, name, *_, far in told if far is not None},
        dtype,
    )


@dataclass
class _Runs:
    """Repetitions of one training.

    Attributes:
        side: what is trained.
        start: puts it back to its start, once.
        steps: how many.
        dtype: whose units are meant.
    """

    side: TrainingSide
    start: Sequence[PutBack]
    steps: int
    dtype: str

    def moved(self, units: int, seed: int) -> list[StepRecord]:
        """From the start, with weights and inputs moved by so many units in the last place."""
        for put_back in self.start:
            put_back()
        self.start = self.side.remember()
        return _trained(_moved(self.side, units, seed, self.dtype), self.steps)


def _trained(side: TrainingSide, steps: int) -> list[StepRecord]:
    side.record = StepRecord()
    side.clear()
    records = []
    for step in range(1, steps + 1):
        side.learn(step)
        side.step()
        records.append(side.record)
    return records


def _moved(side: TrainingSide, units: int, seed: int, dtype: str) -> TrainingSide:
    """The side with weights and inputs moved by so many units in the last place."""
    random = np.random.default_rng(seed)

    def move(array: Array) -> Array:
        return _by_units(array, random, units, dtype)

    side.assign({name: move(array) for name, array in side.values().items()})
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


def _by_units(array: Array, random: np.random.Generator, units: int, dtype: str) -> Array:
    if array.dtype.kind != "f":
        return array
    signs = random.choice((-units, units), array.shape).astype(array.dtype)
    unit = np.spacing(np.abs(array)) if dtype == SINGLE else spacing(array, dtype)
    return np.asarray(np.where(array == 0, array, array + signs * unit), array.dtype)


def _repeats(
    losses: Sequence[float], plain: Sequence[StepRecord], moved: Sequence[StepRecord]
) -> bool:
    """Whether the plain repetition lies closer to the training than the moved one to it."""
    for loss, record, other in zip(losses, plain, moved, strict=True):
        grain = SMALL.floor * eps(SINGLE) * abs(loss)
        if not abs(loss - record.loss) <= max(grain, abs(record.loss - other.loss)):
            return False
    return True


def _band(plain: Sequence[StepRecord], moved: Sequence[StepRecord], dtype: str) -> Band:
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
        gaps[step, "loss", "loss"] = max(gaps[step, "loss", "loss"], _carried(record, other, dtype))
    return Band(gaps, sizes, _reach(plain), dtype)


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


def _carried(plain: StepRecord, moved: StepRecord, dtype: str) -> float:
    """By how much the weights' movement may move the loss: one number may stay by chance where it
    was. In float32 whatever its direction, norm of the gradient times norm of the movement, by
    parameter; in half precision, where that comes to the loss itself, as far as signs drawn by
    chance make it as a rule."""
    products = []
    for name, gradient in plain.accumulated.items():
        slope = np.asarray(gradient, np.float64)
        movement = np.asarray(plain.before[name], np.float64) - moved.before[name]
        if dtype == SINGLE:
            products.append(float(np.linalg.norm(slope) * np.linalg.norm(movement)))
        else:
            products.append(float(np.square(slope * movement).sum()))
    return sum(products) if dtype == SINGLE else math.sqrt(sum(products))
