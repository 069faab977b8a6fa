"""An operand that is broadcast along another axis: a reduced value whose axis was not kept."""

from __future__ import annotations

from collections.abc import Iterator

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.diagnosis.region_half import Half
from padiff_graph.diagnosis.trial_runs import VANISHED, apart, differing
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Region
from padiff_graph.executor.value_names import value_name
from padiff_graph.findings.cause import Cause

__all__ = ["broadcast_otherwise"]

MOST = 8
"""Most ways to broadcast that are tried on a side."""


def broadcast_otherwise(pair: Pair, region: Region, feed: Fed) -> Cause | None:
    """That both sides agree once a value that one side reads has an axis of size one behind it, or
    has none there: it was reduced without keeping the axis, and runs along another one."""
    found = differing(pair, region, feed)
    if found is None or found.before is None:
        return None
    for side, half in enumerate(found.halves):
        for tried, (value, array) in enumerate(_ways(half)):
            if tried >= MOST:
                break
            try:
                other = half.fed_otherwise({**half.feed, value: array})
            except NotRunnable:
                continue
            sides = (other, found.whole[1]) if side == 0 else (found.whole[0], other)
            left = apart(region.cut, *sides)
            if left is not None and left <= VANISHED * found.before:
                name = value_name(pair.sides[side], value)
                shapes = {"shape": half.feed[value].shape, "tried": array.shape}
                return Cause.of("operand.broadcast", side=side, tensor=name, **shapes)
    return None


def _ways(half: Half) -> Iterator[tuple[Value, Array]]:
    """Values of fewer axes than what is yielded, with an axis of size one elsewhere: only where
    another axis of that length is there to be mistaken for."""
    wide = [half.side.shape(value) for value in half.wanted]
    for value, array in half.feed.items():
        if not array.ndim:
            continue
        for shape in wide:
            if not 0 < array.ndim < len(shape):
                continue
            for at in range(1, array.ndim + 1):
                laid = (*array.shape[:at], 1, *array.shape[at:])
                if len(laid) == len(shape) and all(
                    own in (1, extent) for own, extent in zip(laid, shape, strict=True)
                ):
                    yield value, array.reshape(laid)
