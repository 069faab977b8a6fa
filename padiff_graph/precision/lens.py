"""Two models looked at in half precision: findings about casts, and the errors in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from padiff_graph.alignment.correspondence import ResolvedMap
from padiff_graph.capture.autocast import low_name
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.precision_result import PrecisionResult
from padiff_graph.matching.result import Matching
from padiff_graph.precision.band import output_errors, place_errors, truths
from padiff_graph.precision.gradients import GradientLook, look_at_gradients
from padiff_graph.precision.groups import grouped
from padiff_graph.precision.observation import with_observed
from padiff_graph.precision.precision_findings import (
    cast_findings,
    constant_findings,
    output_findings,
    range_findings,
)
from padiff_graph.precision.profiles import Reading, parted
from padiff_graph.precision.same_readers import with_same_readers
from padiff_graph.precision.stand_ins import Loss, StandIns, capture_stand_ins
from padiff_graph.precision.tables import table_findings
from padiff_graph.precision.trials import Trial
from padiff_graph.request.saved_outputs import SavedOutputs

__all__ = ["Seen", "look"]

LOSS_LEFT_OUT = "the losses were not looked at in {precision}, the models alone were: {error}"
DRAWN = (
    "random operations draw other numbers on each side, so that half precision was compared in its"
    " casts alone: compare in eval mode too"
)


@dataclass(frozen=True)
class Seen:
    """What the look showed.

    Attributes:
        findings: about precision, most upstream first.
        result: errors in numbers; None where nothing could be run.
        notes: what the user should know, in sentences.
        gradients: what was seen of them; None where they were not asked or nothing could be run.
    """

    findings: tuple[Finding, ...] = ()
    result: PrecisionResult | None = None
    notes: tuple[str, ...] = ()
    gradients: GradientLook | None = None


def look(
    models: tuple[Any, Any],
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    precision: str,
    resolved: ResolvedMap,
    frameworks: tuple[str, str],
    observed: float | SavedOutputs | None = None,
    backward: bool = True,
    losses: tuple[Loss, Loss] | None = None,
) -> Seen:
    """Compares both models in half precision; neither is changed.

    Args:
        models, examples: of the first and the second side, with the weights to be compared.
        precision: "bfloat16" or "float16"; with "autocast-" before it both models run in float32
            under autocast.
        resolved: what the user knows of the correspondence.
        frameworks: of both.
        observed: what the user saw between two runs: the largest absolute difference of an
            output, or the outputs themselves.
        backward: whether gradients are looked at too.
        losses: of both models' outputs, looked at behind them; None for none.
    """

    def seen_with(both: tuple[Loss, Loss] | None) -> Seen:
        stand_ins = capture_stand_ins(models, examples, precision, resolved, both)
        return _seen(stand_ins, precision, observed, backward)

    said: tuple[str, ...] = ()
    if losses is not None:
        try:
            return _of(seen_with(losses), frameworks)
        except Exception as error:  # a user's loss may do what no capture follows
            said = (LOSS_LEFT_OUT.format(precision=precision, error=error),)
    try:
        seen = seen_with(None)
    except (CaptureError, NotRunnable) as error:
        cause = Cause.of("precision.not_shown", precision=precision, text=str(error))
        return Seen((Finding("capture", "not-comparable", cause, frameworks=frameworks),))
    return _of(replace(seen, notes=(*said, *seen.notes)), frameworks)


def _of(seen: Seen, frameworks: tuple[str, str]) -> Seen:
    found = tuple(replace(finding, frameworks=frameworks) for finding in seen.findings)
    return replace(seen, findings=found)


def _seen(
    stand_ins: StandIns, precision: str, observed: float | SavedOutputs | None, backward: bool
) -> Seen:
    matching = with_same_readers(stand_ins.matching)
    first, second = stand_ins.sides
    readings = Reading(first, matching.first), Reading(second, matching.second)
    groups = grouped(parted(matching, readings), matching)
    trial = Trial(matching, readings, low_name(precision))
    casts = cast_findings(trial, groups)
    truth = truths(trial)
    told = [*casts.findings, *constant_findings(trial), *table_findings(trial, casts.nodes)]
    told += range_findings(trial, truth)
    told += output_findings(trial, casts.nodes)
    gradients = look_at_gradients(trial, casts.silent) if backward else None
    told += gradients.findings if gradients else ()
    if gradients and gradients.refused:
        text = f"gradients: {gradients.refused}"
        cause = Cause.of("precision.not_shown", precision=precision, text=text)
        told.append(Finding("backward", "not-comparable", cause))
    outputs, largest, said = with_observed(output_errors(trial, truth, trial.outputs), observed)
    losses = output_errors(trial, truth, trial.losses)
    result = PrecisionResult(
        precision,
        outputs,
        place_errors(trial, truth, matching),
        gradients.errors if gradients else (),
        casts.closest,
        largest,
        losses[0] if losses else None,
    )
    notes = (*said, DRAWN) if _draws(matching) else said
    return Seen(tuple(sorted(told, key=lambda finding: finding.order)), result, notes, gradients)


def _draws(matching: Matching) -> bool:
    return any(
        "random" in node.marks
        for normal in (matching.first, matching.second)
        for node in normal.graph.records()
    )
