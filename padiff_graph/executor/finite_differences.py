"""How a region's results change along one direction of what it reads, by its own forward in
float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.partition import Cut, Slice
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.side_run import side_values
from padiff_graph.matching.result import ParameterRow

__all__ = ["Change", "Ends", "along_cut", "along_parameter", "change"]

STEP = 1e-6
"""Length of the step: chosen so that in float64 what the step leaves out (its square) and what
rounding leaves (1e-16 over the step) are both far below a slope's tolerance."""
LOST = 1e-14
"""What float64 loses of the sum of all results, relative to its terms: chosen a hundred units of
rounding."""
LEAST = 1e-9
"""The least that a slope is uncertain by; chosen for results whose cotangents are nearly
nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """How fast the weighed sum of results changes.

    Attributes:
        slope: per unit of the direction.
        rounding: how finely that is known.
        bend: how much faster it changes ahead than back: next to nothing but at a kink.
    """

    slope: float
    rounding: float
    bend: float = 0.0


@dataclass(frozen=True, slots=True)
class Moved:
    """What one side is fed at one end of a step, parameters included."""

    side: Side
    feed: Mapping[Value, Array]


Ends = tuple[Moved, Moved, Moved]
"""A step ahead, none, and a step back."""
WAYS = (1.0, 0.0, -1.0)
"""How far each of these goes."""


def change(part: Slice, cotangents: Mapping[Value, Array], ends: Ends) -> Change:
    """The central difference between the two ends of a step."""
    ahead, here, behind = (_weighed(part, cotangents, end) for end in ends)
    size = sum(float(np.abs(weight).sum()) for weight in cotangents.values())
    bend = abs((ahead - here) - (here - behind)) / STEP
    return Change((ahead - behind) / (2 * STEP), LOST * size / STEP + LEAST, bend)


def _weighed(part: Slice, cotangents: Mapping[Value, Array], inputs: Moved) -> float:
    """The sum of all results, weighed by their cotangents."""
    values = side_values(inputs.side, part, inputs.feed, cotangents, double=True)
    return sum(
        float(np.vdot(np.asarray(weight, np.float64), values[value].astype(np.float64)))
        for value, weight in cotangents.items()
    )


def along_cut(
    side: Side, number: int, feed: Mapping[Value, Array], cut: Cut, direction: Array
) -> Ends:
    """A step of a boundary value that stands in one point; `direction` is laid out as that reads
    both values, `number` is 0 for the first side and 1 for the second."""
    wide = {
        value: array.astype(np.float64) if array.dtype.kind == "f" else array
        for value, array in feed.items()
    }
    value = (cut.first, cut.second)[number][0]
    point = cut.points[0]
    view = (point.first_view, point.second_view)[number]
    step = _scattered(wide[value].shape, view, direction.reshape(view.shape) * STEP)
    ends = [Moved(side, {**wide, value: wide[value] + way * step}) for way in WAYS]
    return ends[0], ends[1], ends[2]


def along_parameter(
    side: Side, number: int, feed: Mapping[Value, Array], row: ParameterRow, direction: Array
) -> Ends:
    """A step of a parameter; `direction` is laid out like the first side's."""
    wide = {
        value: array.astype(np.float64) if array.dtype.kind == "f" else array
        for value, array in feed.items()
    }
    ends = []
    for way in WAYS:
        moved = dict(side.parameters)
        for name, step in _parameter_steps(side, number, row, way * direction * STEP):
            moved[name] = moved[name].astype(np.result_type(moved[name], np.float64)) + step
        ends.append(Moved(replace(side, parameters=moved), wide))
    return ends[0], ends[1], ends[2]


def _parameter_steps(
    side: Side, number: int, row: ParameterRow, step: Array
) -> list[tuple[str, Array]]:
    """The step by parameter name of one side."""
    if number == 0:
        return [(row.first, step.reshape(side.parameters[row.first].shape))]
    return [
        (
            piece.second,
            _scattered(
                side.parameters[piece.second].shape,
                piece.second_view,
                piece.first_view.apply(step),
            ),
        )
        for piece in row.pieces
    ]


def _scattered(shape: tuple[int, ...], view: View, values: Array) -> Array:
    in_parts = view.source == 2 * math.prod(shape)  # of complex numbers
    target = np.zeros(shape, np.complex128 if in_parts else np.float64)
    view.scatter(target, values)
    return target
