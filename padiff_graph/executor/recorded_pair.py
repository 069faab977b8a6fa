"""Both sides of a region as each was recorded by itself, laid side by side.

Two recordings of different frameworks hold values that differ by rounding, so that neither answers
for what the other was fed. Both hold the model in float64 from the same inputs on, with the same
random numbers in the place of constants, and one backward sweep from the outputs under the same
cotangents. There rounding vanishes: what both read can be held against each other, and so can what
they make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.executor.gradient_pairs import input_gradients, parameter_gradients
from padiff_graph.executor.pair_run import Pair
from padiff_graph.executor.partition import Cut, Plan, Region, Slice
from padiff_graph.executor.recorded_side import NO_DOUBLE, check_weights
from padiff_graph.executor.recorded_sweep import swept
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.executor.transfer import paired
from padiff_graph.executor.value_names import value_name
from padiff_graph.sides.recorded_engine import RecordedEngine, is_recorded

__all__ = ["InBoth", "RecordedPair", "both_recorded", "recorded_pair"]

APART = "draws random numbers, of which each recording holds its own"
"""Why a region with random operations says nothing."""


InBoth = tuple[TensorPair, TensorPair]
"""A tensor of both sides in float32 and in float64."""


@dataclass(frozen=True)
class RecordedPair:
    """A region in both recordings.

    Attributes:
        read: values that it reads, in float32 and float64.
        yielded: what it makes of them, likewise.
        arriving: gradients that arrive at what it yields, in float64.
        sent: gradients that it sends back of them.
        ungraded: why there are no gradients though there should be, "" elsewhere.
    """

    read: tuple[InBoth, ...]
    yielded: tuple[InBoth, ...]
    arriving: tuple[TensorPair, ...] = ()
    sent: tuple[TensorPair, ...] = ()
    ungraded: str = ""


def both_recorded(pair: Pair) -> bool:
    """Whether neither side can be run."""
    return all(is_recorded(side.engine) for side in pair.sides)


def recorded_pair(pair: Pair, region: Region, plan: Plan) -> RecordedPair:
    """Lays a region side by side.

    Raises:
        NotRunnable: the recordings hold too little of it, or it holds other weights or draws.
    """
    parts = region.first, region.second
    for side, part in zip(pair.sides, parts, strict=True):
        check_weights(cast(RecordedEngine, side.engine), side, part)
        if any(not _steady(side, node) for node in part.nodes):
            raise NotRunnable(f"it {APART}")
    cuts = [plan.cuts[read] for read in sorted({*parts[0].reads, *parts[1].reads})]
    read = [both for cut in cuts for both in _in_both(partial(_values, pair, cut))]
    yielded = _in_both(partial(_yielded, pair, region))
    whole = RecordedPair(tuple(read), tuple(yielded))
    if not pair.backward or pair.unreached(region.cut) or not _graded(pair, region):
        return whole
    try:
        arriving, sent = _backward(pair, region, cuts)
    except NotRunnable as error:
        return RecordedPair(whole.read, whole.yielded, ungraded=str(error))
    return RecordedPair(whole.read, whole.yielded, arriving, sent)


def _in_both(tensors: Callable[..., list[TensorPair]]) -> list[InBoth]:
    return list(zip(tensors(double=False), tensors(double=True), strict=True))


def _steady(side: Side, node: int) -> bool:
    return side.graph.record(node).marks.isdisjoint({"random", "custom_function"})


def _graded(pair: Pair, region: Region) -> bool:
    return bool(region.second.nodes) and any(
        differentiable(pair.second.dtype(value)) for value in region.cut.second
    )


def _values(pair: Pair, cut: Cut, *, double: bool) -> list[TensorPair]:
    """The values of a cut as both recorded them.

    Raises:
        NotRunnable: they are not there, or of other shapes.
    """
    both = [
        {value: _value(side, value, double) for value in values}
        for side, values in zip(pair.sides, (cut.first, cut.second), strict=True)
    ]
    names = value_name(pair.first, cut.first[0]), value_name(pair.second, cut.second[0])
    if cut.exact:
        laid = paired(cut, *both)
    else:
        laid = [(both[0][cut.first[0]], both[1][cut.second[0]])]
    if any(ours.shape != theirs.shape for ours, theirs in laid):
        raise NotRunnable("both sides have other shapes here")
    return [TensorPair("output", *names, ours, theirs) for ours, theirs in laid]


def _value(side: Side, value: Value, double: bool) -> Array:
    held = cast(RecordedEngine, side.engine).value(value, double=double)
    if held is None:
        raise NotRunnable(NO_DOUBLE)
    return held


def _yielded(pair: Pair, region: Region, *, double: bool) -> list[TensorPair]:
    """What the region yields, buffers included."""
    tensors = _values(pair, region.cut, double=double)
    for update in region.updates:
        ours = _value(pair.first, update.first_value, double)
        theirs = _value(pair.second, update.second_value, double)
        theirs = theirs.reshape(ours.shape)
        tensors.append(TensorPair("buffer", update.first, update.second, ours, theirs))
    return tensors


def _backward(
    pair: Pair, region: Region, cuts: Sequence[Cut]
) -> tuple[tuple[TensorPair, ...], tuple[TensorPair, ...]]:
    """Gradients that arrive in the sweep, and those that are sent back.

    Raises:
        NotRunnable: a recording does not hold them.
    """
    first = _swept(pair.first, region.first, region.cut.first)
    second = _swept(pair.second, region.second, region.cut.second)
    arriving = input_gradients(pair.sides, [region.cut], first[0], second[0])
    reached = [cut for cut in cuts if not pair.unreached(cut)]
    sent = input_gradients(pair.sides, reached, first[1], second[1])
    outputs = [_value(pair.second, value, True) for value in region.cut.second]
    sent += parameter_gradients(pair.sides, pair.rows, first[2], second[2], outputs)
    return tuple(arriving), tuple(sent)


def _swept(
    side: Side, part: Slice, wanted: Sequence[Value]
) -> tuple[Mapping[Value, Array], Mapping[Value, Array | None], Mapping[str, Array]]:
    return swept(side, cast(RecordedEngine, side.engine), part, wanted, "float64")
