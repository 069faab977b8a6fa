"""Products with weights, and their biases, however they are spelled."""

from __future__ import annotations

import numpy as np

from tests.models.graph_maker import Maker, names, operations, reads, the
from tests.models.spelled import BOTH, add, linear, moved


@BOTH
def test_matmul_with_a_parameter_and_its_bias_are_one_linear(framework: str) -> None:
    make = Maker(framework)
    graph = make.normal(linear(make, make.input("x", (2, 3, 4)), (2, 3, 4), 4, 8))
    (node,) = operations(graph)
    assert node.op == "Linear" and [edge.view.shape for edge in node.inputs] == [
        (2, 3, 4),
        (4, 8),
        (8,),
    ]
    weight = node.inputs[1]
    values = np.arange(32).reshape((8, 4) if framework == "torch" else (4, 8))
    expected = values.T if framework == "torch" else values
    assert np.array_equal(weight.view.apply(values), expected)
    assert (
        node.locations[0] is not None
        and node.locations[0].value == graph.graph.of_kind("output")[0].inputs[0]
    )
    assert {record.id for record in graph.graph.of_kind("operation")} <= {
        *node.native,
        *(by for edge in node.inputs for by in edge.through),
    }


@BOTH
def test_a_product_of_data_stays_a_product(framework: str) -> None:
    make = Maker(framework)
    x, y = make.input("x", (2, 3, 4)), make.input("y", (2, 4, 5))
    roles = ("self", "other") if framework == "torch" else ("x", "y")
    graph = make.normal(make.op("matmul", dict(zip(roles, (x, y), strict=True)), (2, 3, 5)))
    assert names(graph) == ["MatMul"]


@BOTH
def test_a_bias_along_another_axis_is_no_bias(framework: str) -> None:
    make = Maker(framework)
    y = linear(make, make.input("x", (2, 8, 4)), (2, 8, 4), 4, 8, bias=False)
    graph = make.normal(add(make, y, make.parameter("b", (8, 1)), (2, 8, 8)))
    assert names(graph) == ["Linear", "Add"]


@BOTH
def test_a_bias_added_behind_a_transposition_is_the_products_own(framework: str) -> None:
    make = Maker(framework)
    y = linear(make, make.input("x", (2, 8, 4)), (2, 8, 4), 4, 6, bias=False)
    graph = make.normal(
        add(make, moved(make, y, (2, 6, 8), 0, 2, 1), make.parameter("b", (6, 1)), (2, 6, 8))
    )
    assert names(graph) == ["Linear"]
    assert the(graph, "Linear").inputs[2].view.shape == (6,)
    location = the(graph, "Linear").locations[0]
    values = np.arange(96).reshape(2, 6, 8)
    assert np.array_equal(location.view.apply(values), values.transpose(0, 2, 1))


@BOTH
def test_what_is_added_along_another_axis_behind_a_transposition_is_no_bias(framework: str) -> None:
    make = Maker(framework)
    y = linear(make, make.input("x", (2, 8, 4)), (2, 8, 4), 4, 8, bias=False)
    graph = make.normal(
        add(make, moved(make, y, (2, 8, 8), 0, 2, 1), make.parameter("b", (8,)), (2, 8, 8))
    )
    assert names(graph) == ["Linear", "Add"]


@BOTH
def test_a_convolution_of_one_element_is_linear(framework: str) -> None:
    make = Maker(framework)
    x, w = make.input("x", (2, 8, 1, 1)), make.parameter("w", (4, 8, 1, 1))
    if framework == "torch":
        y = make.op(
            "conv2d",
            {"input": x, "weight": w, "bias": make.parameter("b", (4,))},
            (2, 4, 1, 1),
            stride=(1, 1),
            padding=(0, 0),
            dilation=(1, 1),
            groups=1,
        )
    else:
        y = make.op(
            "conv2d",
            {"input": x, "filter": w},
            (2, 4, 1, 1),
            strides=(1, 1),
            paddings=(0, 0),
            dilations=(1, 1),
            padding_algorithm="EXPLICIT",
            groups=1,
            data_format="NCHW",
        )
        b = make.op(
            "reshape",
            {"x": make.parameter("b", (4,)), "shape": make.numbers((1, 4, 1, 1))},
            (1, 4, 1, 1),
        )
        y = make.op("add", {"x": y, "y": b}, (2, 4, 1, 1))
    graph = make.normal(y)
    node = the(graph, "Linear")
    assert (
        names(graph) == ["Linear"]
        and node.inputs[1].view.shape == (8, 4)
        and reads(graph, node.inputs[2]).name == "b"
    )
