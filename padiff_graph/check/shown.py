"""Which obligations of a pass a check has shown, by what, and which it was not asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional
from padiff_graph.check.end_to_end import WholeCheck
from padiff_graph.check.scope import left_out
from padiff_graph.check.verdict import Measured
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.obligation import OBLIGATIONS, Obligation, Status
from padiff_graph.obligations.mode_findings import LEFT_MODE
from padiff_graph.obligations.remainders import WholeProof
from padiff_graph.referee.tolerance import Quantity
from padiff_graph.report.wording import noun
from padiff_graph.sides.recorded_engine import is_recorded
from padiff_graph.weights.weight_equality import FORGOTTEN

__all__ = ["noise_floor", "obligations", "unshown_capture"]

Answer = tuple[Status, str]

KINDS = {
    "output": "output",
    "input": "gradient of input",
    "parameter": "gradient of",
    "buffer": "buffer",
}
"""Kind of a compared tensor -> how its noise is called."""


@dataclass(frozen=True)
class _Check:
    """All that an obligation may ask."""

    request: CheckRequest
    regional: Regional
    measured: Measured
    findings: Sequence[Finding]

    @property
    def whole(self) -> WholeCheck:
        """The whole run, which is there once regions were explained."""
        assert self.regional.whole is not None
        return self.regional.whole

    def failing(self, *ids: str) -> str:
        """The first failing finding whose cause begins with one of these ids, in words."""
        for finding in self.findings:
            if finding.fails and finding.cause_id.startswith(ids):
                return finding.cause
        return ""


def obligations(
    request: CheckRequest, regional: Regional, measured: Measured, findings: Sequence[Finding]
) -> tuple[Obligation, ...]:
    """Every obligation with what was shown of it."""
    check = _Check(request, regional, measured, findings)
    return tuple(Obligation(name, *ANSWERS[name](check)) for name in OBLIGATIONS)


def unshown_capture(error: CaptureError) -> Obligation:
    """All that is to be said where a model cannot be captured."""
    return Obligation("captures", "not shown", str(error))


def noise_floor(proof: WholeProof | None) -> dict[str, float]:
    """How far one unit in the last place of weights and inputs moves each quantity of the second
    model, relative to its largest value."""
    if proof is None:
        return {}
    floor: dict[str, float] = {}
    for entry in proof.remainders:
        floor[f"{KINDS[entry.kind]} {entry.second}"] = entry.noise / (entry.scale or 1.0)
    return floor


def _captures(check: _Check) -> Answer:
    graphs = [capture.graph for capture in check.regional.weighted.alignment.captures]
    for graph in graphs:
        if graph.certificate is None or not graph.certificate.valid:
            why = "it was not replayed" if graph.certificate is None else str(graph.certificate)
            return "not shown", f"the {graph.framework} capture: {why}"
    told = [
        f"the {side} is {graph.certificate}"
        for side, graph in zip(("first", "second"), graphs, strict=True)
    ]
    return "shown", f"both graphs were replayed and held against the eager runs: {'; '.join(told)}"


def _weights(check: _Check) -> Answer:
    if check.regional.weighted.loose is not None:
        return "not shown", "some weights of both models have no map between them"
    told = _of_phase(check, "weights")
    if told:
        return "not shown", told
    if check.request.deployed:
        return "shown", "each side ran with those that it holds, some folded into others"
    if check.request.auto_weights:
        return "shown", "they were copied through the parameter map"
    findings = check.regional.weighted.findings
    if any(finding.cause_id == FORGOTTEN for finding in findings):
        forgotten = "what differs between them is forgotten by what reads it"
        return "shown", f"they were compared through the parameter map; {forgotten}"
    return "shown", "they were compared through the parameter map"


def _sharing(check: _Check) -> Answer:
    told = check.failing("parameter.shared")
    return ("not shown", told) if told else ("shown", "by the parameter map, in both directions")


def _regions(check: _Check) -> Answer:
    results = check.regional.regions.results
    open_ = [result for result in results if result.verdict == "not-comparable"]
    if not results and not open_ and _nothing_computed(check):
        return "shown", "neither model computes anything of its inputs"
    if not results or open_:
        return "not shown", f"{len(open_)} of {len(results)} regions could not be compared"
    differ = [result for result in results if result.verdict == "different"]
    if differ:
        return "not shown", f"{len(differ)} of {len(results)} regions differ"
    if _both_recorded(check):
        return "shown", f"{len(results)} regions are the same in both recordings"
    return "shown", f"{len(results)} regions were run on the same values"


def _nothing_computed(check: _Check) -> bool:
    matching = check.regional.weighted.matching
    return not any(
        normal.graph.of_kind("operation") for normal in (matching.first, matching.second)
    )


def _structure(check: _Check) -> Answer:
    for finding in check.findings:
        if finding.phase == "structure" and (finding.fails or finding.verdict == "not-comparable"):
            return "not shown", finding.cause
    left = check.regional.regions.left
    if left:
        return (
            "not shown",
            f"{left} {noun('regions', left)} that would decide were not run: fail_fast",
        )
    return "shown", "numbers decided every difference in structure"


def _beyond(check: _Check, entries: Sequence[Quantity]) -> str:
    """Where regions differ and values of the whole run are beyond the tolerance, that in words;
    beyond it alone may be rounding, which the tolerance's own obligation tells."""
    far = sum(entry.counted and not entry.within for entry in entries)
    differ = any(result.verdict == "different" for result in check.regional.regions.results)
    return f"{far} of {len(entries)} are beyond the tolerance" if far and differ else ""


