"""How coarse the numbers of a training are: what both models compute in, and hold weights in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.master_weights import HALVES
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.largest import PIECE
from padiff_graph.referee.rounding_bound import UNITS, precision

__all__ = [
    "HALVES",
    "SINGLE",
    "Grain",
    "differences",
    "eps",
    "gap",
    "grain_of",
    "held_in",
    "largest",
    "of_graph",
    "spacing",
    "widened",
]

SINGLE = "float32"
"""What bounds of a training are meant for where nothing is coarser."""
LEAST: Mapping[str, float] = {"bfloat16": 2.0**-133, "float16": 2.0**-24, SINGLE: 2.0**-149}
"""The smallest number beside zero, the distance of all below the normal ones."""


def eps(dtype: str) -> float:
    """The distance of one from the next larger number."""
    return 2 * UNITS[dtype]


def spacing(numbers: Array, dtype: str) -> Array:
    """The unit in the last place of each number, were it held in a dtype."""
    magnitude = np.abs(np.asarray(numbers, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.floor(np.log2(magnitude))
    unit = eps(dtype) * np.exp2(np.where(np.isfinite(exponent), exponent, -np.inf))
    return np.asarray(np.maximum(unit, LEAST[dtype]))


@dataclass(frozen=True)
class Grain:
    """What both models of a training are rounded to.

    Attributes:
        values: the coarsest dtype that both compute in or hold weights in; never finer than
            float32.
        weights: by the first model's name of a parameter the dtype that both hold it in, where
            that is half precision.
    """

    values: str = SINGLE
    weights: Mapping[str, str] = field(default_factory=dict)

    def of_weight(self, name: str) -> float:
        """The relative distance of two numbers that a weight can hold."""
        return eps(self.weights.get(name, SINGLE))


def grain_of(matching: Matching, ambient: tuple[str, str] = ("", "")) -> Grain:
    """What the models of a matching are rounded to. What one of them alone rounds is no rounding of
    both: a training of it departs.

    Args:
        ambient: the half precision of an autocast around each model's runs; "" for none.
    """
    graphs = matching.first.graph, matching.second.graph
    coarsest = [
        _coarsest([of_graph(graph), around]) for graph, around in zip(graphs, ambient, strict=True)
    ]
    weights = {
        row.first: dtype for row in matching.parameters if (dtype := _of_row(row, graphs)) in HALVES
    }
    return Grain(min(coarsest, key=UNITS.__getitem__), weights)


def held_in(graph: ComputationGraph) -> str:
    """The coarsest dtype that a model holds a weight in, and so the weight's gradient."""
    return _coarsest(info.type.dtype for info in graph.parameters.values() if info.trainable)


def of_graph(graph: ComputationGraph) -> str:
    """The coarsest dtype of a model's operations and weights."""
    computed = precision(graph, (node.id for node in graph.of_kind("operation")))
    return _coarsest([computed, held_in(graph)])


def _coarsest(dtypes: Iterable[str]) -> str:
    known = [dtype for dtype in dtypes if dtype in HALVES]
    return max(known, key=UNITS.__getitem__, default=SINGLE)


def _of_row(row: ParameterRow, graphs: tuple[ComputationGraph, ComputationGraph]) -> str:
    """The finest dtype that both sides hold a parameter in."""
    sides = [(graphs[0], row.first), *((graphs[1], piece.second) for piece in row.pieces)]
    held = {graph.parameters[name].type.dtype for graph, name in sides if name in graph.parameters}
    return min(held & UNITS.keys(), key=UNITS.__getitem__, default=SINGLE)


def differences(one: Array, other: Array) -> Array:
    """How far numbers are apart; those that are lost on both sides alike do not differ, and what is
    lost on one alone is infinitely far."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(first - second)
    if not np.isfinite(apart).all():
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        apart = np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))
    return np.asarray(apart)


def gap(one: Array, other: Array) -> float:
    """The largest of the differences."""
    if np.shape(one) != np.shape(other):
        return float(differences(one, other).max(initial=0.0))
    first, second = np.asarray(one).reshape(-1), np.asarray(other).reshape(-1)
    most = 0.0
    with np.errstate(invalid="ignore"):
        for ours, theirs in widened(first, second):
            np.subtract(ours, theirs, out=ours)
            most = max(most, float(ours.max()), -float(ours.min()), key=_not_lost)
    return most if math.isfinite(most) else float(differences(one, other).max(initial=0.0))


def _not_lost(number: float) -> float:
    """An order in which NaN is the largest."""
    return math.inf if math.isnan(number) else number


def widened(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The numbers of flat arrays of one size in float64, piece by piece; each piece in the place of
    the one before, to be written over."""
    size = arrays[0].size
    wide = [np.empty(min(PIECE, size)) for _ in arrays]
    for start in range(0, size, PIECE):
        count = min(PIECE, size - start)
        for array, piece in zip(arrays, wide, strict=True):
            piece[:count] = array[start : start + count]
        yield tuple([piece[:count] for piece in wide])


def largest(numbers: Array) -> float:
    """The largest magnitude of what is finite."""
    numbers = np.asarray(numbers)
    if numbers.dtype.kind == "f" and numbers.size:
        most = float(max(numbers.max(), -numbers.min()))  # no copy of them all
        if math.isfinite(most):
            return most
    magnitude = np.abs(np.asarray(numbers, np.float64))
    return float(magnitude.max(initial=0.0, where=np.isfinite(magnitude)))
