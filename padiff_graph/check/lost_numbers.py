"""Gradients that one framework alone loses: an infinite one that meets a slope of zero.

The root of a ReLU has an infinite slope at zero, where the ReLU has none. One framework multiplies
the two, which is not a number, and the other leaves the gradient out, which is zero. By itself each
part is the same on both sides, so that only the whole runs differ, and in such numbers alone.
"""

from __future__ import annotations

from dataclasses import replace

from padiff_graph.check.carried_values import complete
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.obligations.remainders import Remainder

__all__ = ["excuse_lost"]

FRAMEWORKS = ("framework-divergence", "framework-defect")
REASON = "an infinite gradient that meets a slope of zero is not a number in one framework alone"


def excuse_lost(request: CheckRequest, regional: Regional) -> Regional:
    """The record without gradients that one framework alone loses, where both models are built
    alike, every part agrees, nothing else differs in float64, and no hook changes a gradient.

    Within one framework both sides handle such numbers alike, and a difference is the models' own.
    """
    proof, whole = regional.proof, regional.whole
    if proof is None or whole is None or not proof.lost or any(whole.hooked):
        return regional
    if request.frameworks[0] == request.frameworks[1] or not complete(request, regional):
        return regional
    if not all(map(_harmless, regional.findings)):
        return regional
    lost = proof.lost
    kept = tuple(entry for entry in proof.remainders if entry not in lost)
    findings = regional.findings
    if not any(finding.verdict in FRAMEWORKS for finding in findings):
        findings = (*findings, _finding(lost, request.frameworks))
    names = {(entry.kind, entry.first) for entry in lost}
    return replace(
        regional,
        findings=findings,
        whole=whole.excusing(names, REASON),
        proof=replace(proof, remainders=kept, carried=(*proof.carried, *lost)),
    )


def _harmless(finding: Finding) -> bool:
    """Whether a finding leaves it that both models are built alike."""
    return finding.verdict in FRAMEWORKS or finding.phase == "weights"


def _finding(lost: tuple[Remainder, ...], frameworks: tuple[str, str]) -> Finding:
    first, *others = lost
    cause = Cause.of("framework.lost_gradient", name=first.first, count=first.lost)
    if others:
        cause = replace(cause, facts=(*cause.facts, ("others", len(others))))
    return Finding("backward", "framework-divergence", cause, frameworks=frameworks)
