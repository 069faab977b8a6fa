"""In which order the values of a region arrive from further up, and whether it differs by that
alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Cut, Plan, Region
from padiff_graph.executor.side_run import side_values
from padiff_graph.executor.transfer import paired
from padiff_graph.referee.referee import measure

__all__ = ["arranged_alike", "astray", "moved"]

AGREES = 1e-4
"""Relative difference below which a region fed otherwise agrees."""
ORDERS = 12
"""Most other orders that are tried."""
RANK = 5
"""Most axes whose orders are tried."""


def moved(cut: Cut) -> bool:
    """Whether the two sides hold the elements of a cut in another order or shape."""
    return cut.exact and any(
        not point.first_view.identity or not point.second_view.identity for point in cut.points
    )


def arranged_alike(pair: Pair, region: Region, plan: Plan) -> bool:
    """Whether all that a region reads and yields lies in one order of axes, or in several by the
    same exchange on each side: only then do both sides compute from equal operands."""
    reads = {*region.first.reads, *region.second.reads}
    cuts = [region.cut, *(plan.cuts[read] for read in sorted(reads))]
    if not any(moved(cut) for cut in cuts):
        return True
    orders = {_axis_order(pair, cut) for cut in cuts}
    return len(orders) == 1 and None not in orders


def _axis_order(pair: Pair, cut: Cut) -> tuple[int, ...] | None:
    """For every axis of the second side's value the first side's axis that it is; None where the
    values differ by more than an exchange of axes."""
    if not cut.exact or len(cut.points) != 1:
        return None
    point = cut.points[0]
    first, second = tuple(pair.first.shape(point.first)), tuple(pair.second.shape(point.second))
    back = point.second_view.inverse(second)
    if back is None or len(first) != len(second) or len(first) > RANK:
        return None
    relation = point.first_view.then(back)
    for axes in itertools.permutations(range(len(first))):
        turned = View.of(first).transpose(axes)
        if turned.shape == second and turned.same(relation.reshape(second)):
            return axes
    return None


def astray(pair: Pair, region: Region, plan: Plan, feed: Fed) -> bool:
    """Whether the sides agree once a value that lies in another order is fed as it stands, or with
    axes of equal length in another order: then what is wrong is how the values came to lie so,
    further up.
    """
    reads = [plan.cuts[read] for read in region.first.reads if moved(plan.cuts[read])]
    if not reads or any(len(cut.points) != 1 for cut in reads):
        return False
    try:
        theirs = side_values(pair.second, region.second, feed.second, region.cut.second)
        for fed in itertools.islice(_otherwise(pair, reads, feed), ORDERS):
            ours = side_values(pair.first, region.first, fed, region.cut.first)
            if _agree(region.cut, ours, theirs):
                return True
    except NotRunnable:
        return False
    return False


def _otherwise(pair: Pair, reads: list[Cut], feed: Fed) -> Iterator[Mapping[Value, Array]]:
    """Other ways to feed the first side: all values as they stand, then one value in another
    order."""
    plain = {
        cut.first[0]: feed.second[cut.second[0]] for cut in reads if cut.second[0] in feed.second
    }
    if len(plain) == len(reads) and all(
        array.shape == tuple(pair.first.shape(value)) for value, array in plain.items()
    ):
        yield {**feed.first, **plain}
    for cut in reads:
        value = cut.first[0]
        array = feed.first.get(value)
        if array is None or array.ndim > RANK:
            continue
        for axes in itertools.permutations(range(array.ndim)):
            other = array.transpose(axes)
            if other.shape == array.shape and any(
                axis != at and array.shape[at] > 1 for at, axis in enumerate(axes)
            ):
                yield {**feed.first, value: other.copy()}


def _agree(cut: Cut, ours: Mapping[Value, Array], theirs: Mapping[Value, Array]) -> bool:
    """Whether results are equal as they stand, or through the points."""
    plain = [
        (ours[value], theirs[other]) for value, other in zip(cut.first, cut.second, strict=False)
    ]
    sides = [plain] if all(one.shape == other.shape for one, other in plain) else []
    if cut.exact:
        sides.append(paired(cut, ours, theirs))
    return any(
        all((found := measure(one, other)).error <= AGREES * found.scale for one, other in side)
        for side in sides
    )