def _outputs(check: _Check) -> Answer:
    told = check.failing("outputs.")
    if told:
        return "not shown", told
    pairs = [entry for entry in check.whole.quantities if entry.kind == "output"]
    if not pairs:
        return "not shown", "no output of one model could be laid beside one of the other"
    far = _beyond(check, pairs)
    if far:
        return "not shown", far
    how = "of both graphs with shared draws" if check.whole.random else "of both eager runs"
    return "shown", f"{len(pairs)} {noun('outputs', len(pairs))} {how}"


def _gradients(check: _Check) -> Answer:
    if not check.request.options.backward:
        return "not asked", f"diff_phase is {check.request.options.diff_phase!r}"
    told = check.failing("gradient.") or _of_phase(check, "backward")
    if told:
        return "not shown", told
    if check.whole.random:
        return _by_proof(check, "totals of both graphs in float64, with shared draws")
    graded = [entry for entry in check.whole.quantities if entry.kind in ("input", "parameter")]
    if not graded and check.whole.ungraded:
        return "not shown", check.whole.ungraded
    if not graded:
        return "shown", "no gradient arrives on either side"
    far = _beyond(check, graded)
    if far:
        return "not shown", far
    if check.regional.alike:
        return "shown", "totals of both graphs under random cotangents; those of the loss cancel"
    return "shown", f"{len(graded)} totals of the eager runs"


def _updates(check: _Check) -> Answer:
    told = check.failing("statistics.", "buffer.", "state.input")
    if told:
        return "not shown", told
    if check.whole.random:
        return _by_proof(check, "of both graphs in float64, with shared draws")
    buffers = sum(entry.kind == "buffer" for entry in check.whole.quantities)
    sides = check.whole.left
    others = max(len(left.parameters) + len(left.inputs) for left in sides)
    written = f"{buffers} buffers and {others} parameters or inputs"
    return "shown", f"{written} that the eager runs wrote"


