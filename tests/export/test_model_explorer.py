"""Both graphs in Model Explorer's schema, with the mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.export.model_explorer import FAILS, model_explorer
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Match, Matching, ParameterRow, Piece

KIND = TensorType((4, 3), "float32")
GRAPH_KEYS = {"id", "nodes", "groupNodeAttributes", "groupNodeConfigs"}
NODE_KEYS = {
    "id",
    "label",
    "namespace",
    "attrs",
    "incomingEdges",
    "inputsMetadata",
    "outputsMetadata",
    "style",
}
"""Fields of Model Explorer's graph_builder that are used.

It refuses no others, but would not show them.
"""


def graph() -> ComputationGraph:
    nodes = [
        Node(0, "input", name="x", outputs=(KIND,)),
        Node(1, "parameter", name="net.head.weight", outputs=(KIND,)),
        Node(2, "operation", "pd_op.full", outputs=(KIND,), constant=np.zeros((4, 3), np.float32)),
        Node(
            3,
            "operation",
            "aten.reshape.default",
            inputs=(Value(0),),
            roles=("input",),
            outputs=(KIND,),
            path="net",
        ),
        Node(
            4,
            "operation",
            "aten.fused.default",
            inputs=(Value(3), Value(1), Value(2)),
            roles=("input", "weight", "shift"),
            outputs=(KIND,),
            path="net.head",
            source="net.py:7",
            attrs={"eps": 1e-5},
        ),
        Node(5, "output", name="output", inputs=(Value(4),), roles=("value",), outputs=(KIND,)),
    ]
    return ComputationGraph.build(
        "torch",
        nodes,
        modules={"": "Net", "net": "Body", "net.head": "Linear"},
        parameters={"net.head.weight": ParameterInfo("net.head.weight", KIND)},
    )


@pytest.fixture
def matching() -> Matching:
    """Both halves of an operation on the first side are the one fused operation of the second."""
    base = graph()
    nodes = (
        NormalNode(0, "Input", name="x"),
        NormalNode(1, "MatMul", (Edge(0, through=(3,)),), native=(4,)),
        NormalNode(2, "Softmax", (Edge(1),), native=(4,)),
    )
    normal = NormalGraph(base, nodes, {"output": Edge(2)})
    piece = Piece("net.head.weight", View.of((4, 3)), View.of((4, 3)))
    return Matching(
        normal,
        normal,
        (Match(1, 1, "hash", 1.0, "equal"), Match(2, 2, "hash", 1.0, "equal")),
        parameters=(ParameterRow("net.head.weight", (piece,), "identity", 1.0, "equal"),),
    )


def written(
    matching: Matching, folder: Path, *findings: Finding
) -> tuple[dict[str, Any], list[Any]]:
    shown, mapping = model_explorer(matching, folder / "pair.json", findings)
    return json.loads(shown.read_text()), json.loads(mapping.read_text())["mappingEntries"]


def test_the_graphs_are_what_model_explorer_reads(matching: Matching, tmp_path: Path) -> None:
    found, _ = written(matching, tmp_path)
    assert found["label"] == "pair"
    first, second = found["graphs"]
    assert first["id"] != second["id"]
    for one in found["graphs"]:
        assert set(one) <= GRAPH_KEYS
        assert all(set(node) <= NODE_KEYS for node in one["nodes"])
        known = {node["id"] for node in one["nodes"]}
        assert all(
            edge["sourceNodeId"] in known for node in one["nodes"] for edge in node["incomingEdges"]
        )
        assert all(
            isinstance(pair["value"], str) for node in one["nodes"] for pair in node["attrs"]
        )
    assert first["groupNodeAttributes"]["net/head"] == {"module": "Linear"}


def test_leaves_stand_in_the_module_that_they_belong_to(matching: Matching, tmp_path: Path) -> None:
    found, _ = written(matching, tmp_path)
    nodes = {node["id"]: node for node in found["graphs"][0]["nodes"]}
    assert (nodes["1"]["namespace"], nodes["1"]["label"]) == ("net/head", "weight")
    assert nodes["2"]["namespace"] == "net/head", "a constant stands with what reads it"
    assert (nodes["0"]["namespace"], nodes["0"]["label"]) == ("", "input x")
    assert nodes["5"]["label"] == "output"
    assert [entry["attrs"][0]["value"] for entry in nodes["4"]["inputsMetadata"]] == [
        "input",
        "weight",
        "shift",
    ]


def test_every_node_has_one_entry_and_operations_come_last(
    matching: Matching, tmp_path: Path
) -> None:
    _, entries = written(matching, tmp_path)
    seen = {}
    for entry in entries:  # as Model Explorer reads them: the last entry of a node holds
        seen.update(dict.fromkeys(entry["leftNodeIds"], entry["rightNodeIds"]))
    assert seen == {"3": ["4"], "4": ["4"], "1": ["1"]}
    own = [entry for entry in entries if entry["leftNodeIds"] == ["4"]]
    assert own[-1]["rightNodeIds"] == ["4"], (
        "an operation is not led to the movement in front of its partner"
    )


def test_parts_of_a_fused_operation_are_one_entry(tmp_path: Path) -> None:
    base = graph()
    split = NormalGraph(
        base,
        (NormalNode(0, "MatMul", native=(3,)), NormalNode(1, "Softmax", (Edge(0),), native=(4,))),
        {"output": Edge(1)},
    )
    fused = NormalGraph(
        base,
        (NormalNode(0, "MatMul", native=(4,)), NormalNode(1, "Softmax", (Edge(0),), native=(4,))),
        {"output": Edge(1)},
    )
    _, entries = written(
        Matching(
            split, fused, (Match(0, 0, "hash", 1.0, "equal"), Match(1, 1, "hash", 1.0, "equal"))
        ),
        tmp_path,
    )
    assert entries == [{"leftNodeIds": ["3", "4"], "rightNodeIds": ["4"]}]


def test_findings_are_coloured(matching: Matching, tmp_path: Path) -> None:
    finding = Finding(
        "forward",
        "different",
        Cause.of("capture.refused", text="eps 1 against 2"),
        "net",
        "net.head",
        "",
        "aten.fused.default",
        "",
        "net.py:7",
        places=(("net", "net.head"), ("net", "other")),
    )
    found, _ = written(matching, tmp_path, finding)
    first, second = found["graphs"]
    marked = [node for node in second["nodes"] if "style" in node]
    assert [node["id"] for node in marked] == ["4"]
    assert marked[0]["attrs"][0] == {
        "key": "finding",
        "value": "different (forward): eps 1 against 2",
    }
    assert {entry["namespaceRegex"] for entry in second["groupNodeConfigs"]} == {
        "^net$",
        "^net/head$",
        "^other$",
    }
    assert first["groupNodeConfigs"] == [{"namespaceRegex": "^net$", "backgroundColor": FAILS}], (
        "the place of what is missing"
    )
    assert not any("style" in node for node in first["nodes"])
