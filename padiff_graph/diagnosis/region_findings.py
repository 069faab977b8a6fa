"""From region results and structural differences to findings: one cause, one finding, at its
place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.diagnosis.frozen_parameters import frozen_parameters
from padiff_graph.diagnosis.merging import merged
from padiff_graph.diagnosis.numeric_findings import numeric_finding
from padiff_graph.diagnosis.plain_names import plain_name
from padiff_graph.diagnosis.region_phase import AGREEING
from padiff_graph.diagnosis.structural_findings import (
    Located,
    built_differently,
    explains,
    locate,
    names_a_setting,
    structural_finding,
)
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.difference.other_sizes import OtherSizes
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.region_result import RegionCheck, RegionResult
from padiff_graph.referee.structural_evidence import native_of, nodes_of

__all__ = ["region_findings"]

EXPLICABLE = ("different", "not-comparable")
"""Verdicts that a structural difference inside a region explains."""
FACTORS = frozenset({"scale", "shift"})
"""Causes that say how an operand is changed, by the number."""
LEFT_OUT = frozenset({"operand.extra", "operand.missing"})
"""Causes that an operand which changes nothing may pass for."""


def region_findings(
    check: RegionCheck, matching: Matching, differences: Sequence[Difference] = ()
) -> tuple[Finding, ...]:
    """All findings of a region check, most upstream first.

    A structural difference inside a differing region is that region's cause; inside regions that
    agree it is told as suspicious, since it changes nothing on this input. What differs without a
    structural difference is told by what the numbers and the operations' marks say.
    """
    check = _told_once(check, locate(check, matching, differences), matching)
    located = locate(check, matching, differences)
    sizes = OtherSizes.of(matching, differences)
    graded = bool(check.compared("parameter"))
    structural = [
        structural_finding(
            one, matching, trained=graded and sizes.trained_at(one.difference, matching)
        )
        for one in located
    ]
    built = built_differently(check, matching, differences)
    numeric = [
        numeric_finding(result, check, matching, built)
        for result in _unexplained(check, located, sizes)
    ]
    findings = [finding for finding in structural if finding is not None]
    findings += frozen_parameters(matching, graded=graded)
    findings += merged(numeric)
    return tuple(sorted(findings, key=lambda finding: (finding.order, not finding.fails)))


def _told_once(check: RegionCheck, located: Sequence[Located], matching: Matching) -> RegionCheck:
    """The check without the settings of operations of which structure names an attribute, and
    without operands left out where structure names a factor of one."""
    named: tuple[set[int], set[int]] = set(), set()
    factors: set[int] = set()
    for one in located:
        if one.difference.cause_id in FACTORS:
            factors.update(result.order for result in one.results)
        if names_a_setting(one.difference):
            for side, normal in enumerate((matching.first, matching.second)):
                named[side].update(_naming(normal, one.difference, side))
    results = tuple(
        replace(result, setting=None)
        if result.setting is not None
        and (
            _among(result.setting.natives, named)
            or (result.setting.cause.kind in LEFT_OUT and result.order in factors)
        )
        else result
        for result in check.results
    )
    return replace(check, results=results)


def _naming(normal: NormalGraph, difference: Difference, side: int) -> set[int]:
    """The native operations whose setting a difference names: not a padding of its own that the
    normal form made one with the convolution behind it."""
    natives = native_of(normal, nodes_of(difference, side))
    if difference.attribute != "pads":
        return natives
    return {native for native in natives if plain_name(normal.graph.record(native).op) != "pad"}


def _among(natives: tuple[int, int], named: tuple[set[int], set[int]]) -> bool:
    return natives[0] in named[0] or natives[1] in named[1]


def _unexplained(
    check: RegionCheck, located: Sequence[Located], sizes: OtherSizes
) -> list[RegionResult]:
    """Regions that do not agree, without a structural difference that says why: at their place, or
    further up, where it gives what they read another size."""
    explained = {
        id(result)
        for one in located
        if one.difference.kind != "differently-built"
        for result in one.results
        if result.verdict != "different" or explains(one.difference, result)
        if result.setting is None
    }
    return [
        result
        for result in check.results
        if result.verdict not in AGREEING
        and not (result.verdict in EXPLICABLE and id(result) in explained)
        and not (
            result.verdict == "not-comparable"
            and sizes.behind(result.first_nodes, result.second_nodes)
        )
    ]
