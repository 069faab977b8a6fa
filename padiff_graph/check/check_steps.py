"""The steps of a check, each from frozen records to a frozen record: aligned, weighted, run,
compared by regions.

A step that finds the ground gone that it stands on says so (`BeginAgain`), and the check begins
anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum

from padiff_graph.alignment.align import align
from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.evidence import confirm, gather
from padiff_graph.alignment.value_proof import matched_whole
from padiff_graph.capture.api import Capture
from padiff_graph.capture.eager_run import Eager
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.compared_counts import divergent_buffers
from padiff_graph.check.end_to_end import WholeCheck, check_whole
from padiff_graph.check.random_totals import RandomTotals
from padiff_graph.check.region_check import Progress, Spared, check_regions, stands_firm
from padiff_graph.check.scope import left_out, scoped_regions, scoped_whole
from padiff_graph.check.weight_step import Weighted, take_weights
from padiff_graph.diagnosis.region_findings import region_findings
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.difference.other_sizes import OtherSizes
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.remainders import WholeProof
from padiff_graph.referee.region_result import AGREE, RegionCheck
from padiff_graph.weights.assignment import write_where_proved
from padiff_graph.weights.file_weights import holds_others
from padiff_graph.weights.folded_weights import folded
from padiff_graph.weights.fused_branches import without_told
from padiff_graph.weights.held_as_numbers import UNMATCHED, without_held
from padiff_graph.weights.parameter_findings import parameter_findings
from padiff_graph.weights.reasons_in_weights import reasons_in_weights
from padiff_graph.weights.unmapped import unmapped, unsure_regions, unsure_weights

__all__ = [
    "Attempt",
    "BeginAgain",
    "EndToEnd",
    "KeptState",
    "Reason",
    "Regional",
    "align_models",
    "asked_regions",
    "compare_regions",
    "explain_regions",
    "run_end_to_end",
]


class Reason(Enum):
    """Why a check begins again."""

    UNFAITHFUL = "a capture turned out unfaithful, and another was made in its place"
    REMATCHED = "what differs has another counterpart once numbers are asked"


@dataclass(frozen=True)
class Attempt:
    """What a beginning starts from.

    Attributes:
        captures: the models' captures, where they were made before.
        values_first: whether values are gathered before anything is compared.
    """

    captures: tuple[Capture | None, Capture | None] | None = None
    values_first: bool = False


@dataclass(frozen=True)
class BeginAgain:
    """A step's answer where the check has to begin anew.

    Attributes:
        reason: why.
        attempt: what it starts from then.
    """

    reason: Reason
    attempt: Attempt


@dataclass(frozen=True)
class EndToEnd:
    """Both models run as a whole, and their captures held against those runs."""

    whole: WholeCheck
    attempt: Attempt


@dataclass(frozen=True)
class KeptState:
    """What was asked of the state that both runs leave behind.

    Attributes:
        places: attributes and buffers that a run of either model left otherwise than it found them.
        calls: how often both models were called in a row, besides; 0 for not at all.
        unasked: why they were not, "" where they were, or where nothing is kept that it could read.
        same: whether each model's further calls were shown to do what its first did, so that they
            were not held against each other.
    """

    places: int
    calls: int = 0
    unasked: str = ""
    same: bool = False


@dataclass(frozen=True)
class Regional:
    """Both models compared region by region.

    Attributes:
        weighted: with what the regions say of the matching.
        regions: what was found, without what the layer map leaves out.
        findings: about regions.
        whole: the whole run, without what is known to differ or left out.
        proof: what float64 leaves of both models as a whole; None where it was not asked.
        alike: whether both graphs agree under random cotangents, where the gradients of the loss
            are what rounding leaves.
        kept: what was asked of the state that the runs leave behind; None where nothing was.
        diverging: whether values of the whole are left out that a known divergence of the
            frameworks in front of them explains.
    """

    weighted: Weighted
    regions: RegionCheck
    findings: tuple[Finding, ...] = ()
    whole: WholeCheck | None = None
    proof: WholeProof | None = None
    alike: bool = False
    kept: KeptState | None = None
    diverging: bool = False


def align_models(
    request: CheckRequest, attempt: Attempt, log: CheckLog, undo: ExitStack
) -> Alignment:
    """Both models captured and matched; with values as evidence where structure leaves something
    open.

    A port that holds other weights than the ONNX file beside it gets the file's; `undo` puts its
    own back. Where weights are copied and some do not line up, those that do are copied first, and
    the first model is captured anew: a router that is not the second's runs other experts. Not
    where one model folded weights into others, which these numbers show.

    Raises:
        CaptureError: where a model cannot be captured.
    """
    alignment = _by_structure(request, attempt.captures)
    if request.from_file and alignment.alive and holds_others(alignment):
        take_weights(alignment, log, undo)
    if not attempt.values_first and _values_can_wait(request, alignment.matching):
        return alignment
    gathered = gather(alignment)
    if not request.auto_weights or attempt.captures is not None:
        return gathered
    if folded(gathered.matching, *gathered.engines):
        return gathered
    before = write_where_proved(gathered)
    if not before:
        return gathered
    undo.callback(gathered.first_engine.assign, before)
    return gather(_by_structure(request, (None, gathered.captures[1])))


def _by_structure(
    request: CheckRequest, captures: tuple[Capture | None, Capture | None] | None
) -> Alignment:
    return align(
        *request.models,
        request.examples,
        request.scope,
        certify=False,
        evidence=False,
        captures=captures,
    )


def _values_can_wait(request: CheckRequest, matching: Matching) -> bool:
    """Whether the regions may tell what a run for evidence would: structure left nothing open, and
    all of it is compared."""
    return (
        request.options.forward
        and not request.scope.pairs
        and not left_out(request.scope)
        and not request.deployed
        and matched_whole(matching)
    )


def run_end_to_end(
    request: CheckRequest, weighted: Weighted, attempt: Attempt, log: CheckLog
) -> EndToEnd | BeginAgain:
    """Both models run eagerly; each run also witnesses for its capture, where that is not certified
    yet.

    Raises:
        CaptureError: where a capture is unfaithful and no way of capturing is left.
    """
    captures = weighted.alignment.captures
    faithful: list[bool] = []

    asked: list[RandomTotals] = []

    def certified(eager: dict[int, Eager | None], whole: WholeCheck) -> None:
        def known(side: int) -> bool:
            further = asked[0].further(side) if asked else None
            own, capture = eager.pop(side), captures[side]
            return capture.graph.certificate is not None or capture.certify(own, further)

        with log.timed("certificates"):
            if all(own.graph.certificate is None for own in captures):
                asked.extend(_random_totals(request, weighted, whole))
            engines = weighted.alignment.engines
            faithful.extend(at_once(lambda: known(0), lambda: known(1), engines))

    uncertified = any(capture.graph.certificate is None for capture in captures)
    with log.timed("whole run"):
        whole = check_whole(
            *weighted.alignment.engines,
            *request.examples,
            matching=weighted.matching,
            inputs=request.inputs.pairs,
            losses=request.losses.functions if request.losses else None,
            backward=request.options.backward,
            tolerance=request.tolerance,
            witness=certified if uncertified else None,
        )
    made = replace(attempt, captures=captures)
    if not all(faithful):
        return BeginAgain(Reason.UNFAITHFUL, made)
    if asked:
        whole = replace(whole, under_random=asked[0].apart())
    return EndToEnd(whole, made)


def _random_totals(
    request: CheckRequest, weighted: Weighted, whole: WholeCheck
) -> list[RandomTotals]:
    """What the replays are asked besides; empty for nothing."""
    if request.deployed or not weighted.equal:
        return []
    engines = weighted.alignment.engines
    wanted = RandomTotals.wanted(request, weighted.matching, engines, whole)
    return [] if wanted is None else [wanted]


def asked_regions(
    request: CheckRequest,
    weighted: Weighted,
    *,
    own_weights: bool = False,
    randomise: bool = True,
    spared: Spared | None = None,
    progress: Progress | None = None,
    stands: Callable[[RegionCheck], bool] = stands_firm,
) -> RegionCheck:
    """All regions as the request wants them compared; see `check_regions`."""
    proof = weighted.alignment.proof
    return check_regions(
        weighted.matching,
        *weighted.alignment.engines,
        differences=weighted.differences,
        apart=proof.apart if proof is not None else (),
        forward=request.options.forward,
        backward=request.options.backward,
        tolerance=request.tolerance,
        own_weights=own_weights,
        randomise=randomise,
        fail_fast=request.options.fail_fast,
        spared=spared,
        progress=progress,
        stands=stands,
    )


def compare_regions(
    request: CheckRequest, weighted: Weighted, end_to_end: EndToEnd, log: CheckLog
) -> Regional | BeginAgain:
    """Every region compared; where values have not been asked yet, the matching is confirmed by
    them."""
    alignment = weighted.alignment
    settled: Alignment | None = alignment
    open_still = alignment.proof is None and alignment.alive

    def stands(regions: RegionCheck) -> bool:
        nonlocal settled
        if open_still and settled is alignment:
            settled = _settled(alignment, regions)
        return settled is not None

    with log.timed("regions"):
        regions = asked_regions(
            request,
            weighted,
            own_weights=request.deployed,
            progress=log.shown.at,
            stands=stands,
        )
    if not stands(regions) or settled is None:
        again = replace(end_to_end.attempt, values_first=True)
        return BeginAgain(Reason.REMATCHED, again)
    if settled is not alignment:
        weighted = replace(
            weighted,
            alignment=settled,
            matching=settled.matching,
            differences=settled.differences,
        )
    scoped = scoped_regions(regions, weighted.matching, request.scope)
    held = _with_numbers(request, weighted, scoped)
    return Regional(held, unsure_regions(scoped, held.matching, held.loose))


def _with_numbers(request: CheckRequest, weighted: Weighted, regions: RegionCheck) -> Weighted:
    """The weights, where the regions show that one model holds some as numbers of its program."""
    matching = without_held(weighted.matching, regions)
    if matching is weighted.matching or request.deployed:
        return weighted
    sizes = OtherSizes.of(matching, weighted.differences)
    loose = unmapped(matching, sizes)
    about = unsure_weights(parameter_findings(matching, sizes), loose)
    kept = [finding for finding in weighted.findings if finding.cause_id not in UNMATCHED]
    added = [finding for finding in about if finding.cause_id in UNMATCHED]
    return replace(weighted, matching=matching, loose=loose, findings=(*added, *kept))


def _settled(alignment: Alignment, regions: RegionCheck) -> Alignment | None:
    """The alignment confirmed by the regions or, where they differ, by values; None where values
    change it."""
    if regions.results and all(result.verdict in AGREE for result in regions.results):
        return confirm(alignment)
    gathered = gather(alignment)
    changed = _essence(gathered.matching) != _essence(alignment.matching)
    return None if changed else gathered


def _essence(matching: Matching) -> tuple[object, ...]:
    """What regions and weights follow from."""
    matches = {(match.first, match.second) for match in matching.matches}
    points = {
        (point.first, point.first_view, point.second, point.second_view)
        for point in matching.points
    }
    return matches, points, {(row.first, row.pieces) for row in matching.parameters}


def explain_regions(request: CheckRequest, regional: Regional, end_to_end: EndToEnd) -> Regional:
    """The regions with what is to be said of them, and the whole run with what they explain of
    it."""
    weighted = regional.weighted
    regions = without_told(regional.regions, request.branches, weighted.matching)
    findings = list(region_findings(regions, weighted.matching, weighted.differences))
    if request.deployed:
        engines = weighted.alignment.engines
        reasons = reasons_in_weights(weighted.matching, engines, regions, findings)
        findings = [*reasons, *findings]
    diverging = {("buffer", name) for name in divergent_buffers(regional.regions)}
    whole = end_to_end.whole.excusing(diverging, "a known divergence of the frameworks")
    return replace(regional, findings=tuple(findings), whole=scoped_whole(whole, request.scope))
