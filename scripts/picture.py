"""Draws the report that the README begins with, docs/report.svg, as a terminal shows it."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME

import padiff_graph as pg
from padiff_graph.report.terminal import Shown, render_report
from padiff_graph_examples.resnet_port import buggy

TARGET = Path(__file__).parents[1] / "docs" / "report.svg"
TITLE = "padiff-graph align padiff_graph_examples.resnet_port:buggy"
WIDTH = 84
FONTS = re.compile(r"@font-face \{.*?\}", re.S)
"""Fonts that rich would have fetched from elsewhere; a reader's own monospace serves."""


def draw(report: pg.Report) -> str:
    """The report as an SVG of a terminal."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(Shown(render_report(report)))
    svg = console.export_svg(title=TITLE, theme=DEFAULT_TERMINAL_THEME, unique_id="report")
    lines = FONTS.sub("", svg).replace("Fira Code", "ui-monospace").splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"


if __name__ == "__main__":
    report = pg.compare(*buggy(), options={"rtol": 1e-4, "atol": 1e-6})
    TARGET.write_text(draw(report), encoding="utf-8")
    print(f"written: {TARGET}")
