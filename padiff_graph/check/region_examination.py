"""One region examined: run on both sides and judged tensor by tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.check.recorded_examination import examine_recorded
from padiff_graph.check.region_explanation import Case, explained
from padiff_graph.check.summed_terms import summed_terms
from padiff_graph.diagnosis.framework_differences import explain_by_frameworks
from padiff_graph.diagnosis.probes import probe, probe_gradient
from padiff_graph.diagnosis.upstream_order import moved
from padiff_graph.executor.pair_run import (
    Fed,
    Mismatch,
    Pair,
    PairRun,
    Ready,
    run_pair,
    unasked,
)
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.recorded_pair import both_recorded
from padiff_graph.executor.recorded_side import fed_in_double
from padiff_graph.executor.region_run import Seconds
from padiff_graph.executor.shared_draws import unsteady
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.executor.transfer import fed
from padiff_graph.executor.value_names import cut_labels, value_name
from padiff_graph.findings.cause import Cause
from padiff_graph.matching.result import Matching
from padiff_graph.referee.closeness import closeness
from padiff_graph.referee.largest import whole_numbers
from padiff_graph.referee.referee import Measured, measure
from padiff_graph.referee.region_result import AGREE, EMPTY, Part, RegionResult, worst
from padiff_graph.referee.region_units import RegionUnits
from padiff_graph.referee.structural_evidence import Structure
from padiff_graph.referee.tensor_judgement import Judgement, Rules, judge_tensor
from padiff_graph.referee.tolerance import Tolerance, quantity

__all__ = ["Examination", "beside", "examine"]

GRADIENTS = frozenset({"input", "parameter"})
"""Kinds of tensors that a backward yields."""


LOOSE = (
    "the recording was made with random numbers in the place of the constant {}, which has no "
    "counterpart in the first model"
)
OTHER_SIZE = "in float64 this region yields other tensors"
"""Why there is no second opinion where nothing stops it."""


@dataclass(frozen=True)
class Examination:
    """What regions are examined by.

    Attributes:
        pair: both sides, ready to run.
        structure: what structure says of each operation.
        tolerance: what every tensor is held against besides; None for nothing.
        seconds: time spent so far, by step.
        matching: what the regions were cut by.
        explains: whether parts of a region that differs are tried otherwise, to say why.
    """

    pair: Pair
    structure: Structure
    tolerance: Tolerance | None
    seconds: Seconds
    matching: Matching
    explains: bool = True


@dataclass(frozen=True)
class _SecondOpinion:
    """Every tensor in float64, None where it was not asked or not to be had.

    Attributes:
        asked: whether float64 was asked.
        reason: why it could not be asked, "" elsewhere.
    """

    tensors: tuple[TensorPair | None, ...]
    asked: bool = False
    reason: str = ""


def examine(
    examination: Examination, region: Region, plan: Plan, feed: Fed, ready: Ready = unasked
) -> tuple[RegionResult, Mapping[Value, Array]]:
    """Checks one region; also returns the second side's values of its cut, {} where it cannot run;
    `ready` is called with them before the first side is run."""
    pair = examination.pair
    case = Case(pair, region, plan, feed, _blank(pair, region, plan))
    run = run_pair(pair, region, plan, feed, examination.seconds, ready=ready)
    if run.unrunnable and both_recorded(pair):
        attribute = examination.structure.attributed(region.first.nodes, region.second.nodes)
        result = examine_recorded(pair, region, plan, case.blank, attribute=attribute)
    elif run.unrunnable:
        result = replace(case.blank, verdict="not-comparable", reason=run.unrunnable)
    elif run.mismatch is not None:
        result = _misshapen(case, run.mismatch)
    else:
        result = _compared(examination, case, run)
    return _without_loose(case, result), run.values


def _without_loose(case: Case, result: RegionResult) -> RegionResult:
    """The result; nothing where a difference may be that of numbers that only a recording has."""
    loose = "" if result.verdict in AGREE else case.pair.reads_loose(case.region.second)
    if not loose:
        return result
    return replace(case.blank, verdict="not-comparable", reason=LOOSE.format(loose))


def _blank(pair: Pair, region: Region, plan: Plan) -> RegionResult:
    """The region's result before anything is known but what it is about."""
    first, second = set(region.first.reads), set(region.second.reads)
    return RegionResult(
        region.order,
        "equal",
        (),
        region.first.nodes,
        region.second.nodes,
        reads_only_first=cut_labels(pair.second, plan, first - second),
        reads_only_second=cut_labels(pair.second, plan, second - first),
        label=region.cut.label,
        reads=tuple(plan.cuts[read].second[-1].node for read in sorted(first | second)),
        moved=moved(region.cut),
    )


