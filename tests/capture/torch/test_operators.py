"""The ATen table: names, overloads, in-place spellings, what has two rows."""

import pytest

from padiff_graph.capture.graph import ComputationGraph, TensorType
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.call import Call
from padiff_graph.capture.torch import operators
from padiff_graph.capture.torch.operators import CONSTANTS, RANDOM, ROWS, row_of

from ...models.graph_maker import Maker


@pytest.mark.parametrize(
    ("op", "name"),
    [
        ("aten.relu.default", "relu"),
        ("aten.relu_.default", "relu"),
        ("aten.__and__.Tensor", "bitwise_and"),
        ("aten.max.other", "maximum"),
        ("aten.max.dim", "amax"),
        ("aten.avg_pool3d.default", "avg_pool3d"),
        ("aten.to.device", "lift"),
        ("aten.to.dtype", "float"),
        ("padiff_graph.gradient_hook.default", "padiff_graph.gradient_hook.default"),
    ],
)
def test_rows_are_found_by_any_spelling(op, name):
    assert row_of(op) is ROWS[name]


def test_an_operator_without_a_row():
    assert row_of("aten.no_such.default") is None
    assert row_of("transformers.own.default") is None


def test_a_name_has_one_row():
    with pytest.raises(ValueError, match="sin has two rows"):
        operators._by_name([("sin cos", 1), ("tan sin", 2)])


def test_constants_have_no_row_and_draws_are_no_constants():
    assert not set(ROWS) & set(CONSTANTS)
    assert not RANDOM & set(CONSTANTS)


@pytest.mark.parametrize(
    ("name", "attrs", "dtype", "value"),
    [
        ("zeros", {}, "int64", [[0, 0, 0], [0, 0, 0]]),
        ("ones", {}, "bfloat16", [[1, 1, 1], [1, 1, 1]]),
        ("full", {"fill_value": 2.5}, "float32", [[2.5] * 3] * 2),
        ("eye", {}, "float32", [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_constants(name, attrs, dtype, value):
    kind = TensorType((2, 3), dtype)
    make = Maker("torch")
    made = make.op(name, {}, kind, **attrs)
    call = Call(Builder(ComputationGraph.build("torch", make.nodes)), make.nodes[made.node])
    array = CONSTANTS[name](call, kind)
    assert array.tolist() == value
    assert array.dtype == {"bfloat16": "float32"}.get(dtype, dtype)


def test_arange():
    make = Maker("torch")
    made = make.op("arange", {}, (3,), start=1, end=7, step=2)
    call = Call(Builder(ComputationGraph.build("torch", make.nodes)), make.nodes[made.node])
    assert CONSTANTS["arange"](call, TensorType((3,), "float32")).tolist() == [1, 3, 5]
