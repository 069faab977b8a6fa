"""Both sides of a differing region, to be computed again on trial, and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.diagnosis.region_half import Half
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Cut, Region
from padiff_graph.executor.transfer import paired
from padiff_graph.referee.largest import difference

__all__ = ["TRIALS", "VANISHED", "Differing", "apart", "differing", "halves_of"]

VANISHED = 1e-3
"""A difference was what a trial takes away where this share of it, at most, is left; chosen well
above what rounding leaves in float64."""
TRIALS = 48
"""Most trials of one kind; chosen so that a region takes no longer than its gradients do."""


def halves_of(pair: Pair, region: Region, feed: Fed) -> tuple[Half, Half]:
    """Both sides of a region."""
    return (
        Half(pair.first, region.first, feed.first, region.cut.first),
        Half(pair.second, region.second, feed.second, region.cut.second),
    )


@dataclass(frozen=True)
class Differing:
    """A region that differs, as it is, before anything in it is tried otherwise.

    Attributes:
        cut: the value in which it differs.
        halves: both sides.
        whole: what they yield.
        before: how far these are apart; None where they cannot be laid side by side.
    """

    cut: Cut
    halves: tuple[Half, Half]
    whole: tuple[dict[Value, Array], dict[Value, Array]]
    before: float | None


def differing(pair: Pair, region: Region, feed: Fed) -> Differing | None:
    """A region run as it is; None where its cut is not exact, it does not run, or nothing
    differs."""
    if not region.cut.exact:
        return None
    halves = halves_of(pair, region, feed)
    try:
        whole = halves[0].values(), halves[1].values()
    except NotRunnable:
        return None
    before = apart(region.cut, *whole)
    return None if before == 0.0 else Differing(region.cut, halves, whole, before)


def apart(cut: Cut, first: Mapping[Value, Array], second: Mapping[Value, Array]) -> float | None:
    """The largest difference against the scale; None where shapes forbid to tell."""
    firsts = [(point.first, point.first_view) for point in cut.points]
    seconds = [(point.second, point.second_view) for point in cut.points]
    if not (_readable(first, firsts) and _readable(second, seconds)):
        return None
    largest = 0.0
    for ours, theirs in paired(cut, first, second):
        error, scale = difference(ours, theirs)
        largest = max(largest, error / scale if scale else error)
    return largest if np.isfinite(largest) else None


def _readable(arrays: Mapping[Value, Array], views: list[tuple[Value, View]]) -> bool:
    """Whether the arrays have the sizes that the views read."""
    return all(arrays[value].size == view.source for value, view in views)
