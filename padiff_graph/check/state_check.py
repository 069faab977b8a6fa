"""The step that holds against each other what both models' runs left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.late_weights import late_model
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import KeptState, Regional
from padiff_graph.findings.finding import Finding
from padiff_graph.obligations.hook_findings import hook_findings
from padiff_graph.obligations.later_calls import (
    AGAIN,
    CALLS,
    Called,
    drawn_places,
    grown_calls,
    plain_calls,
)
from padiff_graph.obligations.left_behind import Place
from padiff_graph.obligations.mode_findings import LEFT_MODE, MODE
from padiff_graph.obligations.same_calls import SideCall, call_alike
from padiff_graph.obligations.state_findings import Runs, kept_places, state_findings
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["explain_state"]

UNSTEADY = "both models yield other values in each call, though a run leaves nothing in them"


def explain_state(request: CheckRequest, regional: Regional, log: CheckLog) -> Regional:
    """The record with findings about attributes, buffers, parameters and inputs that the runs
    wrote, and about a second call where it may read them."""
    if request.exported or regional.whole is None:
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
    further, state = _called(request, regional, findings, places)
    if further or random or not state.calls:
        findings = [_with_effects(finding) for finding in findings]
    findings += [*further, *hook_findings(matching, engines, regional.whole.hooked)]
    return findings, state


def _with_effects(finding: Finding) -> Finding:
    """A mode left behind is a difference unless later calls agree all the same."""
    return replace(finding, verdict="different") if finding.cause_id == LEFT_MODE else finding


def _called(
    request: CheckRequest, regional: Regional, findings: Sequence[Finding], places: int
) -> tuple[list[Finding], KeptState]:
    """What further calls of both models show, and what was asked."""
    waiting = _reason_to_wait(regional, findings)
    if waiting or not (places or _callable(request, regional)):
        return [], KeptState(places, unasked=waiting if places else "")
    if _call_alike(request, regional):
        return [], KeptState(places, AGAIN, same=True)
    if not _repeatable(request, regional):
        return [], KeptState(places)
    calls = _calls(request, regional, bool(places))
    finding = calls.departing()
    if finding is not None and not calls.steady:
        return [], KeptState(places, unasked=UNSTEADY)
    return [] if finding is None else [finding], KeptState(places, calls.answered)


def _call_alike(request: CheckRequest, regional: Regional) -> bool:
    """Whether further calls of each model are known to do what its first did."""
    whole, weighted = regional.whole, regional.weighted
    assert whole is not None
    if whole.random:
        return False
    normals = weighted.matching.first, weighted.matching.second
    first, second = (
        SideCall(normal, capture, left, outputs)
        for normal, capture, left, outputs in zip(
            normals, weighted.alignment.captures, whole.left, whole.outputs, strict=True
        )
    )
    return call_alike((first, second), grad=request.options.backward)


def _repeatable(request: CheckRequest, regional: Regional) -> bool:
    """Whether models that draw random numbers draw none in evaluation mode, so that their calls can
    be told apart."""
    whole, alignment = regional.whole, regional.weighted.alignment
    assert whole is not None
    if not whole.random or any(map(is_recorded, alignment.engines)):
        return True
    grad = request.options.backward
    matching = regional.weighted.matching
    return plain_calls(matching, alignment.engines, request.examples, None, grad=grad).repeated


def _callable(request: CheckRequest, regional: Regional) -> bool:
    """Whether models that keep nothing are called again all the same: not where a recording holds
    no such call, nor where each call reads the weights from files."""
    engines = regional.weighted.alignment.engines
    late = (late_model(model) is not None for model in request.models)
    return not any(map(is_recorded, engines)) and not any(late)


def _calls(request: CheckRequest, regional: Regional, kept: bool) -> Called:
    """Both models called again: with weights that grow where a run leaves anything in a model, but
    for folded ones, whose counterparts do not grow alike."""
    whole = regional.whole
    assert whole is not None
    matching, engines = regional.weighted.matching, regional.weighted.alignment.engines
    recorded, grad = any(map(is_recorded, engines)), request.options.backward
    attributes = {place for left in whole.left for place in left.attributes if place[1] != MODE}
    apart = {
        (quantity.first, quantity.second): quantity.relative
        for quantity in whole.quantities
        if quantity.kind == "output"
    }
    before = None if whole.random else apart
    if kept or (attributes and not recorded):
        times = 2 if recorded else CALLS
        return grown_calls(
            matching,
            engines,
            request.examples,
            times=times,
            evaluated=whole.random,
            earlier=before,
            growing=not request.folded,
        )
    return plain_calls(matching, engines, request.examples, before, grad=grad)


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
        frozenset(drawn_places(engine, example, _buffers(graph), grad=request.options.backward))
        for engine, example, graph in zip(engines, request.examples, graphs, strict=True)
    )
    return first, second


def _buffers(graph: ComputationGraph) -> list[str]:
    return [name for name, info in graph.parameters.items() if info.buffer]


def _left_out(request: CheckRequest, finding: Finding) -> bool:
    """Whether the layer map leaves the place out."""
    scope = request.scope
    return scope.ignored(finding.paddle_path, 0) or scope.ignored(finding.torch_path, 1)
