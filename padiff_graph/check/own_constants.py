"""The step that compares regions once more with the weights as they are.

Regions hold random numbers in the place of weights that stand at a constant, where two functions
may agree by chance. But a constant may put a function at a kink (a leaky ReLU behind a scale of
zero), where frameworks choose different slopes: the whole runs are apart there and no region is.
"""

from __future__ import annotations

from dataclasses import replace

from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional, asked_regions
from padiff_graph.check.scope import scoped_regions
from padiff_graph.check.smooth_operations import smooth_operations
from padiff_graph.check.verdict import unexplained
from padiff_graph.check.weight_step import Weighted
from padiff_graph.diagnosis.merging import not_told
from padiff_graph.diagnosis.region_findings import region_findings
from padiff_graph.findings.finding import Finding
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["explain_constants"]


def explain_constants(request: CheckRequest, regional: Regional, log: CheckLog) -> Regional:
    """With what the weights as they are show that random ones in the place of constants hide:
    where the whole runs are far apart, no region differs, and the whole graphs do not tell that it
    is rounding."""
    told = any(finding.fails for finding in regional.findings)
    proved = regional.proof is not None and regional.proof.clear
    if told or proved or regional.alike or not _may_stand_at_a_kink(request, regional):
        return regional
    once_more = _with_own_constants(request, regional.weighted, log)
    if any(map(is_recorded, regional.weighted.alignment.engines)):
        # regions are recorded with random numbers in the place of constants: of these nothing is
        # said here
        once_more = tuple(finding for finding in once_more if finding.fails)
    added = not_told(once_more, regional.findings)
    return replace(regional, findings=(*regional.findings, *added))


def _may_stand_at_a_kink(request: CheckRequest, regional: Regional) -> bool:
    """Whether a constant may stand where a function has a kink."""
    # a deployed model's regions have its own weights already
    if request.deployed or request.options.single_step or not regional.weighted.equal:
        return False
    return regional.whole is not None and unexplained(regional.whole, regional.regions)


def _with_own_constants(
    request: CheckRequest, weighted: Weighted, log: CheckLog
) -> tuple[Finding, ...]:
    """What the regions show with the weights as they are, but for those of smooth functions, which
    agree anywhere where they agree at random numbers."""
    with log.timed("regions with the weights as they are"):
        spared = smooth_operations(weighted.matching)
        regions = asked_regions(request, weighted, randomise=False, spared=spared)
    scoped = scoped_regions(regions, weighted.matching, request.scope)
    return region_findings(scoped, weighted.matching, weighted.differences)
