"""Both sides of one region run on the same values, and what they yield laid side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.executor.gradient_pairs import input_gradients, parameter_gradients
from padiff_graph.executor.gradient_paths import reached_values
from padiff_graph.executor.partition import Cut, Plan, Region, Slice
from padiff_graph.executor.questions import Answer, Request
from padiff_graph.executor.region_run import Seconds, Side
from padiff_graph.executor.side_run import run_side
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.executor.transfer import cotangents as laid_out
from padiff_graph.executor.transfer import paired
from padiff_graph.executor.value_names import value_name
from padiff_graph.matching.result import ParameterRow

__all__ = [
    "Fed",
    "Mismatch",
    "Pair",
    "PairRun",
    "Ready",
    "first_cotangents",
    "run_pair",
    "unasked",
]

Ready = Callable[[Mapping[Value, Array]], None]
"""Called with the second side's values of a region's cut as soon as they are known."""


def unasked(values: Mapping[Value, Array]) -> None:
    """Nobody waits for them."""


@dataclass(frozen=True)
class Pair:
    """Both sides, ready to run regions.

    Attributes:
        rows: the parameter map by name in the first model.
        forward, backward: what is compared.
        loose: weights of the second whose numbers say nothing of a region that differs.
    """

    first: Side
    second: Side
    rows: Mapping[str, ParameterRow]
    forward: bool = True
    backward: bool = True
    loose: frozenset[str] = frozenset()

    @property
    def sides(self) -> tuple[Side, Side]:
        """The first and the second."""
        return self.first, self.second

    @cached_property
    def reached(self) -> tuple[frozenset[Value], frozenset[Value]]:
        """The values of each side that a gradient of an output can reach."""
        return reached_values(self.first.graph), reached_values(self.second.graph)

    def reads_loose(self, part: Slice) -> str:
        """The first of those weights that a part of the second reads; "" where it reads none."""
        records = map(self.second.graph.record, part.leaves)
        return next((record.name for record in records if record.name in self.loose), "")

    def unreached(self, cut: Cut) -> bool:
        """Whether no gradient arrives at a cut on either side, wherever the models cut its way."""
        return self.reached[0].isdisjoint(cut.first) and self.reached[1].isdisjoint(cut.second)


@dataclass(frozen=True)
class Fed:
    """The values of the cuts that a region reads, for each side."""

    first: Mapping[Value, Array]
    second: Mapping[Value, Array]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Shapes that forbid to compare.

    Attributes:
        shape: what one side yields, the first's where both are meant.
        expected: what the other side yields, or what the capture saw.
        captured: whether `expected` is what the capture saw.
    """

    shape: tuple[int, ...]
    expected: tuple[int, ...]
    captured: bool = False


@dataclass(frozen=True)
class PairRun:
    """One run of a region on both sides.

    Attributes:
        values: the second side's values of the region's cut; {} where it cannot run.
        tensors: every tensor that both sides should have alike.
        mismatch: shapes that forbid to compare; then there are no tensors.
        unrunnable: why a side cannot run at all, "" where both can.
        ungraded: why there are no gradients though they were asked for, "" elsewhere.
    """

    values: Mapping[Value, Array]
    tensors: tuple[TensorPair, ...] = ()
    mismatch: Mismatch | None = None
    unrunnable: str = ""
    ungraded: str = ""


def run_pair(
    pair: Pair,
    region: Region,
    plan: Plan,
    feed: Fed,
    seconds: Seconds,
    *,
    double: bool = False,
    ready: Ready = unasked,
) -> PairRun:
    """Runs the second side, then the first, each forward and backward, and lays them side by
    side; `ready` is called in between with the second's values of the region's cut."""
    values: dict[Value, Array] = {}
    try:
        second = _second(pair, region, feed, double)
        _spent(seconds, "second", second)
        values = {value: second.outputs[value] for value in region.cut.second}
        ready(values)
        first = _first(pair, region, feed, double, second)
        _spent(seconds, "first", first)
    except NotRunnable as error:
        return PairRun(values, unrunnable=str(error))
    mismatch = _mismatch(pair, region.cut, first.outputs, second.outputs)
    if mismatch is not None:
        return PairRun(values, mismatch=mismatch)
    tensors = _forward(pair, region, first, second) if pair.forward else []
    ungraded = second.ungraded or first.ungraded
    if second.cotangents and not ungraded:
        reads = sorted({*region.first.reads, *region.second.reads})
        cuts = [plan.cuts[read] for read in reads if not pair.unreached(plan.cuts[read])]
        tensors += input_gradients(pair.sides, cuts, first.boundary, second.boundary)
        tensors += parameter_gradients(
            pair.sides, pair.rows, first.parameters, second.parameters, second.outputs.values()
        )
    return PairRun(values, tuple(tensors), ungraded=ungraded)


