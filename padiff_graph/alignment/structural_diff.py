"""structural_diff: where two models are built differently, without their weights."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.alignment.align import Alignment, align
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Difference, Matching

__all__ = ["StructuralDiff", "structural_diff", "structure_findings"]

VERDICTS = {
    "attribute": "different",
    "missing": "missing",
    "extra": "extra",
    "moved": "different",
    "rewired": "different",
    "differently-built": "suspicious",
}
"""A difference in building alone is no difference in function: numbers decide."""


@dataclass(frozen=True)
class StructuralDiff:
    """What `structural_diff` returns.

    Attributes:
        findings: one for each cause, most upstream first.
        differences: the same in terms of the normal forms.
        matching: both graphs with their correspondence.
        notes: what the user should know, in sentences.
    """

    findings: tuple[Finding, ...]
    differences: tuple[Difference, ...]
    matching: Matching = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether there is no difference: every operation has its counterpart, attributes and wiring alike.

        What is merely built differently (a fused operator against its parts) is no difference; numbers decide there.
        """
        return not any(finding.fails for finding in self.findings)

    def __bool__(self) -> bool:
        return self.identical

    def __str__(self) -> str:
        from padiff_graph.report.structural_views import diff_text

        return diff_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from padiff_graph.report.structural_views import render_diff
        from padiff_graph.report.terminal import html_of

        return html_of(render_diff(self))

    def show(self) -> None:
        """Prints it."""
        from padiff_graph.report.structural_views import show  # views are only needed to show

        show(self)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """As JSON text; also written to `path` where given."""
        from padiff_graph.report.structural_views import to_json

        return to_json(self, path)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """As one HTML page; also written to `path` where given."""
        from padiff_graph.report.structural_views import to_html

        return to_html(self, path)


@one_at_a_time
def structural_diff(
    layer: Any, module: Any, example_inp: Any = None, layer_map: Any = None
) -> StructuralDiff:
    """Compares how two models are built.

    Weights are not needed: models on the meta device or under LazyGuard will do, and shapes in place
    of values (torch meta tensors, paddle.static.InputSpec).

    Args:
        layer, module: the two models; neither is changed.
        example_inp: (paddle_input, torch_input).
        layer_map: what the user knows about the correspondence.
    Raises:
        CaptureError: where a model cannot be captured.
    """
    alignment = align(layer, module, example_inp, layer_map, certify=False)
    found = structure_findings(alignment.matching, alignment.differences)
    kept = tuple(finding for finding in found if not _left_out(alignment, finding))
    return StructuralDiff(
        kept, alignment.differences, alignment.matching, tuple(dict.fromkeys(alignment.notes))
    )


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
        places = [(difference.first_path, difference.second_path)]
        for mine, theirs in difference.places:
            place = (
                matching.first.nodes[mine].path if mine >= 0 else difference.first_path,
                matching.second.nodes[theirs].path if theirs >= 0 else difference.second_path,
            )
            if place not in places:
                places.append(place)
        found.append(
            Finding(
                "structure",
                VERDICTS[difference.kind],  # type: ignore[arg-type]
                difference.cause,
                difference.first_path,
                difference.second_path,
                _operator(matching.first, one),
                _operator(matching.second, other),
                one.source if one is not None else "",
                other.source if other is not None else "",
                places=tuple(places),
                advice="built differently; whether it computes the same, numbers decide"
                if difference.kind == "differently-built"
                else "",
                order=_order(matching, one, other),
            )
        )
    return tuple(sorted(found, key=lambda finding: finding.order))


def _left_out(alignment: Alignment, finding: Finding) -> bool:
    """Whether the user's LayerMap leaves the place out, or compares it at an output only."""
    resolved = alignment.resolved
    if resolved.ignored(finding.paddle_path, 0) or (
        finding.torch_path and resolved.ignored(finding.torch_path, 1)
    ):
        return True
    return resolved.pair_around(finding.paddle_path, 0) is not None


def _node(normal: NormalGraph, nodes: tuple[int, ...]) -> NormalNode | None:
    return normal.nodes[nodes[0]] if nodes else None


def _operator(normal: NormalGraph, node: NormalNode | None) -> str:
    if node is None or not node.native:
        return ""
    return normal.graph.record(node.native[-1]).op


def _order(matching: Matching, one: NormalNode | None, other: NormalNode | None) -> int:
    """Position in the second model's program order; of the nearest matched operation above where that side has none."""
    if other is not None:
        return other.id
    if one is None:
        return 0
    partner = matching.partner()
    return max((partner[node] for node in range(one.id) if node in partner), default=0)
