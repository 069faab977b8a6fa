"""Activations that are written out or called by another name."""

from __future__ import annotations

import math

import pytest

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.form import NormalGraph
from tests.models.graph_maker import Maker, names, the
from tests.models.spelled import BOTH, add, call, mul, same, scaled


@BOTH
def test_composed_gelu(framework: str) -> None:
    make = Maker(framework)
    shape = (2, 8)
    x = make.input("x", shape)
    gate = scaled(
        make, call(make, "erf", "erf", scaled(make, x, shape, 2**-0.5), shape), shape, 1.0, 1.0
    )
    graph = make.normal(
        call(make, "relu", "relu", mul(make, scaled(make, x, shape, 0.5), gate, shape), shape)
    )
    assert names(graph) == ["Gelu", "Relu"] and the(graph, "Gelu").attrs == {"approximate": "none"}
    assert the(graph, "Relu").inputs[0].scale == pytest.approx(1.0)


@BOTH
def test_composed_tanh_gelu(framework: str) -> None:
    make = Maker(framework)
    shape = (2, 8)
    x = make.input("x", shape)
    cube = (
        make.op("aten.pow.Tensor_Scalar", {"self": x}, shape, exponent=3.0)
        if framework == "torch"
        else make.op("pow", {"x": x}, shape, y=3.0)
    )
    inside = scaled(
        make,
        add(make, x, scaled(make, cube, shape, 0.044715), shape),
        shape,
        math.sqrt(2 / math.pi),
    )
    gate = scaled(make, call(make, "tanh", "tanh", inside, shape), shape, 1.0, 1.0)
    graph = make.normal(mul(make, scaled(make, x, shape, 0.5), gate, shape))
    assert names(graph) == ["Gelu"] and the(graph, "Gelu").attrs == {"approximate": "tanh"}


@BOTH
def test_silu_however_it_is_said(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 8))
    composed = make.normal(mul(make, x, call(make, "sigmoid", "sigmoid", x, (2, 8)), (2, 8)))
    make = Maker(framework)
    same(composed, make.normal(call(make, "silu", "swish", make.input("x", (2, 8)), (2, 8))))
    make = Maker(framework)
    x = make.input("x", (2, 8))
    quick = make.normal(
        mul(
            make,
            x,
            call(make, "sigmoid", "sigmoid", scaled(make, x, (2, 8), 1.702), (2, 8)),
            (2, 8),
        )
    )
    assert the(quick, "Swish").attrs["alpha"] == pytest.approx(1.702)


@BOTH
def test_hard_activations(framework: str) -> None:
    shape = (2, 8)

    def graph(build: object) -> NormalGraph:
        make = Maker(framework)
        x = make.input("x", shape)
        return make.normal(build(make, x))  # type: ignore[operator]

    def relu6(make: Maker, x: Value) -> Value:
        return call(make, "relu6", "relu6", x, shape)

    sigmoid = graph(
        lambda make, x: call(
            make,
            "hardsigmoid",
            "hardsigmoid",
            x,
            shape,
            **({} if framework == "torch" else {"slope": 1 / 6, "offset": 0.5}),
        )
    )
    by_hand = graph(
        lambda make, x: scaled(make, relu6(make, scaled(make, x, shape, 1.0, 3.0)), shape, 1 / 6)
    )
    same(sigmoid, by_hand)
    swish = graph(lambda make, x: call(make, "hardswish", "hardswish", x, shape))
    by_hand = graph(
        lambda make, x: mul(
            make,
            x,
            scaled(make, relu6(make, scaled(make, x, shape, 1.0, 3.0)), shape, 1 / 6),
            shape,
        )
    )
    same(swish, by_hand)
    if framework == "paddle":
        fifth = graph(
            lambda make, x: make.op("hardsigmoid", {"x": x}, shape, slope=0.2, offset=0.5)
        )
        six = graph(
            lambda make, x: scaled(
                make, relu6(make, scaled(make, x, shape, 1.2, 3.0)), shape, 1 / 6
            )
        )
        same(fifth, six)
        assert the(six, "HardSigmoid").attrs["alpha"] == pytest.approx(0.2)