def _misshapen(case: Case, mismatch: Mismatch) -> RegionResult:
    cut = case.region.cut
    cause = Cause.of("values.shape", first_shape=mismatch.shape, second_shape=mismatch.expected)
    if mismatch.captured:
        cause = Cause.of("values.shape", shape=mismatch.shape, captured=mismatch.expected)
    part = Part(
        "output",
        value_name(case.pair.first, cut.first[0]),
        value_name(case.pair.second, cut.second[0]),
        float("inf"),
        1.0,
        0.0,
        "different",
        probe=cause,
    )
    return replace(case.blank, verdict="different", parts=(part,))


def _compared(examination: Examination, case: Case, run: PairRun) -> RegionResult:
    """Measured, judged, explained."""
    region, structure = case.region, examination.structure
    nodes = region.first.nodes, region.second.nodes
    units = RegionUnits.of((case.pair.first.graph, case.pair.second.graph), nodes)
    started = perf_counter()
    singles = [measure(*tensor.arrays()) for tensor in run.tensors]
    examination.seconds["compare"] += perf_counter() - started
    bounds = [_bound(tensor, units) for tensor in run.tensors]
    beyond = {
        tensor.kind
        for tensor, single, bound in zip(run.tensors, singles, bounds, strict=True)
        if single.error > bound * single.scale
    }
    opinion = _second_opinion(examination, case, run, structure.doubtful(*nodes), beyond)
    attributed = structure.attributed(*nodes)
    rules = [
        Rules(bound, tensor.gradient, attributed, units.dtypes is not None)
        for tensor, bound in zip(run.tensors, bounds, strict=True)
    ]
    parts = _judged(case, run.tensors, singles, opinion.tensors, rules, units, examination.explains)
    parts = explain_by_frameworks(
        case.pair, region, case.plan, case.feed, run.tensors, opinion.tensors, parts, structure
    )
    result = replace(
        case.blank,
        verdict=worst([part.verdict for part in parts]),
        parts=tuple(parts),
        reason=opinion.reason,
        referee=opinion.asked,
    )
    if examination.explains:
        result = explained(examination.matching, case, result)
    if structure.doubtful(*nodes) and not any(tensor.arrays()[1].size for tensor in run.tensors):
        result = replace(result, verdict="not-comparable", reason=EMPTY)
    if examination.tolerance is not None:
        held = _held(run.tensors, parts, singles, examination.tolerance)
        result = replace(result, parts=held)
    return _settled(case, run, result)


def _bound(tensor: TensorPair, units: RegionUnits) -> float:
    """The relative difference that rounding explains in a tensor; whole numbers do not round."""
    if whole_numbers(*tensor.arrays()):
        return 0.0
    return units.bound(tensor.kind, tensor.positions)


def _second_opinion(
    examination: Examination, case: Case, run: PairRun, doubtful: bool, beyond: Collection[str]
) -> _SecondOpinion:
    """The region in float64, where structure doubts it or a tensor differs by more than rounding
    explains."""
    nothing: tuple[TensorPair | None, ...] = (None,) * len(run.tensors)
    if not (doubtful or beyond):
        return _SecondOpinion(nothing)
    started = perf_counter()
    # the backward is asked again only where a gradient is in question
    gradients = doubtful or not GRADIENTS.isdisjoint(beyond)
    pair = case.pair if gradients else replace(case.pair, backward=False)
    spent: Seconds = defaultdict(float)
    feed = _fed_in_double(case)
    again = run_pair(pair, case.region, case.plan, feed, spent, double=True)
    examination.seconds["referee"] += perf_counter() - started
    if again.unrunnable:
        reason = f"float64 could not be asked: {again.unrunnable}"
        return _SecondOpinion(nothing, asked=True, reason=reason)
    reason = ""
    if len(again.tensors) < len(run.tensors) and pair.backward:
        reason = f"float64 could not be asked: {again.ungraded or OTHER_SIZE}"
    return _SecondOpinion(beside(run.tensors, again.tensors), asked=True, reason=reason)


def beside(
    tensors: Sequence[TensorPair], others: Sequence[TensorPair]
) -> tuple[TensorPair | None, ...]:
    """What another run of a region has of each tensor of one; it may lack gradients, or have more,
    as a recording holds them in one precision alone."""
    if len(tensors) == len(others):
        return tuple(others)
    named: dict[tuple[str, str, str], list[TensorPair]] = defaultdict(list)
    for own in reversed(others):  # results of one operation have one name: they go in order
        named[own.kind, own.first_name, own.second_name].append(own)
    waiting = [named[own.kind, own.first_name, own.second_name] for own in tensors]
    return tuple(own.pop() if own else None for own in waiting)


