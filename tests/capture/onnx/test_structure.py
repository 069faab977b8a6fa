"""Models whose parts do not fit together are refused by name; sound ones of the same kind are
read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.onnx import node_runner
from padiff_graph.capture.onnx.load import load


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = (2,)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def loop_body(condition: str) -> Any:
    nodes = [
        helper.make_node(condition, ["going"], ["on"]),
        helper.make_node("Add", ["carried", "carried"], ["next"]),
    ]
    inputs = [value("i", TensorProto.INT64, ()), value("going", TensorProto.BOOL, ())]
    outputs = [value("on", TensorProto.BOOL, ()), value("next")]
    return helper.make_graph(nodes, "body", [*inputs, value("carried")], outputs)


def model(trips: int = 2, condition: str = "Identity") -> Any:
    nodes = [
        helper.make_node("Add", ["x", "w"], ["sum"], name="adds"),
        helper.make_node("twice", ["sum"], ["doubled"], domain="local"),
        helper.make_node("Loop", ["trips", "going", "doubled"], ["y"], body=loop_body(condition)),
    ]
    twice = helper.make_node("Add", ["a", "a"], ["b"])
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "twice", ["a"], ["b"], [twice], sets)
    held = [
        numpy_helper.from_array(np.ones(2, "f4"), "w"),
        numpy_helper.from_array(np.array(trips), "trips"),
        numpy_helper.from_array(np.array(True), "going"),
    ]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], held)
    return helper.make_model(graph, opset_imports=sets, functions=[function], ir_version=8)


EXAMPLE = {"x": np.ones(2, "f4")}


def test_a_sound_model_is_captured() -> None:
    assert capture_graph(model(), EXAMPLE).of_kind("operation")


def calls_itself(made: Any) -> None:
    made.functions[0].node[0].CopyFrom(helper.make_node("twice", ["a"], ["b"], domain="local"))


def explodes(made: Any) -> None:
    for number in range(60):
        name = "twice" if not number else f"f{number}"
        below = helper.make_node(name, ["a"], ["m"], domain="local")
        above = helper.make_node(name, ["m"], ["b"], domain="local")
        sets = made.functions[0].opset_import
        made.functions.append(
            helper.make_function("local", f"f{number + 1}", ["a"], ["b"], [below, above], sets)
        )
    made.graph.node[1].op_type = "f60"


def of(**changes: Any) -> Callable[[Any], None]:
    def spoil(made: Any) -> None:
        node = made.graph.node[0]
        for field, name in changes.items():
            getattr(node, field)[0] = name

    return spoil


def shorter(made: Any) -> None:
    made.graph.initializer[0].raw_data = b"\0" * 4


def negative(made: Any) -> None:
    made.graph.initializer[0].dims[0] = -2


def open_output(made: Any) -> None:
    made.graph.output[0].name = "nothing"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (calls_itself, "twice calls itself"),
        (explodes, "local functions come to"),
        (of(input="nothing"), r"Add \(adds\) reads nothing, which nothing makes"),
        (of(input="y"), "a cycle or is out of order"),
        (of(output="x"), "makes x, which is made already"),
        (shorter, "data of the tensor w do not fit"),
        (negative, "w has a negative extent"),
        (open_output, "nothing makes nothing"),
    ],
)
def test_what_is_refused(spoil: Callable[[Any], None], says: str) -> None:
    made = model()
    spoil(made)
    with pytest.raises(CaptureError, match=says):
        load(made)


def test_a_loop_that_nothing_ends() -> None:
    with pytest.raises(CaptureError, match="4611686018427387904 times"):
        load(model(2**62))
    # a condition of its own ends the loop: exporters write so for while
    assert capture_graph(model(2**62, "Not"), EXAMPLE).of_kind("operation")


@pytest.mark.parametrize("reference", [False, True])
def test_a_loop_of_computed_length_is_bounded(
    monkeypatch: pytest.MonkeyPatch, reference: bool
) -> None:
    monkeypatch.setattr(node_runner, "LONGEST", 0.2)
    made = onnx.inliner.inline_local_functions(model())
    made.graph.initializer[1].name = "one"
    made.graph.node.insert(0, helper.make_node("Mul", ["one", "many"], ["trips"]))
    made.graph.initializer.append(numpy_helper.from_array(np.array(2**61), "many"))
    call = node_runner.runner(load(made), reference=reference)
    with pytest.raises(Exception, match="a loop that had not ended"):
        call(EXAMPLE)
