"""Whether both sides of a region compute the same function, or merely agree on what they were fed:
at equal numbers a maximum over any axis is the same."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.diagnosis.trial_runs import apart, halves_of
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.transfer import fed
from padiff_graph.executor.value_names import value_name
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["parting_feed"]

WAYS = (1.0 / 64, 8.0)
"""How far the values are moved, in units of their deviation: a little, which leaves ties and zeros
alone; and far, which reaches bounds such as the six of a ReLU6."""
OTHER = 1e-6
"""Relative difference beyond which results in float64 are not the same: what constants held as
float32 leave is a tenth of that."""


def parting_feed(pair: Pair, region: Region, plan: Plan, feed: Fed) -> Fed | None:
    """Values, beside those that a region was fed, on which its sides yield others; None where they
    yield the same there too, or cannot be asked."""
    if not region.cut.exact or any(is_recorded(side.engine) for side in pair.sides):
        return None
    for way in WAYS:
        moved = _moved(pair, region, plan, feed, way)
        halves = halves_of(pair, region, moved)
        try:
            left = apart(region.cut, halves[0].values(), halves[1].values())
        except NotRunnable:
            continue
        if left is not None and left > OTHER:
            return moved
    return None


def _moved(pair: Pair, region: Region, plan: Plan, feed: Fed, way: float) -> Fed:
    """What both sides are fed with all numbers moved at random, the same on both."""
    seconds: dict[Value, Array] = dict(feed.second)
    firsts: dict[Value, Array] = dict(feed.first)
    for read in sorted({*region.first.reads, *region.second.reads}):
        cut = plan.cuts[read]
        if not all(value in seconds for value in cut.second):
            continue
        for value in cut.second:
            seconds[value] = _away(value_name(pair.second, value), seconds[value], way)
        shapes = {value: tuple(pair.first.shape(value)) for value in cut.first}
        firsts |= {
            value: array for value, array in fed(cut, seconds, shapes).items() if value in firsts
        }
    return Fed(_of(firsts, feed.first), _of(seconds, feed.second))


def _away(name: str, array: Array, way: float) -> Array:
    """The array with each number moved; whole numbers and truth values as they are."""
    if array.dtype.kind != "f" or not array.size:
        return array
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(array.shape)
    spread = float(array.std()) or float(np.abs(array).max()) or 1.0
    return (array + way * spread * drawn).astype(array.dtype)


def _of(values: Mapping[Value, Array], wanted: Mapping[Value, Array]) -> dict[Value, Array]:
    return {value: values[value] for value in wanted}
