"""ONNX models made callable, by either runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from padiff_graph.capture.onnx.node_runner import runner


def single(op: str, dtype: int, **attributes: object) -> onnx.ModelProto:
    node = onnx.helper.make_node(op, ["x"], ["y"], **attributes)
    x = onnx.helper.make_tensor_value_info("x", dtype, [None])
    graph = onnx.helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name="y")])
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("reference", [True, False])
def test_both_runtimes_agree(reference: bool) -> None:
    run = runner(single("Relu", onnx.TensorProto.FLOAT), reference=reference)
    (y,) = run({"x": np.array([-1, 2], np.float32), "unused": np.zeros(1)})
    assert y.tolist() == [0, 2]


def test_what_onnxruntime_has_no_kernel_for() -> None:
    run = runner(single("Sinh", onnx.TensorProto.DOUBLE))
    (y,) = run({"x": np.array([0.5])})
    assert np.allclose(y, np.sinh(0.5))