def _state(check: _Check) -> Answer:
    told = check.failing("state.")
    if told:
        return "not shown", told
    if check.request.exported:
        return "not asked", "a deployed model keeps nothing between calls"
    kept = check.regional.kept
    if kept is None or kept.unasked:
        return "not shown", "nothing was asked" if kept is None else kept.unasked
    further = f"; {kept.calls} calls in a row agree" if kept.calls > 1 else ""
    if kept.same:
        further = "; what a run leaves behind no result reads, and further calls do the same"
    modes = [finding.cause for finding in check.findings if finding.cause_id == LEFT_MODE]
    if modes:
        return "shown", f"{modes[0]}{further}"
    if not kept.places:
        nothing = "neither run changed an attribute or buffer that the next call could read"
        return "shown", nothing + further
    return "shown", f"{kept.places} places were compared{further}"


def _both_recorded(check: _Check) -> bool:
    return all(map(is_recorded, check.regional.weighted.alignment.engines))


def _loss(check: _Check) -> Answer:
    if check.request.losses is None and _both_recorded(check):
        return "not asked", "of two recordings that of each training step is compared alone"
    if check.request.losses is None:
        return "not asked", "no loss_fn was given"
    told = _of_phase(check, "loss")
    return ("not shown", told) if told else ("shown", "both losses were called on one output")


def _training(check: _Check) -> Answer:
    if check.request.steppers is None:
        return "not asked", "no optimizer was given"
    if check.measured.training is None and _both_recorded(check) and check.whole.random:
        return "not shown", "in each recording's steps the model drew random numbers of its own"
    if check.measured.training is None:
        return "not shown", "no step was taken: fail_fast, and the models differ already"
    for finding in check.findings:
        if finding.phase == "optimizer" and (finding.fails or finding.verdict == "not-comparable"):
            return "not shown", finding.cause
    return "shown", f"{check.request.steps} steps were taken on both sides"


def _tolerance(check: _Check) -> Answer:
    options = check.request.options
    asked = f"atol={options.atol:g}, rtol={options.rtol:g}, {options.compare_mode}"
    if options.tolerances:
        asked += f" ({len(options.tolerances)} of outputs by name)"
    held = check.measured.held()
    if not held:
        return "not shown", "nothing was compared"
    beyond = sum(not quantity.within for quantity, _ in held)
    if not beyond:
        return "shown", f"{len(held)} values within {asked}"
    if options.allow_rounding and _proved(check):
        return "shown", f"{beyond} of {len(held)} values are beyond {asked}, by proved rounding"
    return "not shown", f"{beyond} of {len(held)} values are beyond {asked}"


def _proved(check: _Check) -> bool:
    """Whether what lies beyond the tolerance was proved to be rounding: of values after training
    steps by the band in which two right trainings part."""
    departs = [quantity for quantity, _ in check.measured.of_training() if not quantity.within]
    shown = [finding.verdict for finding in check.findings if finding.phase == "optimizer"]
    if departs and ("rounding" not in shown or "not-comparable" in shown):
        return False
    beyond = [quantity for quantity, _ in check.measured.held() if not quantity.within]
    proof = check.regional.proof
    return len(beyond) == len(departs) if proof is None else not proof.left


def _by_proof(check: _Check, what: str) -> Answer:
    """What was left to the whole graphs in float64."""
    proof = check.regional.proof
    if proof is None and left_out(check.request.scope):
        return "not asked", "the layer map leaves parts of the models out"
    if proof is None:
        return "not shown", "random draws part the eager runs, and other findings come first"
    if proof.reason:
        return "not shown", f"the whole graphs cannot be run with shared draws: {proof.reason}"
    return ("not shown" if proof.left else "shown"), what


def _of_phase(check: _Check, phase: str) -> str:
    for finding in check.findings:
        if finding.phase == phase and finding.fails:
            return finding.cause
    return ""


ANSWERS: dict[str, Callable[[_Check], Answer]] = {
    "captures": _captures,
    "weights": _weights,
    "sharing": _sharing,
    "regions": _regions,
    "structure": _structure,
    "outputs": _outputs,
    "gradients": _gradients,
    "updates": _updates,
    "state": _state,
    "loss": _loss,
    "training": _training,
    "tolerance": _tolerance,
}
"""How each obligation is answered."""
