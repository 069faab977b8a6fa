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
from padiff_graph.export.graph_formats import write_graph


@pytest.fixture
def graph() -> ComputationGraph:
    wide, narrow = TensorType((4, 3), "float32"), TensorType((4, 2), "bfloat16")
    nodes = [
        Node(0, "input", name="x", outputs=(wide,)),
        Node(1, "parameter", name="head.weight", outputs=(TensorType((2, 3), "float32"),)),
        Node(
            2,
            "operation",
            "aten.linear.default",
            inputs=(Value(0), Value(1), None),
            roles=("input", "weight", "bias"),
            outputs=(narrow,),
            path="head",
            source="net.py:7",
            attrs={"eps": 1e-5, "dims": (0, 1), "how": "none", "flag": True},
        ),
        Node(3, "output", name="logits", inputs=(Value(2),), roles=("value",), outputs=(narrow,)),
    ]
    return ComputationGraph.build(
        "torch",
        nodes,
        modules={"": "Net", "head": "Linear"},
        parameters={"head.weight": ParameterInfo("head.weight", TensorType((2, 3), "float32"))},
    )


def test_json_says_everything(graph: ComputationGraph, tmp_path: Path) -> None:
    found = json.loads(write_graph(graph, tmp_path / "g.json").read_text())
    assert found["schema_version"] == 1
    assert found["nodes"][2]["inputs"] == [[0, 0], [1, 0], None]
    assert found["nodes"][2]["attrs"]["dims"] == [0, 1]
    assert found["parameters"][0]["name"] == "head.weight"


def test_graphml_is_read_back_by_networkx(graph: ComputationGraph, tmp_path: Path) -> None:
    found = nx.read_graphml(write_graph(graph, tmp_path / "g.graphml"))
    assert found.nodes["2"]["op"] == "aten.linear.default"
    assert found.nodes["2"]["label"] == "aten.linear"
    assert found.nodes["2"]["shape"] == "[4, 2]"
    assert sorted(data["operand"] for _, _, data in found.in_edges("2", data=True)) == [0, 1]


def test_onnx_file_is_whole(graph: ComputationGraph, tmp_path: Path) -> None:
    model = onnx.load(str(write_graph(graph, tmp_path / "g.onnx")))
    onnx.checker.check_model(model, full_check=True)
    linear = model.graph.node[0]
    assert (linear.domain, linear.op_type) == ("aten", "linear"), (
        "viewers show the last part of a dotted name alone"
    )
    assert list(linear.input) == ["x", "head.weight", ""]
    assert {entry.key: entry.value for entry in linear.metadata_props} == {
        "module": "head",
        "source": "net.py:7",
        "overload": "default",
    }
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16


def test_svg_draws_every_operation(graph: ComputationGraph, tmp_path: Path) -> None:
    text = write_graph(graph, tmp_path / "g.svg").read_text()
    ElementTree.fromstring(text)
    assert text.count("<rect") == 3
    assert "net.py:7" in text


def test_an_edge_that_leaves_out_a_level_is_seen(tmp_path: Path) -> None:
    kind = TensorType((2,), "float32")
    nodes = [
        Node(0, "input", name="x", outputs=(kind,)),
        Node(1, "operation", "aten.relu.default", inputs=(Value(0),), outputs=(kind,)),
        Node(2, "operation", "aten.add.Tensor", inputs=(Value(1), Value(0)), outputs=(kind,)),
    ]
    root = ElementTree.parse(
        write_graph(ComputationGraph.build("torch", nodes), tmp_path / "g.svg")
    ).getroot()
    drawn = "{http://www.w3.org/2000/svg}"
    right = max(
        float(box.get("x", 0)) + float(box.get("width", 0)) for box in root.iter(f"{drawn}rect")
    )
    reach = [
        max(
            float(number)
            for number in path.get("d", "").replace("M", " ").replace("C", " ").split()[2::2]
        )
        for path in root.findall(f"{drawn}path")
    ]
    assert len(reach) == 3
    assert [far > right for far in reach] == [False, False, True], (
        "it would run behind the box between"
    )
    assert max(reach) < float(root.get("width", 0))


def test_constant_folds_stay_out_of_the_picture(tmp_path: Path) -> None:
    kind = TensorType((2,), "int64")
    nodes = [
        Node(0, "operation", "pd_op.full", outputs=(kind,), constant=np.zeros(2, np.int64)),
        Node(1, "output", name="y", inputs=(Value(0),), outputs=(kind,)),
    ]
    assert (
        write_graph(ComputationGraph.build("paddle", nodes), tmp_path / "g.svg")
        .read_text()
        .count("<rect")
        == 1
    )


def test_unknown_suffix_says_what_is_possible(graph: ComputationGraph, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.json, \.graphml, \.onnx, \.svg; found g\.png"):
        write_graph(graph, tmp_path / "g.png")


def test_constants_of_an_onnx_file_have_their_values(tmp_path: Path) -> None:
    kinds = [
        TensorType((2,), dtype) for dtype in ("float32", "bfloat16", "int64", "bool", "complex64")
    ]
    values = [np.array([1.5, -2.0], np.float32)] * 2 + [
        np.array([3, 4]),
        np.array([True, False]),
        np.array([1j, 2], np.complex64),
    ]
    nodes = [
        Node(number, "constant", name=f"c{number}", outputs=(kind,), constant=value)
        for number, (kind, value) in enumerate(zip(kinds, values, strict=True))
    ]
    nodes.append(
        Node(
            9,
            "operation",
            "aten.cat.default",
            inputs=tuple(Value(number) for number in range(5)),
            outputs=(kinds[0],),
        )
    )
    nodes.append(Node(10, "output", name="y", inputs=(Value(9),), outputs=(kinds[0],)))
    model = onnx.load(str(write_graph(ComputationGraph.build("torch", nodes), tmp_path / "g.onnx")))
    onnx.checker.check_model(model, full_check=True)
    assert not model.graph.input
    for tensor, value in zip(model.graph.initializer, values, strict=True):
        assert np.array_equal(onnx.numpy_helper.to_array(tensor).astype(value.dtype), value)


def test_an_input_may_be_called_like_a_parameter(tmp_path: Path) -> None:
    kind = TensorType((2,), "float32")
    nodes = [
        Node(0, "input", name="w", outputs=(kind,)),
        Node(1, "parameter", name="w", outputs=(kind,)),
        Node(2, "operation", "pd_op.add", inputs=(Value(0), Value(1)), outputs=(kind,)),
        Node(3, "output", name="w", inputs=(Value(2),), outputs=(kind,)),
    ]
    model = onnx.load(
        str(write_graph(ComputationGraph.build("paddle", nodes), tmp_path / "g.onnx"))
    )
    onnx.checker.check_model(model, full_check=True)
    assert list(model.graph.node[0].input) == ["w", "parameter:w"]
