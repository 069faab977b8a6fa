"""Whose gradient is wrong: each side's gradient against the finite difference of its own forward, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.executor.partition import Cut, Region
from padiff_graph.executor.region_run import Side, execute
from padiff_graph.matching.result import ParameterRow
from padiff_graph.referee.referee import LEFTOVER, measure
from padiff_graph.referee.region_result import RegionVerdict

__all__ = ["Slope", "overflown", "slopes"]

STEP = 1e-6


@dataclass(frozen=True, slots=True)
class Slope:
    """One directional derivative of one side: by its gradient, and by finite differences.

    Attributes:
        rounding: how finely the finite difference is known.
    """

    analytic: float
    numeric: float
    rounding: float

    @property
    def agrees(self) -> bool:
        """Whether the gradient is that of the forward."""
        return abs(self.analytic - self.numeric) <= max(
            1e-4 * max(abs(self.analytic), abs(self.numeric)), self.rounding
        )


def overflown(
    single: tuple[Array, Array],
    double: tuple[Array, Array] | None,
    bound: float,
    operations: tuple[int, int],
) -> tuple[RegionVerdict, str] | None:
    """What to call gradients of which one side's is not finite where the other's is, and elsewhere equal.

    `operations`: how many each side computes. Where it is a single one the framework's kernel overflows
    (Paddle's silu below -88); a formula of several is the model's own.
    """
    lost = ~np.isfinite(single[0]), ~np.isfinite(single[1])
    alone = int((lost[0] & ~lost[1]).sum()), int((lost[1] & ~lost[0]).sum())
    if bool(alone[0]) == bool(alone[1]):
        return None
    side = 0 if alone[0] else 1
    if not _equal(*single, bound) and not (double is not None and _equal(*double, LEFTOVER)):
        return None
    words = f"not finite in {alone[side]} of {single[0].size} places where the other side's is, and equal elsewhere"
    if operations[side] == 1:
        return (
            "framework-defect",
            f"the {('first', 'second')[side]} side's framework computes a gradient that is {words}: its own arithmetic overflows",
        )
    return (
        "different",
        f"the {('first', 'second')[side]} side's gradient is {words}: what it computes overflows",
    )


def _equal(one: Array, other: Array, bound: float) -> bool:
    """Whether two arrays agree where both are finite."""
    both = np.isfinite(one) & np.isfinite(other)
    rest = measure(one[both], other[both])
    return rest.error <= bound * rest.scale


def slopes(
    sides: tuple[Side, Side],
    region: Region,
    feeds: tuple[Mapping[Value, Array], Mapping[Value, Array]],
    cotangents: tuple[Mapping[Value, Array], Mapping[Value, Array]],
    gradients: tuple[Array, Array],
    *,
    cut: Cut | None = None,
    row: ParameterRow | None = None,
) -> tuple[Slope, Slope]:
    """Both sides' slopes along one direction, where their gradients differ most.

    Either `cut`, a boundary both sides read through one plain point, or `row`, a parameter.
    `gradients` are laid out like the first side's value.
    """
    one, other = (np.asarray(gradient, np.float64) for gradient in gradients)
    direction = one - other
    direction /= max(float(np.abs(direction).max()), 1e-300)
    found = []
    for number, side in enumerate(sides):
        values = []
        for sign in (1.0, -1.0):
            feed, moved = _moved(sides, feeds, number, direction * sign * STEP, cut, row)
            part = region.first if number == 0 else region.second
            ran = execute(
                replace(side, parameters=moved),
                part,
                feed,
                list(cotangents[number]),
                grad=False,
                double=True,
            )
            values.append(
                sum(
                    float(
                        np.vdot(
                            np.asarray(weight, np.float64),
                            side.engine.array(ran.outputs[value]).astype(np.float64),
                        )
                    )
                    for value, weight in cotangents[number].items()
                )
            )
        size = sum(float(np.abs(weight).sum()) for weight in cotangents[number].values())
        found.append(
            Slope(
                float(np.vdot((one, other)[number], direction)),
                (values[0] - values[1]) / (2 * STEP),
                1e-14 * size / STEP + 1e-9,
            )
        )
    return found[0], found[1]


def _moved(
    sides: Sequence[Side],
    feeds: Sequence[Mapping[Value, Array]],
    number: int,
    step: Array,
    cut: Cut | None,
    row: ParameterRow | None,
) -> tuple[dict[Value, Array], dict[str, Array]]:
    """The inputs and parameters of one side with the step added; the step is laid out like the first's."""
    feed = {
        value: array.astype(np.float64) if array.dtype.kind == "f" else array
        for value, array in feeds[number].items()
    }
    parameters = dict(sides[number].parameters)
    if cut is not None:
        if number == 0:
            value = cut.first[0]
            feed[value] = feed[value] + step.reshape(feed[value].shape)
        else:
            value = cut.second[0]
            target = np.zeros(feed[value].shape)
            point = cut.points[0]
            point.second_view.scatter(target, point.first_view.apply(step))
            feed[value] = feed[value] + target
    if row is not None:
        if number == 0:
            parameters[row.first] = parameters[row.first].astype(np.float64) + step.reshape(
                parameters[row.first].shape
            )
        else:
            for piece in row.pieces:
                target = np.zeros(parameters[piece.second].shape)
                piece.second_view.scatter(target, piece.first_view.apply(step))
                parameters[piece.second] = parameters[piece.second].astype(np.float64) + target
    return feed, parameters
