"""The step that holds against each other what both models' runs left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import KeptState, Regional
from padiff_graph.findings.finding import Finding
from padiff_graph.obligations.hook_findings import hook_findings
from padiff_graph.obligations.left_behind import Place
from padiff_graph.obligations.second_call import drawn_places, second_call
from padiff_graph.obligations.state_findings import Runs, kept_places, state_findings

__all__ = ["explain_state"]


def explain_state(request: CheckRequest, regional: Regional, log: CheckLog) -> Regional:
    """The record with findings about attributes, buffers, parameters and inputs that the runs
    wrote, and about a second call where it may read them."""
    if request.deployed or regional.whole is None:
        return regional
    with log.timed("state"):
        try:
            found, kept = _found(request, regional)
        except NotRunnable as error:  # a recording that does not hold what is asked of it
            return replace(regional, kept=KeptState(0, unasked=str(error)))
        findings = [finding for finding in found if not _left_out(request, finding)]
    return replace(regional, findings=(*regional.findings, *findings), kept=kept)


def _found(request: CheckRequest, regional: Regional) -> tuple[list[Finding], KeptState]:
    assert regional.whole is not None
    matching, engines = regional.weighted.matching, regional.weighted.alignment.engines
    random = regional.whole.random
    runs = Runs(matching, engines, regional.whole.left, request.inputs.pairs, random=random)
    kept = kept_places(runs)
    if random and any(kept):
        runs = replace(runs, drawn=_drawn(request, regional))
    values_differ = any(
        finding.fails and finding.phase in ("forward", "weights")
        for finding in (*regional.findings, *regional.weighted.findings)
    )
    findings = [
        finding for finding in state_findings(runs) if not (values_differ and _may_follow(finding))
    ]
    places = len(kept[0].keys() | kept[1].keys())
    unasked = _reason_to_wait(regional, findings) if places else ""
    twice = bool(places) and not unasked
    if twice:
        finding = second_call(matching, engines, request.examples, evaluated=random)
        findings += [finding] if finding is not None else []
    findings += hook_findings(matching, engines, regional.whole.hooked)
    return findings, KeptState(places, twice, unasked)


def _reason_to_wait(regional: Regional, findings: Sequence[Finding]) -> str:
    """Why a second call would say nothing, "" where it would."""
    if any(finding.fails for finding in (*findings, *regional.findings)):
        return "the first call differs already"
    return "" if regional.weighted.equal else "both sides hold other weights"


def _may_follow(finding: Finding) -> bool:
    """Whether values that differ elsewhere may be all there is to it: what is kept of them
    differs too. A number that a module counts does not follow from them."""
    kept = finding.cause_id in ("state.attribute", "buffer.written")
    held = finding.cause_id == "state.container" and finding.reason.get("first_name") is not None
    return finding.fails and (held or (kept and finding.reason.get("first_value") is None))


def _drawn(request: CheckRequest, regional: Regional) -> tuple[frozenset[Place], frozenset[Place]]:
    """Places that hold other values where a run draws other numbers, on each side."""
    matching, engines = regional.weighted.matching, regional.weighted.alignment.engines
    graphs = matching.first.graph, matching.second.graph
    first, second = (
        frozenset(drawn_places(engine, example, _buffers(graph)))
        for engine, example, graph in zip(engines, request.examples, graphs, strict=True)
    )
    return first, second


def _buffers(graph: ComputationGraph) -> list[str]:
    return [name for name, info in graph.parameters.items() if info.buffer]


def _left_out(request: CheckRequest, finding: Finding) -> bool:
    """Whether the layer map leaves the place out."""
    scope = request.scope
    return scope.ignored(finding.paddle_path, 0) or scope.ignored(finding.torch_path, 1)