def _fed_in_double(case: Case) -> Fed:
    """What both sides are fed in float64: the same as in float32, but where a recording of the
    second holds the region in float64 from the inputs on alone."""
    pair, region, plan = case.pair, case.region, case.plan
    reads = sorted({*region.first.reads, *region.second.reads})
    cuts = [plan.cuts[read] for read in reads]
    second = fed_in_double(pair.second, cuts, region.second, case.feed.second)
    if second is case.feed.second or not all(
        value in second for cut in cuts for value in cut.second
    ):
        return case.feed
    first: dict[Value, Array] = {}
    for read in region.first.reads:
        cut = plan.cuts[read]
        first |= fed(cut, second, {value: tuple(pair.first.shape(value)) for value in cut.first})
    return Fed(
        {value: first[value] for value in region.first.values},
        {value: second[value] for value in region.second.values},
    )


def _judged(
    case: Case,
    plains: Sequence[TensorPair],
    singles: Sequence[Measured],
    fines: Sequence[TensorPair | None],
    rules: Sequence[Rules],
    units: RegionUnits,
    explains: bool,
) -> list[Part]:
    """Every tensor's verdict, and what the numbers say of those that differ where that is asked."""
    extra = _one_sided(case) if explains else {}
    parts: list[Part] = []
    for plain, single, fine, own in zip(plains, singles, fines, rules, strict=True):
        doubles = None if fine is None else fine.arrays()
        judged = judge_tensor(single, plain.arrays(), doubles, own)
        size = summed_terms(plain, case.pair, case.region, case.feed) if judged.coarse else 0.0
        if size:
            judged = judge_tensor(single, plain.arrays(), doubles, replace(own, size=size))
        parts.append(
            Part(
                plain.kind,
                plain.first_name,
                plain.second_name,
                single.error,
                single.scale,
                own.bound,
                judged.verdict,
                None if judged.double is None else judged.double.error,
                _seen(judged, fine or plain, units, extra) if explains else None,
                closeness=closeness(*plain.arrays(), equal=single.error == 0.0)
                if plain.kind == "output"
                else None,
            )
        )
    return parts


def _seen(
    judged: Judgement, shown: TensorPair, units: RegionUnits, extra: Mapping[tuple[str, int], Array]
) -> Cause | None:
    """What the numbers say of a tensor that differs."""
    if judged.verdict != "different":
        return None
    if units.dtypes is not None:
        first, second = units.dtypes
        return Cause.of("precision.mixed", first_dtype=first, second_dtype=second)
    if judged.coarse is not None:
        return judged.coarse
    if shown.gradient:
        return probe_gradient(shown.first, shown.second)
    return probe(*shown.arrays(), extra)


def _one_sided(case: Case) -> dict[tuple[str, int], Array]:
    """Boundary values that only one side reads, by label and side: what a residual would be."""
    region, cuts = case.region, case.plan.cuts
    extra: dict[tuple[str, int], Array] = {}
    alone = set(region.second.reads) - set(region.first.reads)
    for value, array in case.feed.second.items():
        if any(value in cuts[read].second for read in alone):
            extra[value_name(case.pair.second, value), 1] = array
    alone = set(region.first.reads) - set(region.second.reads)
    for value, array in case.feed.first.items():
        if any(value in cuts[read].first for read in alone):
            extra[value_name(case.pair.first, value), 0] = array
    return extra


def _held(
    tensors: Sequence[TensorPair],
    parts: Sequence[Part],
    singles: Sequence[Measured],
    tolerance: Tolerance,
) -> tuple[Part, ...]:
    """The parts, held against the tolerance asked for."""
    held: list[Part] = []
    for tensor, part, single in zip(tensors, parts, singles, strict=True):
        names, arrays = (part.kind, part.first, part.second), tensor.arrays()
        scale = single.scale if single.error == 0.0 else None
        own = quantity(*names, *arrays, tolerance, scale=scale, largest=_largest(single, *arrays))
        held.append(replace(part, held=own))
    return tuple(held)


def _largest(single: Measured, first: Array, second: Array) -> tuple[float, float] | None:
    """The largest difference and the largest magnitude of the second as they were measured; None
    where the tolerance takes others."""
    single_precision = first.dtype == second.dtype == "float32"  # others are widened first
    known = single.error != single.scale  # the first's scale, where the second is all zero
    return (single.error, single.scale) if single_precision and known else None


def _settled(case: Case, run: PairRun, result: RegionResult) -> RegionResult:
    """The result, not comparable where a difference proves nothing or agreement is not all that was
    asked. Another draw looks like anything: like rounding too, beside how a second run departs from
    the first, and like a gradient at a kink."""
    plain = replace(result, astray=False, surplus=None, setting=None, tried=None)
    if result.verdict != "equal":
        region, feed = case.region, case.feed
        drawn = unsteady(
            case.pair.sides,
            (region.first, region.second),
            (feed.first, feed.second),
            (region.cut.first, region.cut.second),
        )
        if drawn:
            parts = tuple(replace(part, held=None) for part in result.parts)
            return replace(plain, verdict="not-comparable", parts=parts, reason=drawn)
    if result.verdict != "different" and run.ungraded:
        return replace(plain, verdict="not-comparable", reason=run.ungraded)
    return result
