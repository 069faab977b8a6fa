"""Whether what a region's last operation reads differs already: then it is innocent, and the
difference stands further up.

A region reaches back to the last value that both sides compute. Where a fault keeps values from
matching, it runs on through the next module, whose first operation yields the region's result.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.diagnosis.region_half import Half
from padiff_graph.diagnosis.trial_runs import VANISHED, halves_of
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Region, Slice
from padiff_graph.matching.result import Matching
from padiff_graph.referee.largest import difference

__all__ = ["entered_apart"]


def entered_apart(
    matching: Matching, pair: Pair, region: Region, feed: Fed
) -> tuple[int, int] | None:
    """The native operations of both sides at which a region begins, where they stand in another
    module than its last ones and these read different values already; None elsewhere."""
    point = region.cut.points[-1] if region.cut.points else None
    if point is None or point.match < 0:
        return None
    match = matching.matches[point.match]
    first, second = matching.first, matching.second
    if first.nodes[match.first].op != second.nodes[match.second].op:
        return None
    began = _began(first, region.first), _began(second, region.second)
    if began[0] is None or began[1] is None:
        return None
    paths = first.graph.record(began[0]).path, second.graph.record(began[1]).path
    if paths == (first.nodes[match.first].path, second.nodes[match.second].path):
        return None
    own = _operand(first, match.first, region.first), _operand(second, match.second, region.second)
    if own[0] is None or own[1] is None:
        return None
    halves = halves_of(pair, region, feed)
    ours, theirs = _read(halves[0], own[0]), _read(halves[1], own[1])
    if ours is None or theirs is None or not _apart(ours, theirs):
        return None
    return began[0], began[1]


def _began(normal: NormalGraph, part: Slice) -> int | None:
    """The first operation that reads what the region is fed."""
    fed = set(part.values)
    return next(
        (node for node in part.nodes if not fed.isdisjoint(normal.graph.record(node).inputs)), None
    )


def _operand(normal: NormalGraph, node: int, part: Slice) -> Value | None:
    """The one native value that an operation reads of others in the region; None where it reads
    several, or what the region is fed."""
    flowing = _flowing(normal, part)
    own = set(normal.nodes[node].native)
    read = {
        value
        for native in own
        for value in normal.graph.record(native).inputs
        if value is not None and value.node not in own
    }
    inside = [value for value in read if value.node in flowing]
    fed = read.intersection(part.values)
    return inside[0] if len(inside) == 1 and not fed else None


def _flowing(normal: NormalGraph, part: Slice) -> Collection[int]:
    """The operations that what the region is fed flows through, those of weights alone left out."""
    fed, flowing = set(part.values), set[int]()
    for node in part.nodes:
        inputs = [value for value in normal.graph.record(node).inputs if value is not None]
        if any(value in fed or value.node in flowing for value in inputs):
            flowing.add(node)
    return flowing


def _read(half: Half, value: Value) -> Array | None:
    try:
        return half.values((value,))[value]
    except NotRunnable:
        return None


def _apart(ours: Array, theirs: Array) -> bool:
    """Whether two arrays of one shape, axes of one element aside, hold other numbers."""
    ours, theirs = np.squeeze(ours), np.squeeze(theirs)
    if ours.shape != theirs.shape:
        return False
    error, scale = difference(ours, theirs)
    return bool(error > VANISHED * scale)
