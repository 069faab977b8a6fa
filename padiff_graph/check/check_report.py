"""The last step: from everything that was found to one verdict and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from padiff_graph.alignment.side_notes import side_notes
from padiff_graph.capture.backend import backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional
from padiff_graph.check.compared_counts import (
    compared,
    contributions,
    depth,
    layers,
    outputs,
    rounding,
)
from padiff_graph.check.end_to_end import WholeCheck, check_whole
from padiff_graph.check.scope import left_out
from padiff_graph.check.shown import noise_floor, obligations, unshown_capture
from padiff_graph.check.verdict import Judgement, Measured, judge, one_cause
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.obligation import Obligation
from padiff_graph.obligations.output_findings import output_findings
from padiff_graph.obligations.output_layouts import with_layouts
from padiff_graph.obligations.remainders import WholeProof
from padiff_graph.report.report import Report
from padiff_graph.sides.recorded_engine import is_recorded
from padiff_graph.sides.recorded_loss import recorded_loss
from padiff_graph.sides.recorded_training import RecordedOptimizer
from padiff_graph.training.losses import Loss, mean_loss
from padiff_graph.training.step_numbers import Leaves
from padiff_graph.training.training_steps import Training, train
from padiff_graph.weights.unread_parameters import unread_note, unread_parameters

__all__ = ["report_on", "report_without_graphs"]

OWN_DRAWS = (
    "training draws other random numbers on each side (dropout): the first side stepped on the "
    "second's gradients, so that clearing, clipping, updates and weights were compared; losses and "
    "running statistics were not"
)
"""What is said of training steps where a model draws random numbers."""
LOOPS_DRAW = (
    "the steps of train_step draw other random numbers on each side (dropout), and what happens "
    "inside of them is theirs: a departure is not told from these draws"
)
"""The same where the steps are the user's own."""


def report_on(request: CheckRequest, regional: Regional, log: CheckLog) -> Report:
    """The losses compared and training steps taken where they were asked for, the verdict, the
    report."""
    weighted, regions, whole = regional.weighted, regional.regions, regional.whole
    assert whole is not None
    alignment, matching = weighted.alignment, weighted.matching
    findings = [*weighted.findings, *regional.findings]
    findings += _outputs(request, whole, regional.proof)
    findings += _losses(request, regional, whole, log)
    findings = with_layouts(findings, whole.answers.layouts)
    complete = _complete(request, regional, findings)
    training = _trained(request, regional, whole, findings, complete, log)
    if training is not None:
        findings += training.findings
    loose = weighted.loose.cause if weighted.loose else None
    measured = Measured(
        request.options,
        whole,
        regions,
        training,
        complete,
        loose,
        request.frameworks,
        regional.proof,
        regional.diverging,
    )
    judgement = judge(measured, one_cause(findings))
    shown = obligations(request, regional, measured, judgement.findings)
    judgement = _conjunction(judgement, shown, request.frameworks)
    first, second = (capture.graph.notes for capture in alignment.captures)
    unread = unread_parameters(alignment)
    return Report(
        passed=judgement.passed,
        equivalent=judgement.equivalent,
        findings=judgement.findings,
        noise=noise_floor(regional.proof),
        obligations=shown,
        training=() if training is None else training.curves,
        regions=regions.counts,
        parameters=matching.parameters,
        required_tolerance=whole.required,
        timings={**alignment.timings, **log.timings},
        compared=compared(matching, regions, whole),
        tolerance=_tolerance(request),
        contributions=contributions(matching, regions),
        depth=depth(matching, regions),
        rounding=rounding(regions),
        outputs=outputs(whole),
        layers=layers(matching, regions),
        notes=_once(
            *request.inputs.notes,
            *alignment.notes,
            *side_notes(first, second),
            *whole.notes,
            *regions.notes,
            *request.notes,
            *log.notes,
            *filter(None, [unread_note(unread, request.frameworks)]),
        ),
        models=request.names,
        frameworks=request.frameworks,
        matching=matching,
        engines=alignment.engines,
        options=request.given,
        unread=unread,
    )


def _conjunction(
    judgement: Judgement, shown: Sequence[Obligation], frameworks: tuple[str, str]
) -> Judgement:
    """The verdict as the conjunction of what a pass asks for: what is not shown is not passed."""
    if not judgement.passed:
        return judgement
    unshown = [entry for entry in shown if entry.status == "not shown"]
    if not unshown:
        return judgement
    findings = [
        Finding(
            "capture",
            "not-comparable",
            Cause.of("obligation.unshown", name=entry.name, meaning=entry.meaning, text=entry.by),
            frameworks=frameworks,
        )
        for entry in unshown
    ]
    return Judgement(False, None, (*judgement.findings, *findings))


