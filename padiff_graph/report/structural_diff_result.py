"""The result of a structural diff. Text, JSON and HTML are views of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Difference, Matching

__all__ = ["StructuralDiff"]


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
        """Whether there is no difference.

        Every operation has its counterpart then, attributes and wiring alike. What is merely built
        differently (a fused operator against its parts) is no difference; numbers decide there.
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
