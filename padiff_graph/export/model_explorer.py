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

from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.report.page_data import links, place_of

__all__ = ["model_explorer"]

FAILS, WARNS = "#f6b9b4", "#fbe3a3"
"""Colours of the places of findings that fail, and of those that do not."""


def model_explorer(
    matching: Matching, path: str | os.PathLike[str], findings: Sequence[Finding] = ()
) -> tuple[Path, Path]:
    """Both graphs for Google's Model Explorer, and the mapping for its "sync navigation".

    Writes PATH with the two graphs and, beside it, STEM.mapping.json; open the first, put the second
    graph into the split pane (alt-click on it in the list of graphs) and upload the second file under
    "sync". Operations and modules that findings name are coloured.

    Args:
        matching: of a report or a structural diff.
        path: where to write, a .json file.
        findings: of the same report.

    Returns:
        Both paths.
    """
    target = Path(path)
    beside = target.with_name(f"{target.stem}.mapping.json")
    # the most upstream finding that fails is written last, so that it is the one to be seen
    last = sorted(reversed(findings), key=lambda finding: finding.fails)
    graphs = []
    for side, normal in enumerate((matching.first, matching.second)):
        graph = normal.graph
        found = {
            place_of(
                graph,
                *(
                    (one.paddle_path, one.paddle_op, one.paddle_source),
                    (one.torch_path, one.torch_op, one.torch_source),
                )[side],
            ): one
            for one in last
        }
        modules = {
            place[side]: one
            for one in last
            for place in ((one.paddle_path, one.torch_path), *one.places)
        }
        graphs.append(
            _graph(
                graph,
                f"{side + 1} {graph.framework} {graph.modules.get('', '')}".strip(),
                found,
                modules,
            )
        )
    target.write_text(json.dumps({"label": target.stem, "graphs": graphs}), encoding="utf-8")
    beside.write_text(json.dumps({"mappingEntries": _entries(matching)}), encoding="utf-8")
    return target, beside


def _graph(
    graph: ComputationGraph, name: str, found: Mapping[int, Finding], modules: Mapping[str, Finding]
) -> dict[str, Any]:
    places = {record.id: record.path for record in graph.records()}
    for record in reversed(list(graph.records())):
        if record.kind in ("parameter", "buffer"):
            places[record.id] = record.name.rpartition(".")[0]
        elif record.kind == "operation" and record.constant is None:
            # what is computed of constants alone stands with its first reader
            places.update(
                {
                    value.node: record.path
                    for value in record.inputs
                    if value is not None and graph.record(value.node).constant is not None
                }
            )
    nodes = [_node(record, places[record.id], found.get(record.id)) for record in graph.records()]
    coloured: dict[str, str] = {}
    for module, finding in sorted(modules.items(), key=lambda entry: entry[1].fails):
        parts = module.split(".")
        coloured.update(
            {"/".join(parts[:depth]): _colour(finding) for depth in range(1, len(parts) + 1)}
        )
    return {
        "id": name,
        "nodes": nodes,
        "groupNodeAttributes": {
            path.replace(".", "/"): {"module": kind} for path, kind in graph.modules.items()
        },
        "groupNodeConfigs": [
            {"namespaceRegex": f"^{re.escape(path)}$", "backgroundColor": colour}
            for path, colour in coloured.items()
            if path
        ],
    }


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
            {
                "sourceNodeId": str(value.node),
                "sourceNodeOutputId": str(value.output),
                "targetNodeInputId": str(position),
            }
            for position, value in enumerate(record.inputs)
            if value is not None
        ],
        "inputsMetadata": [
            {"id": str(position), "attrs": [{"key": "__tensor_tag", "value": role}]}
            for position, role in enumerate(record.roles)
        ],
        "outputsMetadata": [
            {
                "id": str(position),
                "attrs": [{"key": "tensor_shape", "value": f"{kind.dtype}{list(kind.shape)}"}],
            }
            for position, kind in enumerate(record.outputs)
            if kind is not None
        ],
    }
    if finding is not None:
        node["style"] = {"backgroundColor": _colour(finding)}
    return node


def _colour(finding: Finding) -> str:
    return FAILS if finding.fails else WARNS


def _label(record: Node) -> str:
    if record.kind == "operation":
        return record.op.removesuffix(".default")
    if record.kind in ("parameter", "buffer"):
        return record.name.rpartition(".")[2]
    return record.kind if record.name in ("", record.kind) else f"{record.kind} {record.name}"


def _entries(matching: Matching) -> list[dict[str, list[str]]]:
    """Model Explorer keeps one entry for each node, the last: what corresponds to parts of one fused
    operation is one entry, and movement in front of an operation comes before the operations."""
    found = list(links(matching))
    moved = [(link.first, link.second) for link in found if link.moved]
    own = [(link.first, link.second) for link in found if not link.moved]
    return [
        {"leftNodeIds": [*map(str, first)], "rightNodeIds": [*map(str, second)]}
        for first, second in [*moved, *_joined([*own, *_parameters(matching)])]
    ]


def _parameters(matching: Matching) -> Iterable[tuple[tuple[int, ...], tuple[int, ...]]]:
    ours, theirs = (
        {
            record.name: record.id
            for record in normal.graph.records()
            if record.kind in ("parameter", "buffer")
        }
        for normal in (matching.first, matching.second)
    )
    for row in matching.parameters:
        for piece in row.pieces:
            if row.first in ours and piece.second in theirs:
                yield (ours[row.first],), (theirs[piece.second],)


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
            for side in (0, 1):
                group[side].extend(number for number in source[side] if number not in group[side])
        groups.update({(side, number): group for side in (0, 1) for number in group[side]})
    return list({id(group): group for group in groups.values()}.values())
