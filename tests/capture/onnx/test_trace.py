"""ONNX models captured: whole, with constants known, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.onnx.engine import OnnxEngine, with_parameters
from padiff_graph.capture.onnx.trace import trace


def model(text: str, **weights: Any) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    for name, value in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    return proto


PERCEPTRON = """
<ir_version: 9, opset_import: ["" : 18]>
perceptron (float[N, 3] x) => (float[N, 2] y)
{
    shape = Constant<value_ints = [-1, 3]>()
    flat = Reshape(x, shape)
    hidden = Gemm<transB = 1>(flat, weight, bias)
    y = Relu(hidden)
}
"""
WEIGHTS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, np.float32)}


def test_weights_are_parameters_and_shapes_concrete() -> None:
    graph = trace(model(PERCEPTRON, **WEIGHTS), {"x": np.ones((4, 3), np.float32)})
    assert {node.name for node in graph.of_kind("parameter")} == {"weight", "bias"}
    gemm = next(node for node in graph.records() if node.op == "onnx.Gemm")
    assert gemm.outputs[0] == ((4, 2), "float32")
    assert gemm.roles == ("A", "B", "C")
    assert gemm.attrs["transB"] == 1
    assert gemm.attrs["alpha"] == 1.0, "defaults are filled in"
    shape = next(node for node in graph.records() if node.op == "onnx.Constant")
    assert shape.constant is not None
    assert shape.constant.tolist() == [-1, 3]


def test_replay_equals_the_whole_run() -> None:
    proto = model(PERCEPTRON, **WEIGHTS)
    example = {"x": np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)}
    graph, engine = trace(proto, example), OnnxEngine(proto)
    values = {node.id: (example["x"],) for node in graph.of_kind("input")}
    values |= {node.id: (engine.parameters()[node.name],) for node in graph.of_kind("parameter")}
    for node in graph.of_kind("operation"):
        values[node.id] = engine.run(
            node, [None if v is None else values[v.node][v.output] for v in node.inputs]
        )  # type: ignore[assignment]
    (output,) = graph.of_kind("output")
    assert output.inputs[0] is not None
    np.testing.assert_array_equal(
        values[output.inputs[0].node][0], engine.forward(example, grad=False).outputs["y"]
    )


def test_subgraph_names_what_it_reads_from_outside() -> None:
    proto = model("""
        <ir_version: 9, opset_import: ["" : 18]>
        branch (bool flag, float[2] x) => (float[2] y)
        {
            y = If (flag) <
                then_branch = twice () => (float[2] a) { a = Add(x, x) },
                else_branch = same () => (float[2] b) { b = Identity(x) }
            >
        }
        """)
    graph = trace(proto, {"flag": np.array(True), "x": np.array([1, 2], np.float32)})
    branch = next(node for node in graph.records() if node.op == "onnx.If")
    assert branch.roles == ("cond", "captured:x")
    engine = OnnxEngine(proto)
    (result,) = engine.run(branch, [np.array(True), np.array([1, 2], np.float32)])
    assert result.tolist() == [2, 4]


def test_module_paths_from_scoped_names() -> None:
    proto = model(PERCEPTRON, **WEIGHTS)
    proto.graph.node[2].name = "/encoder/encoder.0/linear/Gemm"
    graph = trace(proto, {"x": np.ones((1, 3), np.float32)})
    gemm = next(node for node in graph.records() if node.op == "onnx.Gemm")
    assert gemm.path == "encoder.0.linear"


def test_new_weights_make_a_new_model() -> None:
    proto = model(PERCEPTRON, **WEIGHTS)
    before = proto.SerializeToString()
    new = with_parameters(proto, {"bias": np.zeros(2)})
    assert proto.SerializeToString() == before
    assert OnnxEngine(new).parameters()["bias"].tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"bias: expected shape \(2,\), found \(3,\)"):
        with_parameters(proto, {"bias": np.zeros(3)})


def test_float64_rerun() -> None:
    proto = model(PERCEPTRON, **WEIGHTS)
    graph, engine = trace(proto, {"x": np.ones((1, 3), np.float32)}), OnnxEngine(proto)
    gemm = next(node for node in graph.records() if node.op == "onnx.Gemm")
    (result,) = engine.run(
        gemm,
        [
            np.ones((1, 3)),
            *(engine.parameters()[name].astype(np.float64) for name in ("weight", "bias")),
        ],
        double=True,
    )
    assert result.dtype == np.float64


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:40]),
            "truncated or of another type|found none",
        ),
        (lambda path: path.write_bytes(b"not a model at all"), "truncated or of another type"),
        (lambda path: path.unlink(), "there is none"),
    ],
)
def test_bad_files(tmp_path: Path, spoil: Any, says: str) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(PERCEPTRON, **WEIGHTS), str(path))
    spoil(path)
    with pytest.raises(CaptureError, match=says):
        trace(path, {"x": np.ones((1, 3), np.float32)})


def test_missing_external_data(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    weights = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    onnx.save(
        model(PERCEPTRON, **weights),
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(CaptureError, match="external data"):
        trace(path, {"x": np.ones((1, 3), np.float32)})


def test_unknown_operator_and_domain() -> None:
    proto = model(
        '<ir_version: 9, opset_import: ["" : 18, "mine" : 1]> g (float[2] x) => (float[2] y) { y ='
        " mine.Magic(x) }"
    )
    with pytest.raises(CaptureError, match=r"mine\.Magic"):
        trace(proto, {"x": np.ones(2, np.float32)})


def test_wrong_names() -> None:
    with pytest.raises(CaptureError, match=r"missing: x; unknown: input"):
        trace(model(PERCEPTRON, **WEIGHTS), {"input": np.ones((1, 3), np.float32)})


def test_functions_are_inlined() -> None:
    proto = model("""
        <ir_version: 9, opset_import: ["" : 18, "local" : 1]>
        g (float[2] x) => (float[2] y) { y = local.Twice(x) }
        <domain: "local", opset_import: ["" : 18]>
        Twice (a) => (b) { b = Add(a, a) }
        """)
    assert [
        node.op for node in trace(proto, {"x": np.ones(2, np.float32)}).of_kind("operation")
    ] == ["onnx.Add"]


SINGLE = """
<ir_version: 9, opset_import: ["" : 18]>
single (float[1, 1, 2, 1] x) => (float[1, 1, 2, 1] y)
{
    a = Conv(x, kernel, bias)
    b = PRelu(a, slope)
    c = Mul(b, factor)
    d = MatMul(c, last)
    y = Add(%s, shift)
}
"""


@pytest.mark.parametrize(("shifted", "weights"), [("d", {"shift"}), ("c", set())])
def test_single_numbers_are_weights_where_a_layer_reads_them(
    shifted: str, weights: set[str]
) -> None:
    numbers = {name: np.float32([0.5]) for name in ("bias", "slope", "factor", "shift")}
    kernel, last = np.ones((1, 1, 1, 1), np.float32), np.ones((1, 1), np.float32)
    proto = model(SINGLE % shifted, kernel=kernel, last=last, **numbers)
    traced = trace(proto, {"x": np.ones((1, 1, 2, 1), np.float32)})
    assert {*traced.parameters} == {"kernel", "bias", "slope", "last", *weights}
