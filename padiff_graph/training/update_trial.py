"""Two optimizers tried on equal weights and shared gradients: nothing but the update rule can
differ."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import ParameterRow
from padiff_graph.training.grain import Grain, gap, largest
from padiff_graph.training.optimizers import Stepper

__all__ = ["Departure", "noise", "try_steps"]

SHARE = 1e-5
"""Share of a step that two update rules in float32 may differ by; chosen above what Adam's division
loses."""
COARSE_SHARE = 8
"""The same in units of half precision, in which a rule may round each of its operations: AdamW has
eight of them."""
ULPS, COARSE_ULPS = 8, 2
"""Roundings of the weights themselves that each step may add, in float32 and in half precision."""

Values = Mapping[str, Array]


@dataclass(frozen=True)
class Departure:
    """Where two optimizers part, given equal weights and gradients.

    Attributes:
        step: the first step after which weights differ beyond rounding.
        first, second: names of the parameter, and of those that it is made of.
        error: largest difference of the weights; `update` is the size of the step itself.
    """

    step: int
    first: str
    second: tuple[str, ...]
    error: float
    update: float


def try_steps(
    steppers: tuple[Stepper, Stepper],
    parameters: Callable[[int], Values],
    write: Callable[[Values], None],
    rows: Sequence[ParameterRow],
    steps: int,
    grain: Grain,
    gradients: Values | None = None,
) -> Departure | None:
    """Takes steps with equal weights and gradients on both sides, then puts all back.

    Args:
        steppers: both with optimizers that are known.
        parameters: current values of the first (0) or second (1) model's parameters.
        write: writes values into the first model.
        rows: the parameter map.
        steps: how many steps to try.
        grain: what weights are rounded to.
        gradients: of the second model, for every step; seeded random ones where None.
    """
    rows = _trained(steppers, rows)
    if gradients is not None:
        rows = [row for row in rows if gradients.keys() >= {piece.second for piece in row.pieces}]
    if not rows:
        return None
    with ExitStack() as stack:
        for stepper in steppers:
            for optimizer in stepper.optimizers:
                stack.enter_context(stepper.tools.kept(optimizer, stepper.model))
                stepper.tools.bare(optimizer)
        before, ours = dict(parameters(1)), parameters(0)
        write({row.first: mapped(row, ours[row.first], before) for row in rows})
        for step in range(1, steps + 1):
            _step(steppers, rows, ours, _given(rows, step, before, gradients))
            ours, theirs = parameters(0), parameters(1)
            for row in rows:
                departure = _departure(row, step, ours[row.first], theirs, before, grain)
                if departure is not None:
                    return departure
    return None


def _trained(steppers: tuple[Stepper, Stepper], rows: Sequence[ParameterRow]) -> list[ParameterRow]:
    """The rows whose parameters both optimizers train."""
    first, second = (
        stepper.tools.trainable(stepper.model) & set(stepper.settings()) for stepper in steppers
    )
    return [
        row
        for row in rows
        if row.pieces
        and row.first in first
        and second.issuperset(piece.second for piece in row.pieces)
    ]


def _given(
    rows: Sequence[ParameterRow], step: int, before: Values, gradients: Values | None
) -> dict[str, Array]:
    """The second model's gradients of one step."""
    wanted = {piece.second for row in rows for piece in row.pieces}
    if gradients is not None:
        return {name: gradients[name] for name in wanted}
    return {name: noise(name, step, before[name]) for name in wanted}


def _step(
    steppers: tuple[Stepper, Stepper], rows: Sequence[ParameterRow], ours: Values, given: Values
) -> None:
    """One step on either side with the same gradients."""
    own = {row.first: mapped(row, np.zeros_like(ours[row.first]), given) for row in rows}
    for stepper, gradients in zip(steppers, (own, given), strict=True):
        stepper.tools.put_gradients(stepper.model, gradients)
        for optimizer in stepper.optimizers:
            stepper.tools.advance(optimizer)


def _departure(
    row: ParameterRow, step: int, own: Array, theirs: Values, before: Values, grain: Grain
) -> Departure | None:
    """Whether a parameter differs by more than rounding after a step."""
    wanted, old = mapped(row, own, theirs), mapped(row, own, before)
    error = gap(own, wanted)
    update = gap(wanted, old)
    unit = grain.of_weight(row.first)
    coarse = row.first in grain.weights
    share, units = (COARSE_SHARE * unit, COARSE_ULPS) if coarse else (SHARE, ULPS)
    rounding = units * step * unit * largest(wanted)
    if error <= share * update + rounding:
        return None
    seconds = tuple(piece.second for piece in row.pieces)
    return Departure(step, row.first, seconds, error, update)


def noise(name: str, step: int, like: Array) -> Array:
    """Seeded gradients between 0.5 and 1.5 in size: no step is decided by an epsilon alone."""
    generator = np.random.default_rng([zlib.crc32(name.encode()), step])
    drawn = generator.random(like.shape, np.float32)
    drawn -= np.float32(0.5)
    drawn *= 2
    return np.asarray(drawn + np.copysign(np.float32(0.5), drawn), like.dtype)
