"""A differing region computed again without one of its operations: where both sides then agree, that
operation is the whole difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.diagnosis.plain_names import plain_name
from padiff_graph.diagnosis.probes import probe
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Region, Slice
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.side_run import side_values
from padiff_graph.executor.transfer import paired
from padiff_graph.referee.region_result import Surplus
from padiff_graph.referee.rounding_bound import difference

__all__ = ["surplus"]

VANISHED = 1e-3
"""The difference was that operation's where this share of it, at most, is left without it."""
TRIALS = 48
"""Most operations left out in turn."""
IDLE = frozenset(
    {
        "reshape",
        "view",
        "unsqueeze",
        "squeeze",
        "flatten",
        "contiguous",
        "clone",
        "assign",
        "_unsafe_view",
        "alias",
    }
)
"""Operators that hand on their operand as it is."""
DEEDS = {"negated": "its operand inverted", "zero": "zeros"}
"""What an operation hands on, by kind of `Probe`, where the probe's own words speak of two sides."""


def surplus(pair: Pair, region: Region, feed: Fed) -> Surplus | None:
    """The operation that one side has too many, None where leaving out one does not make the sides agree."""
    if not region.cut.exact:
        return None
    sides, parts, feeds = (
        (pair.first, pair.second),
        (region.first, region.second),
        (feed.first, feed.second),
    )
    wanted = region.cut.first, region.cut.second
    try:
        whole = [
            _ran(side, part, fed, values, {})
            for side, part, fed, values in zip(sides, parts, feeds, wanted, strict=True)
        ]
    except NotRunnable:
        return None
    before = _apart(region, whole[0], whole[1])
    if before is None or before == 0.0:
        return None
    for side, node, operand in _candidates(sides, parts):
        try:
            without = _ran(sides[side], parts[side], feeds[side], wanted[side], {node: operand})
        except NotRunnable:
            continue
        left = _apart(region, without, whole[1]) if side == 0 else _apart(region, whole[0], without)
        if left is not None and left <= VANISHED * before:
            return Surplus(side, node, _deed(sides[side], parts[side], feeds[side], node, operand))
    return None


def _ran(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    wanted: tuple[Value, ...],
    instead: Mapping[int, Value],
) -> dict[Value, Array]:
    return side_values(side, part, feed, wanted, double=True, instead=instead)


def _apart(
    region: Region, ours: Mapping[Value, Array], theirs: Mapping[Value, Array]
) -> float | None:
    """The largest difference against the scale; None where shapes forbid to tell."""
    cut = region.cut
    for arrays, views in (
        (ours, [(point.first, point.first_view) for point in cut.points]),
        (theirs, [(point.second, point.second_view) for point in cut.points]),
    ):
        if any(arrays[value].size != view.source for value, view in views):
            return None
    found = 0.0
    for one, other in paired(cut, ours, theirs):
        error, scale = difference(one, other)
        found = max(found, error / scale if scale else error)
    return found if np.isfinite(found) else None


def _candidates(
    sides: tuple[Side, Side], parts: tuple[Slice, Slice]
) -> Iterator[tuple[int, int, Value]]:
    """(side, operation, the operand to hand on in its place): operations of a kind that the other side has
    fewer of first, the later ones before the earlier ones."""
    kinds = [
        Counter(plain_name(side.graph.record(node).op) for node in part.nodes)
        for side, part in zip(sides, parts, strict=True)
    ]
    found: list[tuple[tuple[bool, int], tuple[int, int, Value]]] = []
    for number, (side, part) in enumerate(zip(sides, parts, strict=True)):
        for node in part.nodes:
            record = side.graph.record(node)
            name = plain_name(record.op)
            result = Value(node)
            if name in IDLE or not (
                differentiable(side.dtype(result)) or side.dtype(result) == "bool"
            ):
                continue
            for operand in record.inputs:
                if (
                    operand is not None
                    and side.dtype(operand) == side.dtype(result)
                    and np.prod(side.shape(operand)) == np.prod(side.shape(result))
                ):
                    found.append(
                        (
                            (kinds[number][name] <= kinds[1 - number][name], -node),
                            (number, node, operand),
                        )
                    )
    found.sort(key=lambda pair: pair[0])
    return iter([candidate for _, candidate in found[:TRIALS]])


def _deed(side: Side, part: Slice, feed: Mapping[Value, Array], node: int, operand: Value) -> str:
    """What an operation hands on, as far as the numbers tell; "" where they do not."""
    given = {value: feed[value] for value in (operand,) if value in feed}
    try:
        ran = given | _ran(
            side,
            part,
            feed,
            tuple(value for value in (Value(node), operand) if value not in given),
            {},
        )
    except NotRunnable:
        return ""
    found = probe(ran[Value(node)], ran[operand].reshape(ran[Value(node)].shape))
    affine = found.words.removeprefix("the first side is the second's ")
    if affine != found.words:
        return f"its operand {affine}"
    return DEEDS.get(found.kind, found.words if found.words.startswith("the same values") else "")
