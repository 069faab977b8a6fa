"""Cosine, relative L2, the largest difference and its index, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from padiff_graph.report.compared_tensor import ComparedTensor
from padiff_graph.report.report import Report

__all__ = ["cosine_text", "index_text", "render_numbers"]

SHOWN = 20
"""Rows of a table, the farthest apart where there are more; chosen so that it stays one screen."""
TITLES = ("cosine", "rel. L2", "largest", "at")


def render_numbers(report: Report) -> RenderableType:
    """Outputs of the whole run, and layers on the same values."""
    parts: list[RenderableType] = []
    if report.outputs:
        parts += [Text("Outputs", style="bold underline"), _table(report.outputs)]
    if report.layers:
        heading = "Layers, each on the same values on both sides"
        if len(report.layers) > SHOWN:
            heading += f"; the {SHOWN} farthest apart of {len(report.layers)}"
        parts += [Text(heading, style="bold underline"), _table(_farthest(report.layers))]
    return Group(*parts)


def _farthest(tensors: Sequence[ComparedTensor]) -> list[ComparedTensor]:
    """Some that are farthest apart, in their own order."""
    ranked = sorted(range(len(tensors)), key=lambda place: -tensors[place].relative_l2)
    return [tensors[place] for place in sorted(ranked[:SHOWN])]


def _table(tensors: Sequence[ComparedTensor]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", ratio=1, overflow="fold")
    for title in TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    for tensor in tensors:
        names = tensor.first or "(root)"
        if tensor.second != tensor.first:
            names += f" | {tensor.second or '(root)'}"
        beyond = tensor.verdict in ("beyond", "different")
        table.add_row(
            Text(names, style="red" if beyond else ""),
            cosine_text(tensor.cosine),
            f"{tensor.relative_l2:.2g}",
            f"{tensor.error:.2g}",
            index_text(tensor),
        )
    return Padding(table, (0, 0, 0, 2))


def cosine_text(cosine: float | None) -> str:
    """Six digits; a dash where there is no angle. What is below one is never rounded to it."""
    if cosine is None:
        return "-"
    text = f"{cosine:.6f}"
    return "<1.000000" if text == "1.000000" and cosine < 1 - 1e-12 else text


def index_text(tensor: ComparedTensor) -> str:
    """Where the largest difference is; "" where nothing differs."""
    return str(list(tensor.index)) if tensor.error and tensor.index else ""
