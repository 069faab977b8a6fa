"""Both graphs with their mapping for Google's Model Explorer.

The schema is `graph_builder` of ai-edge-model-explorer for the graphs, and its "sync navigation"
(`mappingEntries` of node ids) for the mapping.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.export.graph_picture import node_label
from padiff_graph.file_writing import new_file
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.report.page_data import links, place_of

__all__ = ["model_explorer"]

_Nodes = tuple[tuple[int, ...], tuple[int, ...]]
"""Node ids of both sides that correspond."""

FAILS, WARNS = "#f6b9b4", "#fbe3a3"
"""Colours of the places of findings that fail, and of those that do not."""


def model_explorer(
    matching: Matching, path: str | os.PathLike[str], findings: Sequence[Finding] = ()
) -> tuple[Path, Path]:
    """Both graphs for Google's Model Explorer, and the mapping for its "sync navigation".

    Writes PATH with the two graphs and, beside it, STEM.mapping.json; open the first, put the
    second graph into the split pane (alt-click on it in the list of graphs) and upload the second
    file under "sync". Operations and modules that findings name are coloured.

    Args:
        matching: of a report or a structural diff.
        path: where to write, a .json file.
        findings: of the same report.

    Returns:
        Both paths.
    """
    target = Path(path)
    beside = target.with_name(f"{target.stem}.mapping.json")
    graphs = [
        _graph(matching.first.graph, 0, findings),
        _graph(matching.second.graph, 1, findings),
    ]
    with new_file(target) as first, new_file(beside) as second:
        first.write_text(json.dumps({"label": target.stem, "graphs": graphs}), encoding="utf-8")
        second.write_text(json.dumps({"mappingEntries": _entries(matching)}), encoding="utf-8")
    return target, beside


def _graph(graph: ComputationGraph, side: int, findings: Sequence[Finding]) -> dict[str, Any]:
    """One model's graph, with the places of findings coloured."""
    by_node: dict[int, Finding] = {}
    by_module: dict[str, Finding] = {}
    # the most upstream finding that fails is written last, so that it is the one to be seen
    for finding in sorted(reversed(findings), key=lambda finding: finding.fails):
        place = (
            (finding.paddle_path, finding.paddle_op, finding.paddle_source),
            (finding.torch_path, finding.torch_op, finding.torch_source),
        )[side]
        by_node[place_of(graph, *place)] = finding
        for paths in ((finding.paddle_path, finding.torch_path), *finding.places):
            by_module[paths[side]] = finding
    modules = _modules(graph)
    return {
        "id": f"{side + 1} {graph.framework} {graph.modules.get('', '')}".strip(),
        "nodes": [
            _node(record, modules[record.id], by_node.get(record.id)) for record in graph.records()
        ],
        "groupNodeAttributes": {
            path.replace(".", "/"): {"module": kind} for path, kind in graph.modules.items()
        },
        "groupNodeConfigs": [
            {"namespaceRegex": f"^{re.escape(path)}$", "backgroundColor": colour}
            for path, colour in _module_colours(by_module).items()
            if path
        ],
    }


def _modules(graph: ComputationGraph) -> dict[int, str]:
    """The module that each node is shown in."""
    modules = {record.id: record.path for record in graph.records()}
    for record in reversed(list(graph.records())):
        if record.kind in ("parameter", "buffer"):
            modules[record.id] = record.name.rpartition(".")[0]
        elif record.kind == "operation" and record.constant is None:
            # what is computed of constants alone stands with its first reader
            for value in record.inputs:
                if value is not None and graph.record(value.node).constant is not None:
                    modules[value.node] = record.path
    return modules


def _module_colours(by_module: Mapping[str, Finding]) -> dict[str, str]:
    """The colour of each module that a finding names and of all around it, by namespace."""
    colours: dict[str, str] = {}
    for path, finding in sorted(by_module.items(), key=lambda entry: entry[1].fails):
        parts = path.split(".")
        for depth in range(1, len(parts) + 1):
            colours["/".join(parts[:depth])] = _colour(finding)
    return colours


def _node(record: Node, place: str, finding: Finding | None) -> dict[str, Any]:
    facts = {**record.attrs, "source": record.source, "name": record.name}
    if finding is not None:
        facts = {"finding": f"{finding.verdict} ({finding.phase}): {finding.cause}", **facts}
    node: dict[str, Any] = {
        "id": str(record.id),
        "label": _label(record),
        "namespace": place.replace(".", "/"),
        "attrs": [
            {"key": key, "value": str(value)}
            for key, value in facts.items()
            if value not in ("", None)
        ],
        "incomingEdges": [
            _edge(value, position)
            for position, value in enumerate(record.inputs)
            if value is not None
        ],
        "inputsMetadata": [
            _metadata(position, "__tensor_tag", role) for position, role in enumerate(record.roles)
        ],
        "outputsMetadata": [
            _metadata(position, "tensor_shape", f"{kind.dtype}{list(kind.shape)}")
            for position, kind in enumerate(record.outputs)
            if kind is not None
        ],
    }
    if finding is not None:
        node["style"] = {"backgroundColor": _colour(finding)}
    return node


def _edge(value: Value, position: int) -> dict[str, str]:
    return {
        "sourceNodeId": str(value.node),
        "sourceNodeOutputId": str(value.output),
        "targetNodeInputId": str(position),
    }


def _metadata(position: int, key: str, value: str) -> dict[str, Any]:
    return {"id": str(position), "attrs": [{"key": key, "value": value}]}


def _colour(finding: Finding) -> str:
    return FAILS if finding.fails else WARNS


def _label(record: Node) -> str:
    if record.kind in ("parameter", "buffer"):
        return record.name.rpartition(".")[2]
    return node_label(record)


def _entries(matching: Matching) -> list[dict[str, list[str]]]:
    """What corresponds, by node ids.

    Model Explorer keeps one entry for each node, the last: what corresponds to parts of one fused
    operation is one entry, and movement in front of an operation comes before the operations.
    """
    moved: list[_Nodes] = []
    own: list[_Nodes] = []
    for link in links(matching):
        (moved if link.moved else own).append((link.first, link.second))
    return [
        {"leftNodeIds": [*map(str, first)], "rightNodeIds": [*map(str, second)]}
        for first, second in [*moved, *_joined([*own, *_parameters(matching)])]
    ]


def _parameters(matching: Matching) -> Iterable[_Nodes]:
    first, second = _parameter_nodes(matching.first), _parameter_nodes(matching.second)
    for row in matching.parameters:
        for piece in row.pieces:
            if row.first in first and piece.second in second:
                yield (first[row.first],), (second[piece.second],)


def _parameter_nodes(normal: NormalGraph) -> dict[str, int]:
    return {
        record.name: record.id
        for record in normal.graph.records()
        if record.kind in ("parameter", "buffer")
    }


def _joined(
    pairs: Iterable[tuple[Sequence[int], Sequence[int]]],
) -> list[tuple[list[int], list[int]]]:
    """Pairs that share a node as one."""
    groups: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for pair in pairs:
        group: tuple[list[int], list[int]] = ([], [])
        keys = [(side, number) for side, numbers in enumerate(pair) for number in numbers]
        met = {id(groups[key]): groups[key] for key in keys if key in groups}
        for source in (*met.values(), pair):
            for numbers, more in zip(group, source, strict=True):
                numbers.extend(number for number in more if number not in numbers)
        groups.update({(side, number): group for side in (0, 1) for number in group[side]})
    return list({id(group): group for group in groups.values()}.values())
