"""The report as one HTML file that needs nothing else: both graphs side by side, findings, plot, parameter map."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from padiff_graph.alignment.module_rows import module_rows
from padiff_graph.report.layer_map_candidate import LayerMapCandidate
from padiff_graph.report.page_data import Page, page_data
from padiff_graph.report.report import Report
from padiff_graph.report.structural_diff_result import StructuralDiff

__all__ = ["candidate_page", "diff_page", "render_page", "report_page", "write_html"]

SIGNS = {"passed": "✔", "failed": "✘", "unsure": "?"}


def write_html(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes a report as one file."""
    Path(path).write_text(render_page(report_page(report)), encoding="utf-8")


def render_page(page: Page) -> str:
    """The page as one self-contained document."""
    environment = Environment(
        loader=PackageLoader("padiff_graph.report"), autoescape=True, undefined=StrictUndefined
    )
    source = environment.loader.get_source if environment.loader is not None else None
    assert source is not None
    parts = {
        name: Markup(source(environment, file)[0])
        for name, file in (("css", "page.css"), ("script", "page.js"))
    }
    # inside a script element only "</" and "<!--" end or change what is read
    data = json.dumps(page_data(page), separators=(",", ":"), ensure_ascii=False).replace(
        "<", "\\u003c"
    )
    return environment.get_template("page.html").render(
        page=page, mark=SIGNS[page.state], data=Markup(data), **parts
    )


def report_page(report: Report) -> Page:
    """A check's report as a page."""
    compared = asdict(report.compared)
    something = any(compared[name] for name in ("regions", "outputs", "gradients"))
    doubt = {"": "", "rounding": ", by rounding only"}.get(report.doubt, f": {report.doubt}")
    failed = f"Not aligned{doubt}" if something else "Nothing was compared, so nothing passed"
    return Page(
        state="passed" if report.passed else "unsure" if not something else "failed",
        headline="Aligned" if report.passed else failed,
        title=_title(report.models, report.frameworks),
        facts=(
            (
                "compared",
                ", ".join(
                    f"{count:,} {name if count != 1 else name.removesuffix('s')}"
                    for name, count in compared.items()
                )
                if something
                else "nothing",
            ),
            (
                "regions",
                ", ".join(
                    f"{count:,} {verdict}" for verdict, count in report.regions.items() if count
                ),
            ),
            ("tolerance asked", _numbers(report.tolerance)),
            ("tolerance needed", _numbers(report.required_tolerance).replace(", ", " or ")),
            ("time", f"{sum(report.timings.values()):.1f} s"),
        ),
        findings=report.findings,
        depth=report.depth,
        parameters=report.parameters,
        modules=module_rows(report.matching) if report.matching is not None else (),
        notes=report.notes,
        matching=report.matching,
        frameworks=report.frameworks,
    )


def diff_page(diff: StructuralDiff) -> Page:
    """A structural diff as a page."""
    matching = diff.matching
    frameworks = (matching.first.graph.framework, matching.second.graph.framework)
    return Page(
        state="passed" if diff.identical else "failed",
        headline="Built alike"
        if diff.identical
        else f"{len(diff.findings)} structural difference{'s' if len(diff.findings) != 1 else ''}",
        title=_title(
            (matching.first.graph.modules.get("", ""), matching.second.graph.modules.get("", "")),
            frameworks,
        ),
        facts=(
            (
                "operations",
                " | ".join(
                    f"{len(side.graph.of_kind('operation')):,}"
                    for side in (matching.first, matching.second)
                ),
            ),
        ),
        findings=diff.findings,
        parameters=matching.parameters,
        modules=module_rows(matching),
        notes=diff.notes,
        matching=matching,
        frameworks=frameworks,
    )


def candidate_page(candidate: LayerMapCandidate) -> Page:
    """A suggested LayerMap as a page."""
    matching = candidate.matching
    graphs = () if matching is None else (matching.first.graph, matching.second.graph)
    frameworks = (graphs[0].framework, graphs[1].framework) if graphs else ("paddle", "torch")
    missing = len(candidate.unmatched_paddle) + len(candidate.unmatched_torch)
    return Page(
        state="unsure" if missing else "passed",
        headline=f"{len(candidate.rows)} module pairs"
        + (f", {missing} without counterpart" if missing else ""),
        title=_title(
            (graphs[0].modules.get("", ""), graphs[1].modules.get("", "")) if graphs else ("", ""),
            frameworks,
        ),
        facts=(
            ("confidence", f"{candidate.confidence:.2f}"),
            ("parameters", f"{len(candidate.parameters):,}"),
            (
                "without counterpart",
                ", ".join((*candidate.unmatched_paddle, *candidate.unmatched_torch)[:6]) or "none",
            ),
        ),
        parameters=tuple(entry.row for entry in candidate.parameters),
        modules=candidate.rows,
        notes=candidate.notes,
        matching=matching,
        frameworks=frameworks,
    )


def _title(models: tuple[str, str], frameworks: tuple[str, str]) -> str:
    return " against ".join(
        f"{model or 'model'} ({framework})"
        for model, framework in zip(models, frameworks, strict=True)
    )


def _numbers(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or "-"
