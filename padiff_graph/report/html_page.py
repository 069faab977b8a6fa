"""The report as one HTML file that needs nothing else.

Both graphs side by side, findings, plot, parameter map.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from padiff_graph.alignment.module_rows import module_rows
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.file_writing import write_text
from padiff_graph.report.layer_map_candidate import LayerMapCandidate
from padiff_graph.report.page_data import Page, State, page_data
from padiff_graph.report.report import Report
from padiff_graph.report.structural_diff_result import StructuralDiff
from padiff_graph.report.training_charts import training_charts
from padiff_graph.report.wording import noun

__all__ = ["candidate_page", "diff_page", "render_page", "report_page", "write_html"]

SIGNS = {"passed": "✔", "failed": "✘", "unsure": "?"}
MISSING = 6
"""Modules without counterpart that a fact names; chosen so that it stays one line."""


def write_html(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes a report as one file."""
    write_text(path, render_page(report_page(report)))


def render_page(page: Page) -> str:
    """The page as one self-contained document."""
    environment = Environment(
        loader=PackageLoader("padiff_graph.report"), autoescape=True, undefined=StrictUndefined
    )
    loader = environment.loader
    assert loader is not None
    css, graph, script = (
        Markup(loader.get_source(environment, name)[0])
        for name in ("page.css", "graph.js", "page.js")
    )
    # inside a script element only "</" and "<!--" end or change what is read
    data = json.dumps(page_data(page), separators=(",", ":"), ensure_ascii=False).replace(
        "<", "\\u003c"
    )
    return environment.get_template("page.html").render(
        page=page, mark=SIGNS[page.state], data=Markup(data), css=css, script=graph + script
    )


def report_page(report: Report) -> Page:
    """A check's report as a page."""
    compared = asdict(report.compared)
    something = any(compared[name] for name in ("regions", "outputs", "gradients"))
    state, headline = _answer(report, something)
    counts = ", ".join(f"{count:,} {noun(name, count)}" for name, count in compared.items())
    regions = (f"{count:,} {verdict}" for verdict, count in report.regions.items() if count)
    return Page(
        state=state,
        headline=headline,
        title=_title(report.models, report.frameworks),
        facts=(
            ("compared", counts if something else "nothing"),
            ("regions", ", ".join(regions)),
            ("tolerance asked", _numbers(report.tolerance)),
            ("tolerance needed", _numbers(report.required_tolerance).replace(", ", " or ")),
            ("time", f"{sum(report.timings.values()):.1f} s"),
        ),
        findings=report.findings,
        depth=report.depth,
        rounding=report.rounding,
        numbers=(*report.outputs, *report.layers),
        parameters=report.parameters,
        modules=module_rows(report.matching) if report.matching is not None else (),
        notes=report.notes,
        matching=report.matching,
        frameworks=report.frameworks,
        training=training_charts(report.training, report.frameworks),
        steps=len(report.training),
    )


def _answer(report: Report, something: bool) -> tuple[State, str]:
    """State and headline of a check, which compared something or nothing."""
    if report.passed:
        return "passed", "Aligned"
    if not something:
        return "unsure", "Nothing was compared, so nothing passed"
    doubt = {"": "", "rounding": ", by rounding only"}.get(report.doubt, f": {report.doubt}")
    return "failed", f"Not aligned{doubt}"


def diff_page(diff: StructuralDiff) -> Page:
    """A structural diff as a page."""
    matching = diff.matching
    graphs = (matching.first.graph, matching.second.graph)
    frameworks = (graphs[0].framework, graphs[1].framework)
    count = len(diff.findings)
    headline = f"{count} structural {noun('differences', count)}"
    operations = " | ".join(f"{len(graph.of_kind('operation')):,}" for graph in graphs)
    return Page(
        state="passed" if diff.identical else "failed",
        headline="Built alike" if diff.identical else headline,
        title=_title(_model_names(graphs), frameworks),
        facts=(("operations", operations),),
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
    models, frameworks = ("", ""), ("paddle", "torch")
    if matching is not None:
        graphs = (matching.first.graph, matching.second.graph)
        models, frameworks = _model_names(graphs), (graphs[0].framework, graphs[1].framework)
    missing = (*candidate.unmatched_paddle, *candidate.unmatched_torch)
    headline = f"{len(candidate.rows)} module pairs"
    if missing:
        headline += f", {len(missing)} without counterpart"
    return Page(
        state="unsure" if missing else "passed",
        headline=headline,
        title=_title(models, frameworks),
        facts=(
            ("confidence", f"{candidate.confidence:.2f}"),
            ("parameters", f"{len(candidate.parameters):,}"),
            ("without counterpart", ", ".join(missing[:MISSING]) or "none"),
        ),
        parameters=tuple(entry.row for entry in candidate.parameters),
        modules=candidate.rows,
        notes=candidate.notes,
        matching=matching,
        frameworks=frameworks,
    )


def _model_names(graphs: tuple[ComputationGraph, ComputationGraph]) -> tuple[str, str]:
    return graphs[0].modules.get("", ""), graphs[1].modules.get("", "")


def _title(models: tuple[str, str], frameworks: tuple[str, str]) -> str:
    return " against ".join(
        f"{model or 'model'} ({framework})"
        for model, framework in zip(models, frameworks, strict=True)
    )


def _numbers(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or "-"
