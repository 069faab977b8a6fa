"""Random operations of both sides that draw different numbers of numbers: a dropout of whole
channels against one of single elements."""

from __future__ import annotations

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Node
from padiff_graph.executor.pair_run import Pair
from padiff_graph.executor.partition import Region
from padiff_graph.executor.region_run import Side
from padiff_graph.findings.cause import Cause
from padiff_graph.referee.region_result import OtherSetting

__all__ = ["other_draws"]


def other_draws(pair: Pair, region: Region) -> OtherSetting | None:
    """What the one random operation of either side draws, where one draws more; None elsewhere."""
    drawn = [
        _drawn(side, part.nodes)
        for side, part in zip(pair.sides, (region.first, region.second), strict=True)
    ]
    if len(drawn[0]) != 1 or len(drawn[1]) != 1:
        return None
    (first, ours), (second, theirs) = drawn[0][0], drawn[1][0]
    if ours.size == theirs.size:
        return None
    cause = Cause.of(
        "draws.shape",
        first_op=first.op,
        second_op=second.op,
        first_shape=ours.shape,
        second_shape=theirs.shape,
    )
    return OtherSetting(cause, (first.id, second.id))


def _drawn(side: Side, nodes: tuple[int, ...]) -> list[tuple[Node, Array]]:
    """The random operations among these with what they draw."""
    random = [node for node in map(side.graph.record, nodes) if "random" in node.marks]
    made = [(node, side.draw(node)) for node in random]
    return [(node, array) for node, array in made if array is not None and array.size]
