"""The look at half precision, put into the report of a check."""

from __future__ import annotations

from dataclasses import replace

from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.findings.obligation import Obligation
from padiff_graph.precision.lens import Seen, look
from padiff_graph.report.report import Report

__all__ = ["with_half_precision"]

FORWARD = (
    "half precision is looked at forward; gradients are compared in the precision that the models "
    "are given in"
)


def with_half_precision(request: CheckRequest, report: Report, log: CheckLog) -> Report:
    """The report with what half precision shows; as it is where that was not asked.

    The models are looked at with the weights that the check left in them.
    """
    if not request.options.precision:
        return report
    with log.timed("half precision"):
        seen = look(
            request.models,
            request.examples,
            request.options.precision,
            request.scope,
            request.frameworks,
            request.observed,
        )
    shown = seen.result is not None and not any(finding.fails for finding in seen.findings)
    findings = (*report.findings, *seen.findings)
    return replace(
        report,
        obligations=(*report.obligations, *_obligations(seen)),
        passed=report.passed and shown,
        equivalent=False if any(f.fails for f in seen.findings) else report.equivalent,
        findings=tuple(sorted(findings, key=lambda finding: not finding.fails)),
        timings={**report.timings, **log.timings},
        notes=tuple(dict.fromkeys((*report.notes, *seen.notes))),
        precision=seen.result,
    )


def _obligations(seen: Seen) -> tuple[Obligation, Obligation]:
    """What was shown of half precision, and what was not looked at."""
    gradients = Obligation("half gradients", "not asked", FORWARD)
    failing = next((finding.cause for finding in seen.findings if finding.fails), "")
    if failing or seen.result is None:
        return Obligation("half precision", "not shown", failing), gradients
    places = len(seen.result.places)
    by = f"{places} matched operations compute in one precision, or what parts them changes nothing"
    return Obligation("half precision", "shown", by), gradients
