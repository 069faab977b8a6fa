"""The look at half precision, put into the report of a check."""

from __future__ import annotations

from dataclasses import replace

from padiff_graph.capture.backend import backend
from padiff_graph.capture.late_weights import late_model
from padiff_graph.capture.remote.handles import AbsentModel
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.findings.obligation import Obligation
from padiff_graph.precision.lens import Seen, look
from padiff_graph.precision.stand_ins import Loss
from padiff_graph.report.report import Report

__all__ = ["with_half_precision"]

FORWARD = "diff_phase leaves gradients out"
NO_GRADIENTS = "nothing that the models hand out leads to a gradient"
NOTHING_RUN = "the models could not be run in half precision"


def with_half_precision(request: CheckRequest, report: Report, log: CheckLog) -> Report:
    """The report with what half precision shows; as it is where that was neither asked nor both
    models are given in one.

    The models are looked at with the weights that the check left in them.
    """
    precision = request.options.precision or _given(request)
    if not precision:
        return report
    with log.timed("half precision"):
        seen = look(
            request.models,
            request.examples,
            precision,
            request.scope,
            request.frameworks,
            request.observed,
            request.options.backward,
            _losses(request, report),
        )
    if seen.result is None and not request.options.precision:
        # the models have been run as they are given: what they compute was compared
        notes = [f"casts were not compared: {finding.cause}" for finding in seen.findings]
        return replace(report, notes=tuple(dict.fromkeys((*report.notes, *notes))))
    obligations = _half(seen), _gradients(seen)
    shown = all(obligation.status != "not shown" for obligation in obligations)
    findings = (*report.findings, *seen.findings)
    return replace(
        report,
        obligations=(*report.obligations, *obligations),
        passed=report.passed and shown,
        equivalent=False if any(f.fails for f in seen.findings) else report.equivalent,
        findings=tuple(sorted(findings, key=lambda finding: not finding.fails)),
        timings={**report.timings, **log.timings},
        notes=tuple(dict.fromkeys((*report.notes, *seen.notes))),
        precision=seen.result,
    )


def _given(request: CheckRequest) -> str:
    """The half precision in which both models are given, here and with their weights; "" else."""
    held = set()
    for framework, model in zip(request.frameworks, request.models, strict=True):
        stand_in = None
        if not isinstance(model, (AbsentModel, str)) and late_model(model) is None:
            stand_in = backend(framework).stand_in
        held.add(stand_in.given(model) if stand_in else "")
    return held.pop() if len(held) == 1 else ""


def _losses(request: CheckRequest, report: Report) -> tuple[Loss, Loss] | None:
    """Both losses; none where they are known to differ: their casts are no difference of their own
    then."""
    differ = any(finding.phase == "loss" and finding.fails for finding in report.findings)
    return None if request.losses is None or differ else request.losses.given


def _half(seen: Seen) -> Obligation:
    """What was shown of the values."""
    failing = next((f.cause for f in seen.findings if f.fails and f.phase != "backward"), "")
    if failing or seen.result is None:
        return Obligation("half precision", "not shown", failing)
    places = len(seen.result.places)
    by = f"{places} matched operations compute in one precision, or what parts them changes nothing"
    return Obligation("half precision", "shown", by)


def _gradients(seen: Seen) -> Obligation:
    """What was shown of the gradients."""
    name, look_back = "half gradients", seen.gradients
    failing = next((f.cause for f in seen.findings if f.fails and f.phase == "backward"), "")
    if seen.result is None:
        return Obligation(name, "not shown", NOTHING_RUN)
    if look_back is None:
        return Obligation(name, "not asked", FORWARD)
    if failing or look_back.refused:
        return Obligation(name, "not shown", failing or look_back.refused)
    if not any(look_back.asked):
        return Obligation(name, "not asked", NO_GRADIENTS)
    first, second = look_back.asked
    loss = "" if seen.result.loss is None else " and from the loss"
    by = (
        f"{first} gradients of the first model and {second} of the second, each rounded on its "
        f"way, under random cotangents{loss}: no cast that changes no value changes one of them, "
        "and none leaves the range on one side only"
    )
    return Obligation(name, "shown", by)
