"""The result of a check. Terminal, JSON, HTML, pytest and exit codes are views of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from padiff_graph.capture.engine import Engine
from padiff_graph.findings.finding import Finding
from padiff_graph.findings.obligation import Obligation
from padiff_graph.findings.precision_result import PrecisionResult
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.report.compared_tensor import ComparedTensor
from padiff_graph.report.unread_parameter import UnreadParameter

if TYPE_CHECKING:
    from padiff_graph.report.report_diff import ReportDiff
from padiff_graph.report.training_curves import TrainingStep

__all__ = ["Compared", "Report"]


@dataclass(frozen=True)
class Compared:
    """How much was compared. All zero is never a pass."""

    operations: int = 0
    parameters: int = 0
    regions: int = 0
    outputs: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class Report:
    """What `compare` returns.

    Attributes:
        passed: True exactly when something was compared, no finding fails, and every compared value
            is within the tolerance asked for.
        equivalent: whatever the tolerance: True where nothing but proved rounding differs, False
            where the models differ, None where that is not decided.
        findings: what fails first, most upstream first; then what does not fail.
        noise: by compared quantity ("output logits", "gradient of fc.weight") how far the second
            model alone moves, relative to its largest value, when its weights and inputs move by
            one unit in the last place; empty where all is so near that float64 was not asked.
        obligations: what a pass asks for, each shown, not shown or not asked, and by what.
        regions: number of region pairs by verdict ("equal", "rounding", "different",
            "framework-divergence", "framework-defect", "not-comparable").
        parameters: the parameter map.
        required_tolerance: {"rtol": ..., "atol": ...} that the whole run would have needed.
        timings: seconds by step.
        compared: how much was compared.
        tolerance: what was asked for.
        contributions: regions that add most to the tolerance needed, as (paddle path, torch path,
            error).
        depth: error along depth for plots: (order, paddle path, torch path, phase, relative error,
            verdict).
        rounding: of each row of `depth`, how much of the relative error rounding may explain.
        outputs: each compared output: cosine, relative L2, largest difference and its index.
        layers: the same of what each matched layer yields on the same values, in their order.
        notes: what the user should know, in sentences.
        models: (class name of the first, class name of the second), and frameworks.
        matching: both graphs with their correspondence, for views that draw them; None where
            capture failed.
        engines: both models' engines, to rerun regions for a repro; None where capture failed.
        options: the options as given.
        precision: both models in half precision; None where that was not asked.
        training: each step of both trainings, with the band in which two right runs part.
        unread: parameters that neither run reads, with whether both hold the same numbers.
    """

    passed: bool
    findings: tuple[Finding, ...] = ()
    regions: Mapping[str, int] = field(default_factory=dict)
    parameters: tuple[ParameterRow, ...] = ()
    required_tolerance: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    compared: Compared = field(default_factory=Compared)
    tolerance: Mapping[str, float] = field(default_factory=dict)
    contributions: tuple[tuple[str, str, float], ...] = ()
    depth: tuple[tuple[int, str, str, str, float, str], ...] = ()
    notes: tuple[str, ...] = ()
    models: tuple[str, str] = ("", "")
    frameworks: tuple[str, str] = ("paddle", "torch")
    matching: Matching | None = None
    engines: tuple[Engine, Engine] | None = field(default=None, repr=False, compare=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    equivalent: bool | None = None
    noise: Mapping[str, float] = field(default_factory=dict)
    obligations: tuple[Obligation, ...] = ()
    precision: PrecisionResult | None = None
    outputs: tuple[ComparedTensor, ...] = ()
    layers: tuple[ComparedTensor, ...] = ()
    training: tuple[TrainingStep, ...] = ()
    unread: tuple[UnreadParameter, ...] = ()
    rounding: tuple[float, ...] = ()

    @property
    def doubt(self) -> str:
        """Why a check that found no difference did not pass; "" elsewhere.

        "rounding", "the frameworks differ", or "not all could be compared".
        """
        if self.passed or any(finding.fails for finding in self.findings):
            return ""
        verdicts = {finding.verdict for finding in self.findings}
        if "not-comparable" in verdicts:
            return "not all could be compared"
        if "rounding" not in verdicts and verdicts & {"framework-divergence", "framework-defect"}:
            return "the frameworks differ"
        return "rounding"

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        from padiff_graph.report.terminal import render_report, text_of  # loads rich

        return text_of(render_report(self)).rstrip("\n")

    def show(self, numbers: bool = False) -> None:
        """Prints the report on one screen: in colour on a terminal and in a notebook, as plain
        text elsewhere.

        Args:
            numbers: also cosine, relative L2, the largest difference and its index of each output
                and of the layers farthest apart.
        """
        from rich.console import Console

        from padiff_graph.report.terminal import Shown, render_report, text_of

        console = Console(highlight=False)
        if console.is_terminal or console.is_jupyter:
            console.print(Shown(render_report(self, numbers=numbers)))
        else:
            print(text_of(render_report(self, numbers=numbers)).rstrip("\n"))

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as JSON text, also written to `path`.

        Its schema: `padiff_graph.report.report_json.report_schema`.
        """
        from padiff_graph.report.report_json import write_json

        return write_json(self, path)

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as one self-contained HTML file: both graphs side by side."""
        from padiff_graph.report.html_page import write_html

        write_html(self, path)

    def diff(self, earlier: Report | str | os.PathLike[str]) -> ReportDiff:
        """What got better and what got worse since an earlier report: one of this process, or a
        JSON file that `to_json` wrote.

        Findings of both are the same by cause, values and places.

        Raises:
            UsageError: the file holds no report.
        """
        from padiff_graph.report.report_diff import diff_reports, read_report
        from padiff_graph.report.report_json import report_data

        before = report_data(earlier) if isinstance(earlier, Report) else read_report(earlier)
        return diff_reports(before, report_data(self))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from padiff_graph.report.terminal import html_of, render_report

        return html_of(render_report(self))
