"""A captured graph as a picture: operations in boxes, top to bottom by depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.printable import printable

__all__ = ["node_label", "write_svg"]

WIDTH, HEIGHT, GAP, DROP, BOW = 190, 34, 20, 30, 100
"""Pixels: a box's sides, the space beside and below it, how far an edge may swing out."""
LABEL = 28
"""Letters of a label that fit into a box."""
STYLE = (
    "rect{fill:#eef2ff;stroke:#4f5d95}text{font:11px monospace}"
    "path{fill:none;stroke:#888;marker-end:url(#tip)}"
    "marker path{fill:#888;stroke:none;marker-end:none}"
    ".input rect,.output rect{fill:#e7f6e7;stroke:#3a7a3a}"
)

Place = tuple[float, float]


@dataclass(frozen=True)
class _Layout:
    """Where everything stands.

    Attributes:
        places: left upper corner of each node's box, in pixels.
        depth: the row of each node.
        size: of the picture, in pixels.
    """

    places: Mapping[int, Place]
    depth: Mapping[int, int]
    size: tuple[int, int]


def node_label(record: Node) -> str:
    """A node in a word or two."""
    if record.kind == "operation":
        return record.op.removesuffix(".default")
    if record.name in ("", record.kind):
        return record.kind
    return f"{record.kind} {record.name}"


def write_svg(graph: ComputationGraph, target: Path) -> None:
    """Inputs, operations and outputs; parameters and constants left out."""
    shown = [
        record
        for record in graph.records()
        if record.kind in ("input", "operation", "output") and record.constant is None
    ]
    layout = _layout(shown)
    root = _canvas(*layout.size)
    for record in shown:
        for source in _sources(record, layout.places):
            levels = layout.depth[record.id] - layout.depth[source]
            curve = _curve(layout.places[source], layout.places[record.id], levels)
            ElementTree.SubElement(root, "path", d=curve)
    for record in shown:
        _add_box(root, record, layout.places[record.id], graph)
    ElementTree.ElementTree(root).write(str(target), encoding="unicode")


def _sources(record: Node, known: Mapping[int, object]) -> list[int]:
    """The nodes that an operation reads, each once, of those that are shown."""
    nodes = (value.node for value in record.inputs if value is not None)
    return [node for node in dict.fromkeys(nodes) if node in known]


def _layout(shown: Sequence[Node]) -> _Layout:
    """Rows by depth, each in the middle."""
    depth: dict[int, int] = {}
    rows: dict[int, list[int]] = defaultdict(list)
    for record in shown:
        above = [depth[source] for source in _sources(record, depth)]
        depth[record.id] = 1 + max(above, default=-1)
        rows[depth[record.id]].append(record.id)
    widest = max((len(row) for row in rows.values()), default=1)
    places: dict[int, Place] = {}
    for level, row in rows.items():
        left = GAP + (widest - len(row)) * (WIDTH + GAP) / 2
        for position, node in enumerate(row):
            places[node] = (left + position * (WIDTH + GAP), GAP + level * (HEIGHT + DROP))
    size = (2 * GAP + widest * (WIDTH + GAP) + BOW, 2 * GAP + len(rows) * (HEIGHT + DROP))
    return _Layout(places, depth, size)


def _canvas(width: int, height: int) -> ElementTree.Element:
    """An empty picture, with its style and the tip of its arrows."""
    root = ElementTree.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        width=str(width),
        height=str(height),
        viewBox=f"0 0 {width} {height}",
    )
    ElementTree.SubElement(root, "style").text = STYLE
    marker = ElementTree.SubElement(
        root,
        "marker",
        id="tip",
        viewBox="0 0 8 8",
        refX="8",
        refY="4",
        markerWidth="7",
        markerHeight="7",
        orient="auto",
    )
    ElementTree.SubElement(marker, "path", d="M0 0L8 4L0 8z")
    return root


def _add_box(
    root: ElementTree.Element, record: Node, place: Place, graph: ComputationGraph
) -> None:
    """A node's box: its name and shape, and what else is known when one points at it."""
    x, y = place
    kind = graph.type_of(Value(record.id)) if record.outputs else None
    shape = str(list(kind.shape)) if kind else ""
    attributes = str(dict(record.attrs)) if record.attrs else ""
    details = (record.op or record.name, record.path, record.source, attributes)
    group = ElementTree.SubElement(root, "g", {"class": record.kind})
    ElementTree.SubElement(group, "title").text = printable("\n".join(filter(None, details)))
    ElementTree.SubElement(
        group, "rect", x=str(x), y=str(y), width=str(WIDTH), height=str(HEIGHT), rx="4"
    )
    for line, text in ((14, node_label(record)[:LABEL]), (28, shape)):
        ElementTree.SubElement(group, "text", x=str(x + 6), y=str(y + line)).text = printable(text)


def _curve(source: Place, target: Place, levels: int) -> str:
    """An edge; one that leaves out levels goes round the boxes between, on their right."""
    (sx, sy), (tx, ty) = source, target
    if levels == 1:
        sx, sy, tx = sx + WIDTH / 2, sy + HEIGHT, tx + WIDTH / 2
        return f"M{sx} {sy}C{sx} {sy + DROP / 2} {tx} {ty - DROP / 2} {tx} {ty}"
    sx, sy, tx, ty = sx + WIDTH, sy + HEIGHT / 2, tx + WIDTH, ty + HEIGHT / 2
    bow = max(sx, tx) + min(BOW, 12 * levels)
    return f"M{sx} {sy}C{bow} {sy} {bow} {ty} {tx} {ty}"
