"""The step that decides what weights without a map leave open, as far as one number in their place
does: that no map can make both models agree, or that behind a difference in front of them one may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional
from padiff_graph.check.one_number import Departure, OneNumber, all_read_as_they_are
from padiff_graph.check.region_check import check_regions
from padiff_graph.check.scope import left_out, scoped_regions
from padiff_graph.diagnosis.finding_places import finding_at, region_places
from padiff_graph.diagnosis.region_findings import region_findings
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.cause_sentences import sentence
from padiff_graph.findings.finding import Finding
from padiff_graph.referee.region_result import RegionCheck, RegionResult
from padiff_graph.weights.fillable import fillable
from padiff_graph.weights.unmapped import Unmapped, resting

__all__ = ["decide_unmapped"]


def decide_unmapped(request: CheckRequest, regional: Regional, log: CheckLog) -> Regional:
    """The record with what one number in the place of weights without a map shows; as it is where
    it shows nothing."""
    loose = regional.weighted.loose
    if loose is None or not _can_ask(request, regional):
        return regional
    fill = fillable(regional.weighted.matching, loose)
    if fill is None or not all_read_as_they_are(regional.weighted.matching, fill):
        return regional
    assert regional.whole is not None
    told = any(finding.fails for finding in regional.findings)
    if told and not any(map(_output_differs, regional.regions.results)):
        return regional  # nothing that weights behind it could undo
    asked = OneNumber(request, regional.weighted, fill, regional.whole.answers.pairs)
    with log.timed("one number for weights without a map"):
        try:
            departure = asked.departure(listed=told)
        except NotRunnable:
            return regional
        if departure is None:
            return _undone(regional, loose) if told else regional
        return regional if told else _departing(request, regional, loose, departure)


def _can_ask(request: CheckRequest, regional: Regional) -> bool:
    """Whether nothing but the weights decides what both models compute, so that it is known."""
    weighted, whole = regional.weighted, regional.whole
    if whole is None or whole.random or not weighted.alignment.alive:
        return False
    if not request.options.forward or left_out(request.scope):
        return False
    matching = weighted.matching
    return not (matching.first.graph.decided or matching.second.graph.decided)


# -- what stands behind may undo a difference


def _undone(regional: Regional, loose: Unmapped) -> Regional:
    """The record, with results that differ in front of such weights open: both models hand out the
    same whatever is done there, so long as these are one number."""
    matching = regional.weighted.matching
    reason = (
        f"it differs, and what reads weights behind it may undo that: {_words(regional, loose)}"
    )
    results = tuple(
        replace(_without_reasons(result), verdict="not-comparable", reason=reason)
        if _output_differs(result)
        else result
        for result in regional.regions.results
    )
    regions = replace(regional.regions, results=results)
    findings = region_findings(regions, matching, regional.weighted.differences)
    return replace(regional, regions=regions, findings=findings)


def _words(regional: Regional, loose: Unmapped) -> str:
    return sentence(loose.cause, regional.weighted.matching.frameworks)


def _output_differs(result: RegionResult) -> bool:
    return any(part.verdict == "different" and part.kind == "output" for part in result.parts)


# -- no map makes both agree


def _departing(
    request: CheckRequest, regional: Regional, loose: Unmapped, departure: Departure
) -> Regional:
    """The record with the regions that differ under one number, or else with a finding."""
    weighted = regional.weighted
    regions = _located(request, regional, loose, departure)
    findings = region_findings(regions, weighted.matching, weighted.differences)
    if any(finding.fails for finding in findings):
        return replace(regional, regions=regions, findings=findings)
    told = _no_map(regional, resting(regional.regions, weighted.matching, loose), loose, departure)
    return replace(regional, findings=(*regional.findings, told))


def _located(
    request: CheckRequest, regional: Regional, loose: Unmapped, departure: Departure
) -> RegionCheck:
    """The regions, with the verdict that one number gives to those that read such weights."""
    weighted = regional.weighted
    again = check_regions(
        weighted.matching,
        *weighted.alignment.engines,
        differences=weighted.differences,
        backward=False,
        tolerance=request.tolerance,
        weights=departure.filled,
    )
    again = scoped_regions(again, weighted.matching, request.scope)
    differing = {
        (result.first_nodes, result.second_nodes): _without_reasons(result)
        for result in resting(again, weighted.matching, loose)
        if result.verdict == "different"
    }
    results = tuple(
        differing.get((result.first_nodes, result.second_nodes), result)
        for result in regional.regions.results
    )
    return replace(regional.regions, results=results)


def _without_reasons(result: RegionResult) -> RegionResult:
    """The result without what its numbers say of the cause: where all weights are one number, many
    a cause fits."""
    parts = tuple(replace(part, probe=None) for part in result.parts)
    return replace(result, parts=parts, astray=False, surplus=None, tried=None)


def _no_map(
    regional: Regional, behind: Sequence[RegionResult], loose: Unmapped, departure: Departure
) -> Finding:
    """That no map makes both agree, at the first region that reads such weights."""
    matching, left = regional.weighted.matching, departure.left
    cause = Cause.of(
        "parameter.no_map",
        loose=loose.cause,
        number=departure.number,
        tensor=f"the output {left.first}",
        error=left.error,
        scale=left.scale,
    )
    first = min(behind, key=lambda result: result.order, default=None)
    if first is None:
        told = Finding("forward", "different", cause, frameworks=matching.frameworks)
    else:
        places = region_places(first, matching)
        told = finding_at(places, "forward", "different", cause, matching, first.order)
    return replace(told, error=left.error, relative=left.relative)
