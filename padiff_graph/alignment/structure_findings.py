"""Structural differences as findings: one for each cause, most upstream first."""

from __future__ import annotations

from collections.abc import Iterable

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.findings.difference_causes import difference_cause, difference_places
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Difference, Matching

__all__ = ["structure_findings"]

VERDICTS = {
    "attribute": "different",
    "size": "different",
    "missing": "missing",
    "extra": "extra",
    "moved": "different",
    "rewired": "different",
    "differently-built": "suspicious",
    "shared": "different",
}
"""A difference in building alone is no difference in function: numbers decide."""


def structure_findings(
    matching: Matching, differences: Iterable[Difference]
) -> tuple[Finding, ...]:
    """Differences as findings, most upstream first."""
    found = []
    for difference in differences:
        one, other = (
            _node(matching.first, difference.first),
            _node(matching.second, difference.second),
        )
        found.append(
            Finding(
                "structure",
                VERDICTS[difference.kind],  # type: ignore[arg-type]
                difference_cause(difference),
                difference.first_path,
                difference.second_path,
                _operator(matching.first, one),
                _operator(matching.second, other),
                one.source if one is not None else "",
                other.source if other is not None else "",
                places=difference_places(difference, matching),
                advice="built differently; whether it computes the same, numbers decide"
                if difference.kind == "differently-built"
                else "",
                order=_order(matching, one, other),
                frameworks=matching.frameworks,
            )
        )
    return tuple(sorted(found, key=lambda finding: finding.order))


def _node(normal: NormalGraph, nodes: tuple[int, ...]) -> NormalNode | None:
    return normal.nodes[nodes[0]] if nodes else None


def _operator(normal: NormalGraph, node: NormalNode | None) -> str:
    if node is None or not node.native:
        return ""
    return normal.graph.record(node.native[-1]).op


def _order(matching: Matching, one: NormalNode | None, other: NormalNode | None) -> int:
    """Position in the second model's program order; of the nearest matched operation above where
    that side has none."""
    if other is not None:
        return other.id
    if one is None:
        return 0
    partner = matching.partner()
    return max((partner[node] for node in range(one.id) if node in partner), default=0)
