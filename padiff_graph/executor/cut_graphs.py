"""Cutting both graphs into pairs of regions at the values that both models compute."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.cuts import make_cuts
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.executor.partition import Cut, Key, Plan, Region, Update
from padiff_graph.executor.region_slices import slice_regions
from padiff_graph.matching.result import Matching, Point

__all__ = ["cut_graphs"]

UNCUT = frozenset({"parameter", "buffer", "constant", "output"})
"""Kinds of nodes at which a point cuts nothing."""


def cut_graphs(
    matching: Matching, dropped: frozenset[Key] = frozenset(), updates: Iterable[Update] = ()
) -> Plan:
    """Cuts both graphs at the points of a matching.

    `dropped` names cuts that shall not be made. Cuts that do not cover their values, or that would
    make a region read its own result, are not made either.
    """
    graphs = matching.first.graph, matching.second.graph
    points = _usable(matching.points, *graphs)
    changes = tuple(updates)
    apart: set[Key] = set()
    gone = set(dropped)
    while True:
        cuts = make_cuts(points, *graphs, apart, gone)
        cuts += _sinks(matching, cuts)
        regions, broken = _with_buffers(cuts, graphs, changes)
        if not broken:
            return Plan(tuple(cuts), regions, tuple(cut for cut in cuts if cut.source))
        for cut in broken:
            joins = _joins_values(cut) and cut.key not in apart
            (apart if joins else gone).add(cut.key)


def _usable(
    points: Iterable[Point], first: ComputationGraph, second: ComputationGraph
) -> list[Point]:
    """Points between computed values or inputs. A buffer's new value is compared as a buffer."""
    updated = set(first.updates.values()), set(second.updates.values())
    usable: list[Point] = []
    for point in points:
        kinds = first.record(point.first.node).kind, second.record(point.second.node).kind
        alike = (kinds[0] == "input") == (kinds[1] == "input")
        buffer = point.first in updated[0] or point.second in updated[1]
        if alike and not buffer and UNCUT.isdisjoint(kinds):
            usable.append(point)
    return usable


def _joins_values(cut: Cut) -> bool:
    """Whether a cut holds several results of one operation, which may be cut one by one."""
    return len({value.node for value in cut.first}) < len(cut.first) or len(
        {value.node for value in cut.second}
    ) < len(cut.second)


def _with_buffers(
    cuts: list[Cut], graphs: tuple[ComputationGraph, ComputationGraph], updates: Sequence[Update]
) -> tuple[tuple[Region, ...], list[Cut]]:
    """Regions of the cuts and of buffers' new values that none of them computes by the way; the
    latter are added to `cuts`. Else the cuts that make regions impossible."""
    regions, broken = slice_regions(cuts, *graphs, updates)
    if broken:
        return (), broken
    placed = {update.second for region in regions for update in region.updates}
    alone = [update for update in updates if update.second not in placed]
    if not alone:
        return regions, []
    cuts += [_buffer(len(cuts) + number, update, *graphs) for number, update in enumerate(alone)]
    return slice_regions(cuts, *graphs, updates)


def _sinks(matching: Matching, cuts: Sequence[Cut]) -> list[Cut]:
    """The models' outputs in their final form, where no cut already compares them element by
    element."""
    first, second = matching.first.graph, matching.second.graph
    plain = {
        (point.first, point.second)
        for cut in cuts
        if cut.exact
        for point in cut.points
        if point.first_view.identity and point.second_view.identity
    }
    sinks: list[Cut] = []
    for name, _, ours, theirs in output_pairs(matching):
        mine, yours = first.type_of(ours), second.type_of(theirs)
        if mine is None or yours is None:
            continue
        alike = mine.shape == yours.shape
        if (ours, theirs) in plain and alike:
            continue
        point = Point(ours, View.of(mine.shape), theirs, View.of(yours.shape), 1.0)
        index, label = len(cuts) + len(sinks), f"output {name!r}"
        sinks.append(Cut(index, (point,), (ours,), (theirs,), exact=alike, sink=True, label=label))
    return sinks


def _buffer(index: int, update: Update, first: ComputationGraph, second: ComputationGraph) -> Cut:
    """A buffer's new value that no region computes by the way; one model may keep it in another
    shape."""
    kinds = first.type_of(update.first_value), second.type_of(update.second_value)
    shapes = [kind.shape if kind else () for kind in kinds]
    exact = math.prod(shapes[0]) == math.prod(shapes[1])
    theirs = View.of(shapes[1])
    point = Point(
        update.first_value,
        View.of(shapes[0]),
        update.second_value,
        theirs.reshape(shapes[0]) if exact else theirs,
        1.0,
    )
    return Cut(
        index,
        (point,),
        (update.first_value,),
        (update.second_value,),
        exact=exact,
        sink=True,
        label=f"buffer {update.second!r}",
    )
