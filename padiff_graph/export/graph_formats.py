"""A captured graph in other tools' formats."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx

from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo
from padiff_graph.export.graph_picture import node_label, write_svg
from padiff_graph.file_writing import new_file
from padiff_graph.printable import code_comment

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
    with new_file(target) as beside:
        WRITERS[target.suffix](graph, beside)
    return target


def graph_json(graph: ComputationGraph) -> dict[str, Any]:
    """The graph as plain data: modules, parameters, nodes with ordered operands, notes."""
    return {
        "schema_version": GRAPH_SCHEMA_VERSION,
        "framework": graph.framework,
        "training": graph.training,
        "modules": graph.modules,
        "parameters": [_parameter_data(info) for info in graph.parameters.values()],
        "notes": list(graph.notes),
        "nodes": [_node_data(record) for record in graph.records()],
    }


def _parameter_data(info: ParameterInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "shape": info.type.shape,
        "dtype": info.type.dtype,
        "aliases": info.aliases,
        "buffer": info.buffer,
    }


def _node_data(record: Node) -> dict[str, Any]:
    return {
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


def _plain(value: Any) -> Any:
    """An attribute as JSON can hold it."""
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    return str(value)


def _json(graph: ComputationGraph, target: Path) -> None:
    target.write_text(json.dumps(graph_json(graph), indent=1), encoding="utf-8")


def _graphml(graph: ComputationGraph, target: Path) -> None:
    """GraphML holds scalars only: everything else goes as text."""
    plain: nx.MultiDiGraph[Any] = nx.MultiDiGraph()
    for record in graph.records():
        kind = record.outputs[0] if record.outputs else None
        plain.add_node(
            record.id,
            label=code_comment(node_label(record)),
            kind=record.kind,
            op=record.op,
            name=code_comment(record.name),
            path=code_comment(record.path),
            source=code_comment(record.source),
            attrs=json.dumps({key: _plain(value) for key, value in record.attrs.items()}),
            shape=str(list(kind.shape)) if kind else "",
            dtype=kind.dtype if kind else "",
        )
        for position, value in enumerate(record.inputs):
            if value is not None:
                role = record.roles[position] if position < len(record.roles) else ""
                plain.add_edge(
                    value.node, record.id, output=value.output, operand=position, role=role
                )
    nx.write_graphml(plain, str(target))


def _onnx(graph: ComputationGraph, target: Path) -> None:
    needed(backend("onnx").export)(graph, target)


WRITERS: dict[str, Callable[[ComputationGraph, Path], None]] = {
    ".json": _json,
    ".graphml": _graphml,
    ".onnx": _onnx,
    ".svg": write_svg,
}
"""What writes a graph, by suffix."""
