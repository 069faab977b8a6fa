"""Findings of one cause at several places become one, at the most upstream place."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace

from padiff_graph.findings.finding import Finding

__all__ = ["merged", "not_told"]


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Equal causes in one finding, most upstream first.

    Causes are equal by what they are, the operators that they stand at, and the phase and verdict;
    numbers and places may differ. Where nothing is known of a difference but that there is one,
    equal words are no sign of one cause, and the findings stay apart.
    """
    kept: dict[Hashable, Finding] = {}
    for finding in sorted(findings, key=lambda finding: finding.order):
        key: Hashable = id(finding)
        if not (finding.verdict == "different" and _unexplained(finding)):
            key = _likeness(finding)
        kept[key] = _joined(kept[key], finding) if key in kept else finding
    return list(kept.values())


def not_told(findings: Iterable[Finding], told: Iterable[Finding]) -> list[Finding]:
    """The findings of another look at the same models whose cause the first look did not tell at
    these operators; what they measure is another number with other weights."""
    known = list(told)
    likenesses = {(_likeness(finding), finding.places) for finding in known}
    return [
        finding
        for finding in findings
        if finding not in known and (_likeness(finding), finding.places) not in likenesses
    ]


def _unexplained(finding: Finding) -> bool:
    """Whether a difference is all that is known: the numbers show nothing of it."""
    last = (finding.reason, *finding.reason.further)[-1]
    return last.kind == "values.differ" and last.seen is None


def _likeness(finding: Finding) -> Hashable:
    ops = finding.paddle_op, finding.torch_op
    return finding.phase, finding.verdict, ops, finding.reason.likeness


def _joined(known: Finding, same: Finding) -> Finding:
    return replace(
        known,
        places=tuple(dict.fromkeys((*known.places, *same.places))),
        error=max(known.error, same.error),
        relative=max(known.relative, same.relative),
    )
