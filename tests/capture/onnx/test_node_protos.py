"""What ONNX nodes say, in plain Python."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from padiff_graph.capture.onnx.node_protos import (
    SCOPES,
    STACK,
    attributes_of,
    captured_names,
    place_of,
    roles_of,
)

VERSIONS = {"": 21}


def test_roles_by_schema() -> None:
    conv = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    assert roles_of(conv, VERSIONS) == ["X", "W"]
    concat = onnx.helper.make_node("Concat", ["a", "b", "c"], ["y"], axis=0)
    assert roles_of(concat, VERSIONS) == ["inputs[0]", "inputs[1]", "inputs[2]"]
    own = onnx.helper.make_node("Own", ["a", "b"], ["y"], domain="own")
    assert roles_of(own, VERSIONS) == ["0", "1"]


def test_attributes_are_plain_and_defaults_filled_in() -> None:
    node = onnx.helper.make_node("Gemm", ["a", "b"], ["y"], transB=1)
    assert attributes_of(node, VERSIONS) == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    value = onnx.numpy_helper.from_array(np.arange(3))
    constant = onnx.helper.make_node("Constant", [], ["y"], value=value)
    assert attributes_of(constant, VERSIONS)["value"].tolist() == [0, 1, 2]
    pad = onnx.helper.make_node("Pad", ["x", "p"], ["y"], mode="edge")
    assert attributes_of(pad, VERSIONS) == {"mode": "edge"}
    rnn = onnx.helper.make_node("RNN", ["x", "w", "r"], ["y"], activations=["Tanh", "Relu"])
    assert attributes_of(rnn, VERSIONS)["activations"] == ("Tanh", "Relu")


def test_names_that_branches_read_from_outside() -> None:
    add = onnx.helper.make_node("Add", ["outer", "inner"], ["sum"])
    const = onnx.helper.make_node("Constant", [], ["inner"], value_float=1.0)
    out = onnx.ValueInfoProto(name="sum")
    then = onnx.helper.make_graph([const, add], "then", [], [out])
    other = onnx.helper.make_graph([], "else", [], [onnx.ValueInfoProto(name="passed")])
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    assert sorted(captured_names(node)) == ["outer", "passed"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/layer/layer.0/conv/Conv", "layer.0.conv"),
        ("/a/b/Add", "a.b"),
        ("/Add", ""),
        ("Add_3", ""),
    ],
)
def test_paths_of_scoped_names(name: str, path: str) -> None:
    assert place_of(onnx.helper.make_node("Add", [], [], name=name)) == (path, "")


def test_places_of_torchs_exporter() -> None:
    node = onnx.helper.make_node("Add", [], [], name="n")
    node.metadata_props.add(key=SCOPES, value="['', 'block', 'block.0', 'add']")
    stack = 'File "/user/net.py", line 3, in f\nFile "/lib/torch/nn.py", line 9, in g'
    node.metadata_props.add(key=STACK, value=stack)
    assert place_of(node) == ("block.0", "/user/net.py:3")
