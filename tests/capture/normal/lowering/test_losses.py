"""Whole losses of torch are what Paddle spells out: elements, weights, a reduction."""

from __future__ import annotations

import pytest

from padiff_graph.capture.graph import Value
from tests.models.graph_maker import Maker, names
from tests.models.spelled import same

SHAPE = (3, 5)
REDUCTIONS = {0: None, 1: "mean", 2: "sum"}
REDUCED = pytest.mark.parametrize("reduction", REDUCTIONS)


def _paddle(make: Maker, elements: Value, reduction: int, weight: Value | None = None) -> Value:
    if weight is not None:
        elements = make.op("multiply", {"x": elements, "y": weight}, SHAPE)
    name = REDUCTIONS[reduction]
    if name is None:
        return elements
    return make.op(name, {"x": elements}, (), axis=[], keepdim=False)


def _inputs(make: Maker, count: int) -> list[Value]:
    return [make.input(name, SHAPE) for name in "xyw"[:count]]


@REDUCED
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_a_distance(name: str, reduction: int) -> None:
    torch, paddle = Maker("torch"), Maker("paddle")
    x, y = _inputs(torch, 2)
    shape = SHAPE if reduction == 0 else ()
    whole = torch.op(name, {"self": x, "target": y}, shape, reduction=reduction)
    x, y = _inputs(paddle, 2)
    apart = paddle.op("subtract", {"x": x, "y": y}, SHAPE)
    elements = paddle.op("square" if name == "mse_loss" else "abs", {"x": apart}, SHAPE)
    same(torch.normal(whole), paddle.normal(_paddle(paddle, elements, reduction)))


@REDUCED
@pytest.mark.parametrize("weighed", [False, True], ids=["plain", "weighed"])
def test_a_binary_cross_entropy(reduction: int, weighed: bool) -> None:
    torch, paddle = Maker("torch"), Maker("paddle")
    x, y, *weight = _inputs(torch, 2 + weighed)
    shape = SHAPE if reduction == 0 else ()
    operands = {"self": x, "target": y, "weight": weight[0] if weight else None}
    whole = torch.op("binary_cross_entropy", operands, shape, reduction=reduction)
    x, y, *weight = _inputs(paddle, 2 + weighed)
    elements = paddle.op("bce_loss", {"input": x, "label": y}, SHAPE)
    spelled = _paddle(paddle, elements, reduction, weight[0] if weight else None)
    same(torch.normal(whole), paddle.normal(spelled))


@pytest.mark.parametrize("weighed", [False, True], ids=["plain", "positives weighed"])
def test_a_binary_cross_entropy_of_logits(weighed: bool) -> None:
    torch, paddle = Maker("torch"), Maker("paddle")
    x, y, *positive = _inputs(torch, 2 + weighed)
    operands = {"self": x, "target": y, "weight": None}
    operands["pos_weight"] = positive[0] if positive else None
    whole = torch.op("binary_cross_entropy_with_logits", operands, (), reduction=1)
    x, y, *positive = _inputs(paddle, 2 + weighed)
    elements = paddle.op(
        "sigmoid_cross_entropy_with_logits",
        {"x": x, "label": y, "pos_weight": positive[0] if positive else None},
        SHAPE,
        normalize=False,
        ignore_index=-100,
    )
    graph = torch.normal(whole)
    assert names(graph) == ["BinaryCrossEntropyWithLogits", "ReduceMean"]
    same(graph, paddle.normal(_paddle(paddle, elements, 1)))