def _second(pair: Pair, region: Region, feed: Fed, double: bool) -> Answer:
    cut = region.cut
    graded = (
        pair.backward
        and not pair.unreached(cut)
        and any(differentiable(pair.second.dtype(value)) for value in cut.second)
    )
    updates = (update.second_value for update in region.updates)
    request = Request(
        region.second,
        feed.second,
        (*cut.second, *updates),
        recorded=pair.backward,
        seeded=cut.second if graded else (),
        double=double,
    )
    return run_side(pair.second, request)


def _first(pair: Pair, region: Region, feed: Fed, double: bool, second: Answer) -> Answer:
    """The first side, under the second's cotangents where that one could be differentiated."""
    cut = region.cut
    cotangents = None
    if second.cotangents and not second.ungraded:
        cotangents = first_cotangents(pair, cut, second.cotangents)
    updates = (update.first_value for update in region.updates)
    request = Request(
        region.first,
        feed.first,
        (*cut.first, *updates),
        recorded=pair.backward,
        cotangents=cotangents,
        double=double,
    )
    return run_side(pair.first, request)


def first_cotangents(pair: Pair, cut: Cut, second: Mapping[Value, Array]) -> dict[Value, Array]:
    """The second's cotangents of a cut, laid out for the first."""
    if not cut.exact:
        return {cut.first[0]: second[cut.second[0]]}
    return laid_out(cut, second, {value: tuple(pair.first.shape(value)) for value in cut.first})


def _spent(seconds: Seconds, name: Literal["first", "second"], answer: Answer) -> None:
    seconds[name] += answer.forward
    if answer.backward:
        seconds[f"{name} backward"] += answer.backward


def _forward(pair: Pair, region: Region, first: Answer, second: Answer) -> list[TensorPair]:
    """Outputs, and what buffers become."""
    cut = region.cut
    names = value_name(pair.first, cut.first[0]), value_name(pair.second, cut.second[0])
    if cut.exact:
        sides = paired(cut, first.outputs, second.outputs)
    else:
        sides = [(first.outputs[cut.first[0]], second.outputs[cut.second[0]])]
    tensors = [TensorPair("output", *names, ours, theirs) for ours, theirs in sides]
    for update in region.updates:
        ours, theirs = first.outputs[update.first_value], second.outputs[update.second_value]
        tensors.append(
            TensorPair("buffer", update.first, update.second, ours, theirs.reshape(ours.shape))
        )
    return tensors


def _mismatch(
    pair: Pair, cut: Cut, first: Mapping[Value, Array], second: Mapping[Value, Array]
) -> Mismatch | None:
    """A difference in shape, which ends the comparison of a region."""
    ours, theirs = first[cut.first[0]].shape, second[cut.second[0]].shape
    if cut.exact:
        unforeseen = _unforeseen(pair.first, cut.first, first)
        unforeseen = unforeseen or _unforeseen(pair.second, cut.second, second)
        captured = pair.first.shape(cut.first[0]), pair.second.shape(cut.second[0])
        if unforeseen or not cut.sink or (ours, theirs) == captured:
            return unforeseen
    return None if ours == theirs else Mismatch(ours, theirs)


def _unforeseen(
    side: Side, values: tuple[Value, ...], arrays: Mapping[Value, Array]
) -> Mismatch | None:
    """A value of another size than the capture saw."""
    for value in values:
        captured = tuple(side.shape(value))
        if arrays[value].size != int(np.prod(captured)):
            return Mismatch(arrays[value].shape, captured, captured=True)
    return None
