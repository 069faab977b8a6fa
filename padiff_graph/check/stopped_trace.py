"""Help with a model without numbers whose forward cannot be traced to its end: the place is named,
and the part before it is matched with the other model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from padiff_graph.alignment.align import align
from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.correspondence import ResolvedMap
from padiff_graph.alignment.structure_findings import structure_findings
from padiff_graph.capture.backend import framework_of
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.check.stopped_check import NOTHING_RAN, goes_on, stop_of, stopped_at
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.stopped_model import ATTRIBUTE, StoppedModel
from padiff_graph.report.stopped_text import stopped_text
from padiff_graph.request.inputs import check_pair
from padiff_graph.request.module_tree import class_of

__all__ = ["tell_where_the_trace_stopped"]

LOG = logging.getLogger(__name__)
NEEDS_NUMBERS = "it cannot be captured by shapes alone; a model with numbers has it compared"
SETTING = "attribute."
"""How the causes begin that hold of matched operations whatever stands behind them."""


def tell_where_the_trace_stopped(
    error: CaptureError, models: tuple[Any, Any], example_inp: Any, resolved: ResolvedMap
) -> None:
    """Notes on a failed capture where the trace stopped inside the forward; nothing where the
    capture names another line.

    Args:
        error: of the capture; it gets what `stopped_model` reads, and a note for its traceback
            (Python 3.11 on).
        models: the first and the second; as before afterwards.
        example_inp: an example of each.
        resolved: what the user knows.
    """
    with ExitStack() as stack:
        try:
            told = _told(stack, error, models, example_inp, resolved)
        except Exception as again:  # whatever the user's code raises when it is traced once more
            LOG.info("the trace that raised could not be repeated", exc_info=again)
            return
    if told is None:
        return
    setattr(error, ATTRIBUTE, told)
    if hasattr(error, "add_note"):
        error.add_note(stopped_text(told))


def _told(
    stack: ExitStack,
    error: CaptureError,
    models: tuple[Any, Any],
    example_inp: Any,
    resolved: ResolvedMap,
) -> StoppedModel | None:
    frameworks = framework_of(models[0]), framework_of(models[1])
    examples: tuple[Mapping[str, Any], Mapping[str, Any]] = check_pair(example_inp, frameworks)
    for number, own in enumerate(zip(models, examples, frameworks, strict=True)):
        stop = stop_of(stack, *own, numbers=False)
        if stop is None:
            continue
        names = class_of(models[0]), class_of(models[1])
        told = replace(stopped_at(names, frameworks, number, stop), traced=True)
        if told.source != error.source:
            return None
        if not stop["computed"]:
            return replace(told, unasked=NOTHING_RAN)
        try:
            alignment = align(*models, examples, resolved, certify=False)
        except CaptureError as part:  # torch.export keeps no track of calls that are broken off
            LOG.info("the part before could not be captured", exc_info=part)
            return replace(told, unasked=NEEDS_NUMBERS)
        return _with_part(told, number, alignment)
    return None


def _with_part(told: StoppedModel, number: int, alignment: Alignment) -> StoppedModel:
    matching = alignment.matching
    operations = [match for match in matching.matches if not matching.first.nodes[match.first].leaf]
    findings = structure_findings(matching, alignment.differences)
    return replace(
        told,
        beside=goes_on(matching, number),
        matched=len(operations),
        findings=tuple(finding for finding in findings if _holds(finding)),
    )


def _holds(finding: Finding) -> bool:
    return finding.verdict == "different" and finding.cause_id.startswith(SETTING)
