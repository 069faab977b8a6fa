"""Dropout and stochastic depth."""

from __future__ import annotations

from collections import Counter

import pytest

from padiff_graph.capture.normal.form import NormalGraph
from tests.models.graph_maker import Maker, names, the
from tests.models.spelled import call, mul, same, scaled


def test_stochastic_depth_draws_alike() -> None:
    make = Maker("torch", training=True)
    x = make.input("x", (2, 3))
    empty = make.op("aten.new_empty.default", {"self": x}, (2, 1), size=(2, 1))
    kept = make.op("aten.bernoulli.p", {"self": empty}, (2, 1), marks=("random", "inplace"), p=0.75)
    first = make.normal(
        mul(make, x, make.op("aten.div.Tensor", {"self": kept}, (2, 1), other=0.75), (2, 3))
    )
    make = Maker("paddle", training=True)
    x = make.input("x", (2, 3))
    drawn = make.op(
        "uniform",
        {"shape": make.numbers((2, 1)), "min": make.number(0.0), "max": make.number(1.0)},
        (2, 1),
        marks=("random",),
        seed=0,
    )
    kept = make.op("floor", {"x": scaled(make, drawn, (2, 1), 1.0, 0.75)}, (2, 1))
    second = make.normal(
        mul(make, make.op("divide", {"x": x, "y": make.number(0.75)}, (2, 3)), kept, (2, 3))
    )
    assert Counter(names(first)) == Counter(names(second)) == {"Bernoulli": 1, "Mul": 1}
    assert the(first, "Bernoulli").attrs == the(second, "Bernoulli").attrs == {"p": 0.75}
    assert "random" in the(second, "Bernoulli").marks


def test_dropout() -> None:
    def graph(framework: str, training: bool, **attrs: object) -> NormalGraph:
        make = Maker(framework, training)
        x = make.input("x", (2, 3))
        if framework == "torch":
            y = make.op(
                "dropout",
                {"input": x},
                (2, 3),
                p=0.25,
                train=training,
                marks=("random",) if training else (),
            )
        else:
            y = make.op(
                "dropout",
                {"x": x, "seed_tensor": None, "p": make.number(0.25)},
                (2, 3),
                is_test=not training,
                marks=("random",) if training else (),
                **attrs,
            )
        return make.normal(call(make, "relu", "relu", y, (2, 3)))

    same(graph("torch", False), graph("paddle", False, mode="upscale_in_train"))
    same(graph("torch", True), graph("paddle", True, mode="upscale_in_train"))
    assert names(graph("torch", False)) == ["Relu"] and names(graph("torch", True)) == [
        "Dropout",
        "Relu",
    ]
    down = graph("paddle", False, mode="downgrade_in_infer")
    assert down.outputs["output"].scale * the(down, "Relu").inputs[0].scale == pytest.approx(0.75)
    assert the(graph("torch", True), "Dropout").marks == {"random"}
