"""Views of a structural diff and of a suggested LayerMap."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from padiff_graph.report.html_page import candidate_page, diff_page, render_page
from padiff_graph.report.layer_map_candidate import LayerMapCandidate
from padiff_graph.report.report_json import SCHEMA_VERSION, finding_data, parameter_data
from padiff_graph.report.structural_diff_result import StructuralDiff
from padiff_graph.report.terminal import render_finding, render_findings, text_of

__all__ = [
    "candidate_html",
    "candidate_text",
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
    first, second = (side.graph for side in (diff.matching.first, diff.matching.second))
    names = f"{first.modules.get('', 'first model')} ({first.framework}) against {second.modules.get('', 'second model')} ({second.framework})"
    answer = ("BUILT ALIKE", "bold green") if diff.identical else ("BUILT DIFFERENTLY", "bold red")
    matched = sum(
        not diff.matching.first.nodes[match.first].leaf for match in diff.matching.matches
    )
    parts: list[RenderableType] = [
        Text.assemble(answer, f"  {names}"),
        Text(
            f"operations: {len(first.of_kind('operation'))} and {len(second.of_kind('operation'))} as captured; {matched} matched in normal form"
        ),
    ]
    if diff.findings:
        parts += [Text(), render_finding(diff.findings[0], (first.framework, second.framework))]
    if diff.findings[1:]:
        parts += [
            Text(),
            Text(
                f"{len(diff.findings) - 1} more, in the order of the data", style="bold underline"
            ),
            render_findings(diff.findings[1:]),
        ]
    if diff.notes:
        parts += [
            Text(),
            Text("Notes", style="bold underline"),
            *(Text(f"- {note}") for note in diff.notes),
        ]
    return Group(*parts)


def diff_text(diff: StructuralDiff) -> str:
    """The diff as plain text, 80 columns."""
    return text_of(render_diff(diff)).rstrip("\n")


def show(diff: StructuralDiff) -> None:
    """Prints a diff."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(render_diff(diff))
    else:
        print(diff_text(diff))


def render_candidate(candidate: LayerMapCandidate) -> RenderableType:
    """One screen: how sure, the module rows, the parameters that are not plain copies, what is left over."""
    mapped = [row for row in candidate.parameters if row.status == "mapped"]
    proved = sum(row.proved for row in mapped)
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{len(candidate.rows)} module{'s' if len(candidate.rows) != 1 else ''}", "bold"),
            " and ",
            (f"{len(mapped)} of {len(candidate.parameters)} parameters", "bold"),
            f" mapped, {proved} proved by running; confidence {candidate.confidence:.2f}",
        ),
        Text(),
        _table(
            ("first model", "second model", "sure"),
            [
                (row.paddle_path or "(root)", row.torch_path or "(root)", f"{row.confidence:.2f}")
                for row in candidate.rows
            ],
        ),
    ]
    moved = [row for row in mapped if row.transform != "identity"]
    if moved:
        names = [
            row.torch_name if isinstance(row.torch_name, str) else ", ".join(row.torch_name)
            for row in moved
        ]
        rows = [
            (row.paddle_name, name, row.transform) for row, name in zip(moved, names, strict=True)
        ]
        parts += [
            Text(),
            Text("parameters that are not plain copies", style="bold underline"),
            _table(("parameter", "from", "transform"), rows),
        ]
    for title, left in (
        ("first", candidate.unmatched_paddle),
        ("second", candidate.unmatched_torch),
    ):
        if left:
            parts += [
                Text(),
                Text(
                    f"without counterpart in the {title} model: {', '.join(left[:SHOWN])}"
                    + (f" and {len(left) - SHOWN} more" if len(left) > SHOWN else "")
                ),
            ]
    parts += [Text(f"- {note}") for note in candidate.notes]
    return Group(*parts)


def candidate_text(candidate: LayerMapCandidate) -> str:
    """A suggested map as plain text, 80 columns."""
    return text_of(render_candidate(candidate)).rstrip("\n")


def show_candidate(candidate: LayerMapCandidate) -> None:
    """Prints a suggested map."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(render_candidate(candidate))
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
    return _written(json.dumps(content, indent=1, ensure_ascii=False), path)


def to_html(diff: StructuralDiff, path: str | os.PathLike[str] | None = None) -> str:
    """A diff as one HTML page, also written to `path`."""
    return _written(render_page(diff_page(diff)), path)


def candidate_html(candidate: LayerMapCandidate, path: str | os.PathLike[str] | None = None) -> str:
    """A suggested LayerMap as one HTML page, also written to `path`."""
    return _written(render_page(candidate_page(candidate)), path)


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
