"""Regions that differ without a structural difference: where such a finding stands, and its
verdict."""

from __future__ import annotations

from dataclasses import replace

from padiff_graph.diagnosis.constant_buffers import other_buffers
from padiff_graph.diagnosis.finding_places import (
    Place,
    Places,
    begun_places,
    finding_at,
    matched_places,
    moved_to,
    region_places,
    setting_places,
    surplus_places,
)
from padiff_graph.diagnosis.numeric_causes import Told, both_turning, numeric_cause, turned
from padiff_graph.diagnosis.region_phase import region_phase
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.difference_causes import difference_cause
from padiff_graph.findings.finding import Finding, Verdict
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.region_result import RegionCheck, RegionResult

__all__ = ["numeric_finding"]

SURPLUS: dict[str, Verdict] = {"operation.extra": "extra", "operation.missing": "missing"}
"""Kind of a cause -> the verdict that it makes of "different"."""


def numeric_finding(
    shown: RegionResult, check: RegionCheck, matching: Matching, built: dict[int, Difference]
) -> Finding:
    """The finding that a region is; `built` says how regions are built differently, by the identity
    of their results."""
    result = _origin(shown, check) if shown.astray else shown
    difference = built.get(id(shown))
    places = region_places(result, matching)
    phase = region_phase([shown])
    if shown.verdict == "not-comparable":
        reason = Cause.of("region.not_compared", text=shown.reason or "could not be compared")
        return finding_at(places, phase, "not-comparable", reason, matching, result.order)
    part = shown.worst()
    assert part is not None
    if shown.setting is not None:
        places = setting_places(shown.setting.natives, places, matching)
        cause = shown.setting.cause
        finding = finding_at(places, phase, "different", cause, matching, result.order)
        return replace(finding, error=part.error, relative=part.relative)
    pinned = matched_places(difference, matching)
    places = pinned or places
    if shown is not result:
        places = both_turning(result, matching) or places
    told = numeric_cause(result, part, matching, places)
    buffers = other_buffers(result, matching) if part.kind == "output" else None
    if buffers is not None and told.cause.kind != "values.table":
        told = Told(buffers)
    elif difference is not None and result.surplus is None:
        told = replace(told, cause=difference_cause(difference).followed_by(told.cause))
        places = surplus_places(difference, matching) or places
    verdict = _verdict(shown, told.cause)
    if pinned is None:
        places = begun_places(result, places, matching)
    places = _moved(places, told)
    if shown is not result:
        told = _carried(told, result, shown, matching)
        places = _moved(_entered(places, told, result, matching), told)
    finding = finding_at(places, phase, verdict, told.cause, matching, result.order)
    return replace(finding, error=part.error, relative=part.relative)


def _origin(result: RegionResult, check: RegionCheck) -> RegionResult:
    """The most upstream region behind which the values lie in another order, from a region that is
    astray."""
    by_order = {region.order: region for region in check.results if region.second_nodes}
    origin, seen = result, {result.order} if result.second_nodes else set()
    while True:
        above = [
            by_order[read]
            for read in origin.reads
            if read in by_order and by_order[read].moved and read not in seen
        ]
        if not above:
            return origin
        origin = min(above, key=lambda region: region.order)
        seen.add(origin.order)


def _verdict(shown: RegionResult, cause: Cause) -> Verdict:
    verdict: Verdict = "rounding" if shown.verdict == "equal" else shown.verdict
    return SURPLUS.get(cause.kind, verdict) if verdict == "different" else verdict


def _moved(places: Places, told: Told) -> Places:
    return places if told.place is None else moved_to(places, told.side, told.place)


def _entered(places: Places, told: Told, result: RegionResult, matching: Matching) -> Places:
    """The places with that of the side which does not turn the values: where it begins to go on
    with them."""
    if told.place is None:
        return places
    other = 1 - told.side
    graph = (matching.first.graph, matching.second.graph)[other]
    records = map(graph.record, (result.first_nodes, result.second_nodes)[other])
    begun = next((record for record in records if record.inputs), None)
    return places if begun is None else moved_to(places, other, Place.of_record(begun))


def _carried(told: Told, origin: RegionResult, shown: RegionResult, matching: Matching) -> Told:
    """What turned the values at the origin, and which operation further down needs their order."""
    needs = region_places(shown, matching)[0]
    turning = turned(origin, matching) or Told(told.cause)
    if not needs.op:  # an output, which is read as it stands
        return turning
    needed = Cause.of("values.carried", op=needs.op, path=needs.path)
    return replace(turning, cause=turning.cause.followed_by(needed))
