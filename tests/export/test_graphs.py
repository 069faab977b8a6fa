"""Captured graphs written for other tools, and read back by them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import onnx
import pytest

from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.export import write_graph


@pytest.fixture
def graph() -> ComputationGraph:
    wide, narrow = TensorType((4, 3), "float32"), TensorType((4, 2), "bfloat16")
    nodes = [
        Node(0, "input", name="x", outputs=(wide,)),
        Node(1, "parameter", name="head.weight", outputs=(TensorType((2, 3), "float32"),)),
        Node(2, "operation", "aten.linear.default", inputs=(Value(0), Value(1), None), roles=("input", "weight", "bias"), outputs=(narrow,), path="head", source="net.py:7", attrs={"eps": 1e-5, "dims": (0, 1), "how": "none", "flag": True}),
        Node(3, "output", name="logits", inputs=(Value(2),), roles=("value",), outputs=(narrow,)),
    ]
    return ComputationGraph.build("torch", nodes, modules={"": "Net", "head": "Linear"}, parameters={"head.weight": ParameterInfo("head.weight", TensorType((2, 3), "float32"))})


def test_json_says_everything(graph: ComputationGraph, tmp_path: Path) -> None:
    found = json.loads(write_graph(graph, tmp_path / "g.json").read_text())
    assert found["schema_version"] == 1
    assert found["nodes"][2]["inputs"] == [[0, 0], [1, 0], None]
    assert found["nodes"][2]["attrs"]["dims"] == [0, 1]
    assert found["parameters"][0]["name"] == "head.weight"


def test_graphml_is_read_back_by_networkx(graph: ComputationGraph, tmp_path: Path) -> None:
    found = nx.read_graphml(write_graph(graph, tmp_path / "g.graphml"))
    assert found.nodes["2"]["op"] == "aten.linear.default"
    assert found.nodes["2"]["shape"] == "[4, 2]"
    assert sorted(data["operand"] for _, _, data in found.in_edges("2", data=True)) == [0, 1]


def test_onnx_file_is_whole(graph: ComputationGraph, tmp_path: Path) -> None:
    model = onnx.load(str(write_graph(graph, tmp_path / "g.onnx")))
    linear = model.graph.node[0]
    assert (linear.domain, linear.op_type) == ("aten", "linear.default")
    assert list(linear.input) == ["x", "head.weight", ""]
    assert {entry.key: entry.value for entry in linear.metadata_props} == {"module": "head", "source": "net.py:7"}
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16


def test_svg_draws_every_operation(graph: ComputationGraph, tmp_path: Path) -> None:
    text = write_graph(graph, tmp_path / "g.svg").read_text()
    ElementTree.fromstring(text)
    assert text.count("<rect") == 3
    assert "net.py:7" in text


def test_constant_folds_stay_out_of_the_picture(tmp_path: Path) -> None:
    kind = TensorType((2,), "int64")
    nodes = [Node(0, "operation", "pd_op.full", outputs=(kind,), constant=np.zeros(2, np.int64)), Node(1, "output", name="y", inputs=(Value(0),), outputs=(kind,))]
    assert write_graph(ComputationGraph.build("paddle", nodes), tmp_path / "g.svg").read_text().count("<rect") == 1


def test_unknown_suffix_says_what_is_possible(graph: ComputationGraph, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.json, \.graphml, \.onnx, \.svg; found g\.png"):
        write_graph(graph, tmp_path / "g.png")
