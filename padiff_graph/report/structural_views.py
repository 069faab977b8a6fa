"""Views of a structural diff and of a suggested LayerMap."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from padiff_graph.file_writing import write_text
from padiff_graph.printable import code_comment, json_text
from padiff_graph.report.html_page import candidate_page, diff_page, render_page
from padiff_graph.report.layer_map_candidate import LayerMapCandidate
from padiff_graph.report.report_json import SCHEMA_VERSION, finding_data, parameter_data
from padiff_graph.report.structural_diff_result import StructuralDiff
from padiff_graph.report.terminal import Shown, render_finding, render_findings, text_of
from padiff_graph.report.wording import cut_short, noun

__all__ = [
    "candidate_headline",
    "candidate_html",
    "candidate_text",
    "diff_headline",
    "diff_text",
    "render_candidate",
    "render_diff",
    "show",
    "show_candidate",
    "to_html",
    "to_json",
]

SHOWN = 20
"""Rows of a table; the saved map holds all."""


def render_diff(diff: StructuralDiff) -> RenderableType:
    """One screen: alike or not, how much, the first difference in full, the rest as a table."""
    matching = diff.matching
    first, second = matching.first.graph, matching.second.graph
    captured = f"{len(first.of_kind('operation'))} and {len(second.of_kind('operation'))}"
    matched = sum(not matching.first.nodes[match.first].leaf for match in matching.matches)
    parts: list[RenderableType] = [
        diff_headline(diff),
        Text(f"operations: {captured} as captured; {matched} matched in normal form"),
    ]
    if diff.findings:
        parts += [Text(), render_finding(diff.findings[0], (first.framework, second.framework))]
    rest = diff.findings[1:]
    if rest:
        heading = _heading(f"{len(rest)} more, in the order of the data")
        parts += [Text(), heading, render_findings(rest)]
    if diff.notes:
        parts += [Text(), _heading("Notes"), *(Text(f"- {note}") for note in diff.notes)]
    return Group(*parts)


def diff_headline(diff: StructuralDiff) -> Text:
    """The answer in a line: alike or not, and which models."""
    names = " against ".join(
        f"{code_comment(graph.modules.get('', f'{which} model'))} ({graph.framework})"
        for graph, which in (
            (diff.matching.first.graph, "first"),
            (diff.matching.second.graph, "second"),
        )
    )
    answer = ("BUILT ALIKE", "bold green") if diff.identical else ("BUILT DIFFERENTLY", "bold red")
    return Text.assemble(answer, f"  {names}")


def diff_text(diff: StructuralDiff) -> str:
    """The diff as plain text, 80 columns."""
    return text_of(render_diff(diff)).rstrip("\n")


def show(diff: StructuralDiff) -> None:
    """Prints a diff."""
    console = Console(highlight=False)
    if console.is_terminal or console.is_jupyter:
        console.print(Shown(render_diff(diff)))
    else:
        print(diff_text(diff))


def candidate_headline(candidate: LayerMapCandidate) -> Text:
    """The answer in a line: how much is mapped, and how sure it is."""
    mapped = [row for row in candidate.parameters if row.status == "mapped"]
    proved = sum(row.proved for row in mapped)
    modules = len(candidate.rows)
    return Text.assemble(
        (f"{modules} {noun('modules', modules)}", "bold"),
        " and ",
        (f"{len(mapped)} of {len(candidate.parameters)} parameters", "bold"),
        f" mapped, {proved} proved by running; confidence {candidate.confidence:.2f}",
    )


def render_candidate(candidate: LayerMapCandidate) -> RenderableType:
    """One screen: how sure, module rows, parameters that are not plain copies, what is left."""
    mapped = [row for row in candidate.parameters if row.status == "mapped"]
    pairs = [
        (row.paddle_path or "(root)", row.torch_path or "(root)", f"{row.confidence:.2f}")
        for row in candidate.rows
    ]
    parts: list[RenderableType] = [
        candidate_headline(candidate),
        Text(),
        _table(("first model", "second model", "sure"), pairs),
    ]
    moved = [
        (row.paddle_name, _joined(row.torch_name), row.transform)
        for row in mapped
        if row.transform != "identity"
    ]
    if moved:
        heading = _heading("parameters that are not plain copies")
        parts += [Text(), heading, _table(("parameter", "from", "transform"), moved)]
    for which, unmatched in (
        ("first", candidate.unmatched_paddle),
        ("second", candidate.unmatched_torch),
    ):
        if unmatched:
            names = cut_short(unmatched, SHOWN)
            parts += [Text(), Text(f"without counterpart in the {which} model: {names}")]
    if candidate.notes:
        parts += [Text(), _heading("Notes"), *(Text(f"- {note}") for note in candidate.notes)]
    return Group(*parts)


def _joined(names: str | tuple[str, ...]) -> str:
    return names if isinstance(names, str) else ", ".join(names)


def _heading(text: str) -> Text:
    return Text(text, style="bold underline")


def candidate_text(candidate: LayerMapCandidate) -> str:
    """A suggested map as plain text, 80 columns."""
    return text_of(render_candidate(candidate)).rstrip("\n")


def show_candidate(candidate: LayerMapCandidate) -> None:
    """Prints a suggested map."""
    console = Console(highlight=False)
    if console.is_terminal or console.is_jupyter:
        console.print(Shown(render_candidate(candidate)))
    else:
        print(candidate_text(candidate))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(*head, box=None, pad_edge=False)
    for row in rows[:SHOWN]:
        table.add_row(*row)
    if len(rows) > SHOWN:
        table.add_row(f"... and {len(rows) - SHOWN} more", *[""] * (len(head) - 1))
    return table


def to_json(diff: StructuralDiff, path: str | os.PathLike[str] | None = None) -> str:
    """A diff as JSON text, also written to `path`; findings as in a report's JSON."""
    matching = diff.matching
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "identical": diff.identical,
        "models": [side.graph.modules.get("", "") for side in (matching.first, matching.second)],
        "frameworks": [side.graph.framework for side in (matching.first, matching.second)],
        "findings": [finding_data(finding) for finding in diff.findings],
        "parameters": [parameter_data(row) for row in matching.parameters],
        "notes": list(diff.notes),
    }
    return _written(json_text(content), path)


def to_html(diff: StructuralDiff, path: str | os.PathLike[str] | None = None) -> str:
    """A diff as one HTML page, also written to `path`."""
    return _written(render_page(diff_page(diff)), path)


def candidate_html(candidate: LayerMapCandidate, path: str | os.PathLike[str] | None = None) -> str:
    """A suggested LayerMap as one HTML page, also written to `path`."""
    return _written(render_page(candidate_page(candidate)), path)


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        write_text(path, text)
    return text
