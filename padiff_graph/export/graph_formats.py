"""A captured graph in other tools' formats."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx

from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.graph import ComputationGraph, Node, Value

__all__ = ["GRAPH_SCHEMA_VERSION", "WRITERS", "graph_json", "write_graph"]

GRAPH_SCHEMA_VERSION = 1


def write_graph(graph: ComputationGraph, path: str | os.PathLike[str]) -> Path:
    """Writes a captured graph; the suffix says in which format.

    Raises:
        ValueError: a suffix that is none of `WRITERS`.
    """
    target = Path(path)
    if target.suffix not in WRITERS:
        raise ValueError(f"expected a file that ends in {', '.join(WRITERS)}; found {target.name}")
    WRITERS[target.suffix](graph, target)
    return target


def graph_json(graph: ComputationGraph) -> dict[str, Any]:
    """The graph as plain data: modules, parameters, nodes with ordered operands, notes."""
    return {
        "schema_version": GRAPH_SCHEMA_VERSION,
        "framework": graph.framework,
        "training": graph.training,
        "modules": graph.modules,
        "parameters": [
            {
                "name": info.name,
                "shape": info.type.shape,
                "dtype": info.type.dtype,
                "aliases": info.aliases,
                "buffer": info.buffer,
            }
            for info in graph.parameters.values()
        ],
        "notes": list(graph.notes),
        "nodes": [
            {
                "id": record.id,
                "kind": record.kind,
                "op": record.op,
                "name": record.name,
                "inputs": [None if value is None else list(value) for value in record.inputs],
                "roles": record.roles,
                "attrs": {key: _plain(value) for key, value in record.attrs.items()},
                "outputs": [
                    None if kind is None else {"shape": kind.shape, "dtype": kind.dtype}
                    for kind in record.outputs
                ],
                "path": record.path,
                "call": record.call,
                "source": record.source,
                "marks": sorted(record.marks),
            }
            for record in graph.records()
        ],
    }


def _label(record: Node) -> str:
    if record.kind == "operation":
        return record.op.removesuffix(".default")
    return record.kind if record.name in ("", record.kind) else f"{record.kind} {record.name}"


def _plain(value: Any) -> Any:
    """An attribute as JSON can hold it."""
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if (
        value is None
        or isinstance(value, (bool, int, str))
        or (isinstance(value, float) and abs(value) < float("inf"))
    ):
        return value
    return str(value)


def _json(graph: ComputationGraph, target: Path) -> None:
    target.write_text(json.dumps(graph_json(graph), indent=1))


def _graphml(graph: ComputationGraph, target: Path) -> None:
    """GraphML holds scalars only: everything else goes as text."""
    plain: nx.MultiDiGraph[Any] = nx.MultiDiGraph()
    for record in graph.records():
        facts = {
            "label": _label(record),
            "kind": record.kind,
            "op": record.op,
            "name": record.name,
            "path": record.path,
            "source": record.source,
            "attrs": json.dumps({key: _plain(value) for key, value in record.attrs.items()}),
        }
        kind = record.outputs[0] if record.outputs else None
        plain.add_node(
            record.id,
            **facts,
            shape=str(list(kind.shape)) if kind else "",
            dtype=kind.dtype if kind else "",
        )
        for position, value in enumerate(record.inputs):
            if value is not None:
                plain.add_edge(
                    value.node,
                    record.id,
                    output=value.output,
                    operand=position,
                    role=record.roles[position] if position < len(record.roles) else "",
                )
    nx.write_graphml(plain, str(target))


def _onnx(graph: ComputationGraph, target: Path) -> None:
    needed(backend("onnx").export)(graph, target)


WIDTH, HEIGHT, GAP, DROP, BOW = 190, 34, 20, 30, 100


def _svg(graph: ComputationGraph, target: Path) -> None:
    """Inputs, operations and outputs, top to bottom by depth; parameters and constants left out."""
    shown = [
        record
        for record in graph.records()
        if record.kind in ("input", "operation", "output") and record.constant is None
    ]
    depth: dict[int, int] = {}
    rows: dict[int, list[Node]] = defaultdict(list)
    for record in shown:
        depth[record.id] = 1 + max(
            (
                depth[value.node]
                for value in record.inputs
                if value is not None and value.node in depth
            ),
            default=-1,
        )
        rows[depth[record.id]].append(record)
    widest = max((len(row) for row in rows.values()), default=1)
    place: dict[int, tuple[float, float]] = {}
    for level, row in rows.items():
        left = (widest - len(row)) * (WIDTH + GAP) / 2
        for position, record in enumerate(row):
            place[record.id] = (
                GAP + left + position * (WIDTH + GAP),
                GAP + level * (HEIGHT + DROP),
            )
    size = (2 * GAP + widest * (WIDTH + GAP) + BOW, 2 * GAP + len(rows) * (HEIGHT + DROP))
    root = ElementTree.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        width=str(size[0]),
        height=str(size[1]),
        viewBox=f"0 0 {size[0]} {size[1]}",
    )
    ElementTree.SubElement(
        root, "style"
    ).text = "rect{fill:#eef2ff;stroke:#4f5d95}text{font:11px monospace}path{fill:none;stroke:#888;marker-end:url(#tip)}marker path{fill:#888;stroke:none;marker-end:none}.input rect,.output rect{fill:#e7f6e7;stroke:#3a7a3a}"
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
    for record in shown:
        for source in dict.fromkeys(
            value.node for value in record.inputs if value is not None and value.node in place
        ):
            ElementTree.SubElement(
                root,
                "path",
                d=_curve(place[source], place[record.id], depth[record.id] - depth[source]),
            )
    for record in shown:
        x, y = place[record.id]
        group = ElementTree.SubElement(root, "g", {"class": record.kind})
        kind = graph.type_of(Value(record.id)) if record.outputs else None
        ElementTree.SubElement(group, "title").text = "\n".join(
            text
            for text in (
                record.op or record.name,
                record.path,
                record.source,
                str(dict(record.attrs)) if record.attrs else "",
            )
            if text
        )
        ElementTree.SubElement(
            group, "rect", x=str(x), y=str(y), width=str(WIDTH), height=str(HEIGHT), rx="4"
        )
        for line, text in ((14, _label(record)[:28]), (28, str(list(kind.shape)) if kind else "")):
            ElementTree.SubElement(group, "text", x=str(x + 6), y=str(y + line)).text = text
    ElementTree.ElementTree(root).write(str(target), encoding="unicode")


def _curve(source: tuple[float, float], target: tuple[float, float], levels: int) -> str:
    """An edge; one that leaves out levels goes round the boxes between, on their right."""
    (sx, sy), (tx, ty) = source, target
    if levels == 1:
        sx, sy, tx = sx + WIDTH / 2, sy + HEIGHT, tx + WIDTH / 2
        return f"M{sx} {sy}C{sx} {sy + DROP / 2} {tx} {ty - DROP / 2} {tx} {ty}"
    sx, sy, tx, ty = sx + WIDTH, sy + HEIGHT / 2, tx + WIDTH, ty + HEIGHT / 2
    bow = max(sx, tx) + min(BOW, 12 * levels)
    return f"M{sx} {sy}C{bow} {sy} {bow} {ty} {tx} {ty}"


WRITERS: dict[str, Callable[[ComputationGraph, Path], None]] = {
    ".json": _json,
    ".graphml": _graphml,
    ".onnx": _onnx,
    ".svg": _svg,
}
