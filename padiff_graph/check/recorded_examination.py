"""One region of two recordings examined: what each computed by itself, from the same inputs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.diagnosis.probes import probe
from padiff_graph.executor.pair_run import Pair
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.recorded_pair import InBoth, RecordedPair, recorded_pair
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.referee.apart_in_double import READS, cancelled, judge_apart
from padiff_graph.referee.closeness import closeness
from padiff_graph.referee.largest import whole_numbers
from padiff_graph.referee.referee import Measured, judge, measure
from padiff_graph.referee.region_result import Part, RegionResult, RegionVerdict, worst
from padiff_graph.referee.region_units import RegionUnits

__all__ = ["examine_recorded"]

Judged = Callable[[Measured], str]
"""Says of a tensor in float64 whether it is "equal", "open" or "different"."""
ALREADY = "what it reads is not the same in both recordings, {:.1e} of its largest value apart"
DOUBTFUL = "both recordings are {:.1e} of the largest value apart here, which may be rounding"
BACKWARD = (
    "both recordings yield the same here; what they send back is {:.1e} of its largest value "
    "apart, and a recording cannot tell whether a framework does so by itself"
)
ARRIVING = (
    "both recordings yield the same here; the gradients that arrive are {:.1e} of their largest "
    "value apart"
)
UNGRADED = "both recordings yield the same here; of its gradients they tell nothing: {}"


def examine_recorded(
    pair: Pair, region: Region, plan: Plan, blank: RegionResult, *, attribute: bool
) -> RegionResult:
    """The result of a region.

    Args:
        pair, region, plan: what is examined.
        blank: the result before anything is known.
        attribute: whether structure names a differing attribute in it.

    It is equal only where values and gradients agree in float64. A difference is told of values
    alone: gradients may differ by what the frameworks choose at a kink, which takes runs to tell.
    """
    try:
        laid = recorded_pair(pair, region, plan)
    except NotRunnable as error:
        return replace(blank, verdict="not-comparable", reason=str(error))
    read = max((_relative(_fine(both)) for both in laid.read), default=0.0)
    if read > READS:
        return _open(blank, ALREADY, read)
    parts = _forward(pair, region, laid, partial(judge_apart, read, attribute=attribute))
    result = replace(blank, parts=tuple(parts), referee=True)
    if any(part.verdict == "different" for part in parts):
        return replace(result, verdict="different")
    doubtful = [part for part in parts if part.verdict == "not-comparable"]
    if doubtful:
        return _open(
            result, DOUBTFUL, max((part.double or 0.0) / (part.scale or 1.0) for part in doubtful)
        )
    return _backward(replace(result, verdict=worst([part.verdict for part in parts])), laid, read)


def _backward(result: RegionResult, laid: RecordedPair, read: float) -> RegionResult:
    if laid.ungraded:
        return replace(result, verdict="not-comparable", reason=UNGRADED.format(laid.ungraded))
    arrived = [measure(*tensor.arrays()) for tensor in laid.arriving]
    arriving = max(map(_relative, arrived), default=0.0)
    if arriving > READS:
        return _open(result, ARRIVING, arriving)
    before = max(read, arriving)
    largest = max((single.scale for single in arrived), default=0.0)
    terms = sum(tensor.arrays()[1].size for tensor in laid.arriving)
    sent = [measure(*tensor.arrays()) for tensor in laid.sent]
    lost = [
        single
        for tensor, single in zip(laid.sent, sent, strict=True)
        if judge_apart(before, single) != "equal"
        and single.error > cancelled(before, largest, terms / max(tensor.arrays()[1].size, 1))
    ]
    if lost:
        return _open(result, BACKWARD, max(map(_relative, lost)))
    parts = [
        Part(
            tensor.kind,
            tensor.first_name,
            tensor.second_name,
            single.error,
            single.scale,
            READS,
            "equal",
            single.error,
        )
        for tensor, single in zip(laid.sent, sent, strict=True)
    ]
    return replace(result, parts=(*result.parts, *parts))


def _forward(pair: Pair, region: Region, laid: RecordedPair, judged: Judged) -> list[Part]:
    units = RegionUnits.of(
        (pair.first.graph, pair.second.graph), (region.first.nodes, region.second.nodes)
    )
    return [_part(plain, fine, units, judged) for plain, fine in laid.yielded]


def _part(plain: TensorPair, fine: TensorPair, units: RegionUnits, judged: Judged) -> Part:
    single, double = measure(*plain.arrays()), _fine((plain, fine))
    bound = 0.0 if whole_numbers(*plain.arrays()) else units.bound(plain.kind, plain.positions)
    verdict: RegionVerdict = "equal"
    told = judged(double)
    if told == "different" and plain.kind == "output":
        verdict = judge(single, bound, double)  # a real difference shows in float32 as well
    elif told != "equal":
        verdict = "not-comparable"
    differs = verdict == "different"
    return Part(
        plain.kind,
        plain.first_name,
        plain.second_name,
        single.error,
        single.scale,
        bound,
        verdict,
        double.error,
        probe(*fine.arrays(), {}) if differs else None,
        closeness=closeness(*plain.arrays()) if plain.kind == "output" else None,
    )


def _fine(both: InBoth) -> Measured:
    """A tensor in float64; of terms that cancel, on the scale of what float32 leaves of them."""
    plain, fine = (tensor.arrays() for tensor in both)
    double, noise = measure(*fine), measure(plain[1], fine[1]).error
    return Measured(double.error, max(double.scale, noise))


def _relative(measured: Measured) -> float:
    return measured.error / measured.scale if measured.scale else measured.error


def _open(result: RegionResult, reason: str, apart: float) -> RegionResult:
    return replace(result, verdict="not-comparable", reason=reason.format(apart))