def report_without_graphs(request: CheckRequest, error: CaptureError, log: CheckLog) -> Report:
    """What can be said where a model cannot be captured: whether the models run at all, and what
    they return."""
    engines = (
        backend(request.frameworks[0]).engine(request.layer),
        backend(request.frameworks[1]).engine(request.module),
    )
    for engine, example in zip(engines, request.examples, strict=True):
        with engine.quiet():
            # an exception of the user's forward is the user's to see
            engine.forward(example, grad=engine.framework != "onnx")
    first, second = (error.source, "") if error.model is not request.module else ("", error.source)
    finding = Finding(
        "capture",
        "not-comparable",
        Cause.of("capture.refused", text=str(error)),
        paddle_source=first,
        torch_source=second,
        frameworks=request.frameworks,
    )
    whole = None
    if not request.auto_weights:
        with log.timed("whole run"):
            whole = check_whole(
                *engines,
                *request.examples,
                inputs=request.inputs.pairs,
                losses=request.losses.functions if request.losses else None,
                backward=request.options.backward,
                tolerance=request.tolerance,
            )
    measured = Measured(request.options, whole, frameworks=request.frameworks)
    judgement = judge(measured, [finding, *(_outputs(request, whole, None) if whole else ())])
    return Report(
        # whatever agrees: neither regions nor gradients of weights were shown
        passed=False,
        equivalent=False if judgement.equivalent is False else None,
        findings=judgement.findings,
        obligations=(unshown_capture(error),),
        required_tolerance=whole.required if whole else {},
        outputs=outputs(whole),
        timings=log.timings,
        compared=compared(None, None, whole),
        tolerance=_tolerance(request),
        notes=_once(*request.inputs.notes, *(whole.notes if whole else ())),
        models=request.names,
        frameworks=request.frameworks,
        options=request.given,
    )


def _losses(
    request: CheckRequest, regional: Regional, whole: WholeCheck, log: CheckLog
) -> list[Finding]:
    """What the user's losses make of the same output."""
    if request.losses is None:
        return []
    with log.timed("loss"):
        finding = request.losses.compare(regional.weighted.alignment.engines, whole.answers.pairs)
    return [finding] if finding else []


def _outputs(request: CheckRequest, whole: WholeCheck, proof: WholeProof | None) -> list[Finding]:
    """What is to be said of what the models return; nothing where their outputs are left out."""
    if any(request.scope.output_ignored("", side) for side in (0, 1)):
        return []
    findings = output_findings(whole.answers, proof)
    return [replace(finding, frameworks=request.frameworks) for finding in findings]


def _complete(request: CheckRequest, regional: Regional, findings: Sequence[Finding]) -> bool:
    """Whether regions cover everything, the two sides hold the same weights, and nothing failed."""
    results = regional.regions.results
    covered = bool(results) and all(result.verdict != "not-comparable" for result in results)
    return (
        covered
        and not left_out(request.scope)
        and regional.weighted.equal
        and not any(finding.fails for finding in findings)
    )


def _trained(
    request: CheckRequest,
    regional: Regional,
    whole: WholeCheck,
    findings: Sequence[Finding],
    complete: bool,
    log: CheckLog,
) -> Training | None:
    """Steps with the user's optimizers; None where none were asked for, or not any more."""
    explained = any(finding.fails for finding in findings)
    if request.steppers is None or (request.options.fail_fast and explained):
        return None
    alignment = regional.weighted.alignment
    if whole.random and all(map(is_recorded, alignment.engines)):
        return None  # neither can be given the other's gradients
    with log.timed("training"):
        training = train(
            alignment.engines,
            request.steppers,
            request.batches,
            _training_losses(request, whole),
            alignment.matching,
            request.steps,
            request.tolerance,
            request.loops,
            explained=explained,
            proved=complete,
            shared=whole.random,
            leaves=_leaves(request, whole),
        )
    if whole.random:
        log.notes.append(OWN_DRAWS if request.loops is None else LOOPS_DRAW)
    log.notes.extend(training.notes)
    return training


def _leaves(request: CheckRequest, whole: WholeCheck) -> Leaves:
    """Names of inputs and outputs that correspond in the user's own steps; of outputs none where
    both models draw random numbers of their own."""
    pairs = whole.answers.pairs
    # what a loss does with the rows of logits does not depend on what was drawn
    return {
        "batch": request.inputs.pairs,
        "outputs": [] if whole.random else pairs,
        "logits": pairs,
    }


def _training_losses(request: CheckRequest, whole: WholeCheck) -> tuple[Loss, Loss]:
    """The user's losses, else the mean of the outputs that both models have."""
    if request.losses is not None:
        return request.losses.functions
    assert request.steppers is not None
    recorded = [_recorded_loss(stepper.given) for stepper in request.steppers]
    if recorded[0] is not None and recorded[1] is not None:
        return recorded[0], recorded[1]
    outputs = whole.answers.pairs
    first, second = request.frameworks
    return (
        _mean_of(first, {own for own, _ in outputs}),
        _mean_of(second, {own for _, own in outputs}),
    )


def _recorded_loss(optimizer: Any) -> Loss | None:
    """The loss that a training was recorded under; None for one that is not recorded."""
    return recorded_loss(optimizer.model) if isinstance(optimizer, RecordedOptimizer) else None


def _mean_of(framework: str, wanted: set[str]) -> Loss:
    def loss(output: Any) -> Any:
        return mean_loss(output, framework, wanted)

    return loss


def _tolerance(request: CheckRequest) -> dict[str, float]:
    return {"rtol": request.options.rtol, "atol": request.options.atol}


def _once(*notes: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))
