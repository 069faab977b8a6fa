"""The parameter values that both sides of every region use: equal through the parameter map, and
random where a model's own values stand at a constant.

A scale of ones, a shift of zeros or fresh running statistics hide bugs: a shift that is never added
makes no difference while it is zero, nor do magnitudes of a weight norm while they are those that
their directions have. So the tool's own copies of such parameters get seeded random values; the
models keep theirs.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.held_weights import held_weights
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.parameters.without_counterpart import folded_constants
from padiff_graph.matching.result import Matching
from padiff_graph.sides.recorded_engine import RecordedEngine, is_recorded

__all__ = ["Shared", "about", "constant_of", "first_reads", "share"]

NOTHING = 1e-3
"""A constant below it gets random values about zero, from -0.25 to 0.25; a larger one from half of
it to half as much again. Chosen so that a shift shows in float32 and a variance stays one."""
LENGTH = 1e-5
"""Relative difference up to which a magnitude is a length: a hundred units of float32, as sums of
squares of large rows leave."""


@dataclass(frozen=True)
class Shared:
    """Values of parameters and buffers by dotted name, for one run of the regions.

    Attributes:
        first, second: the two sides, equal through the parameter map.
        randomised: names in the second model whose constant value was replaced.
        own: names in the first model that keep their own value, for want of a counterpart.
        loose: names in a recorded second model that were recorded with random numbers and would
            have kept their constant in a check of both models.
    """

    first: dict[str, Array]
    second: dict[str, Array]
    randomised: tuple[str, ...]
    own: tuple[str, ...]
    loose: frozenset[str] = frozenset()


def share(
    matching: Matching,
    first: Engine,
    second: Engine,
    *,
    as_they_are: bool = False,
    randomise: bool = True,
) -> Shared:
    """Makes the values. Nothing is written into either model.

    `as_they_are`: every side keeps its own weights, which may be folded into others on one side.
    `randomise`: whether constants are replaced; without, both sides have the second's own values.
    """
    ours, theirs = held_weights(first), held_weights(second)
    if as_they_are:
        return Shared(ours, theirs, (), tuple(ours))
    changed: tuple[str, ...] = ()
    loose: frozenset[str] = frozenset()
    if randomise:
        changed = _randomise(matching, theirs)
        if is_recorded(second):
            loose = _recalled(cast(RecordedEngine, second), theirs) - {*changed}
    own: list[str] = []
    for row in matching.parameters:
        if row.first not in ours:
            continue
        if row.pieces:
            ours[row.first] = mapped(row, ours[row.first], theirs)
        else:
            own.append(row.first)
    return Shared(ours, theirs, changed, tuple(own), loose)


def _randomise(matching: Matching, theirs: dict[str, Array]) -> tuple[str, ...]:
    """Replaces constants of the second side in place; returns their names."""
    covered = _covered(matching, theirs)
    # what no parameter of the first can stand for belongs to operations that the first lacks:
    # a branch scaled by nearly nothing must show all the same
    lacking = all(
        row.pieces or row.status not in ("open", "neutral") for row in matching.parameters
    )
    # a mean of zeros in a buffer is a number of the program: the first has it as one of its own
    numbers = folded_constants(matching.second)
    changed: list[str] = []
    alike: Counter[tuple[float, int]] = Counter()
    scales = _own_magnitudes(theirs)
    for name in _as_read(matching.second.graph, theirs):
        array = theirs[name]
        value = 1.0 if name in scales else constant_of(array)
        if value is None:
            continue
        number = alike[value, array.size]
        alike[value, array.size] += 1
        alone = lacking and name not in covered and name not in numbers
        if covered.get(name, 0) >= array.size or alone:
            scale = np.asarray(array) if name in scales else 1
            theirs[name] = about(value, array, number) * scale
            changed.append(name)
    return tuple(changed)


def _own_magnitudes(arrays: Mapping[str, Array]) -> set[str]:
    """Vectors of lengths that another weight of the same module has along an axis: those of a fresh
    weight norm, which changes nothing."""
    modules: dict[str, list[str]] = defaultdict(list)
    for name in arrays:
        modules[name.rpartition(".")[0]].append(name)
    return {
        name
        for names in modules.values()
        for name in names
        if _positive(arrays[name])
        and any(_lengths_of(arrays[name], arrays[other]) for other in names if other != name)
    }


def _positive(array: Array) -> bool:
    """Whether an array is a vector, but for axes of one element, of positive numbers."""
    vector = array.dtype.kind == "f" and 1 < array.size == max(array.shape)
    return vector and bool((np.asarray(array) > 0).all())


def _lengths_of(array: Array, other: Array) -> bool:
    """Whether a vector holds the lengths of another array's slices along one of its axes."""
    if other.dtype.kind != "f" or other.size <= array.size:
        return False
    axes = [axis for axis, extent in enumerate(other.shape) if extent == array.size]
    for axis in axes:
        rows = np.moveaxis(np.asarray(other), axis, 0).reshape(array.size, -1)
        lengths = np.linalg.norm(rows, axis=1)
        if np.allclose(np.asarray(array).reshape(-1), lengths, LENGTH, 0):
            return True
    return False


def _recalled(second: RecordedEngine, theirs: dict[str, Array]) -> frozenset[str]:
    """Puts the numbers in place that a recording was made with, and returns whose they are: it
    answers under no others, and what is read behind them is what they led to."""
    for name in second.randomised:
        theirs[name] = second.region_weight(name)
    return second.randomised


def _as_read(graph: ComputationGraph, names: Iterable[str]) -> list[str]:
    """Names in the order in which the program comes to them, those that nothing reads last."""
    reads = first_reads(graph)
    return sorted(names, key=lambda name: reads.get(name, math.inf))


def _covered(matching: Matching, theirs: Mapping[str, Array]) -> dict[str, int]:
    """How many elements of each parameter of the second the first reads through the map."""
    covered: dict[str, int] = {}
    for row in matching.parameters:
        for piece in row.pieces:
            if piece.second in theirs:
                covered[piece.second] = covered.get(piece.second, 0) + piece.second_view.size
    return covered


def constant_of(array: Array) -> float | None:
    """The number that an array of floats stands at; None where it does not stand at one.

    A single number is left alone, since it may be a temperature whose value decides more than its
    sign.
    """
    if array.dtype.kind != "f" or array.size < 2:
        return None
    array = np.asarray(array)
    value = float(array.reshape(-1)[0])
    if not np.isfinite(value) or not bool((array == array.reshape(-1)[0]).all()):
        return None
    return value


def about(value: float, array: Array, number: int) -> Array:
    """Random values about a constant, in the shape and dtype of an array; signs are kept, so that a
    variance stays positive.

    Args:
        number: of the array among all of one size that stand at this constant, in the order in
            which the program reads them. Names play no part, so that two models that were recorded
            apart get the same numbers.
    """
    generator = np.random.default_rng(zlib.crc32(f"{value!r} {array.size} {number}".encode()))
    spread = generator.random(array.shape, np.float32)
    if abs(value) < NOTHING:
        return np.asarray((spread - 0.5) * 0.5, array.dtype)
    return np.asarray(value * (0.5 + spread), array.dtype)


def first_reads(graph: ComputationGraph) -> dict[str, int]:
    """The first operation that reads each parameter or buffer: where the program comes to it,
    whatever the order in which a module defines its parameters."""
    names = {
        record.id: record.name
        for record in graph.records()
        if record.kind in ("parameter", "buffer")
    }
    first: dict[str, int] = {}
    for record in graph.records():
        for value in record.inputs:
            if value is not None and value.node in names:
                first.setdefault(names[value.node], record.id)
    return first
