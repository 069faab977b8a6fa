"""Each rewrite on both frameworks' operator names: two spellings, one normal form."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from padiff_graph.capture.graph import TensorType, Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.traits import differing_attributes
from tests.models.graph_maker import Maker, names, operations, reads, the

BOTH = pytest.mark.parametrize("framework", ["torch", "paddle"])


def same(first: NormalGraph, second: NormalGraph) -> None:
    """Both forms have the same operators with equal attributes, operand views and scalings, in
    order."""
    assert names(first) == names(second)
    for a, b in zip(operations(first), operations(second), strict=True):
        assert differing_attributes(a.op, a.attrs, b.attrs) == (), (a, b)
        assert len(a.inputs) == len(b.inputs)
        for x, y in zip(a.inputs, b.inputs, strict=True):
            assert (x is None) == (y is None)
            if x is not None and y is not None:
                assert first.nodes[x.source].op == second.nodes[y.source].op
                if first.nodes[x.source].op != "Parameter":
                    assert x.view.same(y.view), (a.op, x.view, y.view)
                assert math.isclose(x.scale, y.scale, rel_tol=1e-5) and math.isclose(
                    x.shift, y.shift, rel_tol=1e-5
                )


def linear(
    make: Maker, x: Value, shape: tuple[int, ...], n: int, m: int, name: str = "", bias: bool = True
) -> Value:
    """A linear layer in the framework's own way."""
    out = (*shape[:-1], m)
    if make.framework == "torch":
        w = make.parameter(f"{name}weight", (m, n))
        b = make.parameter(f"{name}bias", (m,)) if bias else None
        return make.op("linear", {"input": x, "weight": w, "bias": b}, out)
    w = make.parameter(f"{name}weight", (n, m))
    y = make.op("matmul", {"x": x, "y": w}, out, transpose_x=False, transpose_y=False)
    return make.op("add", {"x": y, "y": make.parameter(f"{name}bias", (m,))}, out) if bias else y


def add(make: Maker, x: Value, y: Value, shape: tuple[int, ...]) -> Value:
    """x + y."""
    return (
        make.op("aten.add.Tensor", {"self": x, "other": y}, shape, alpha=1)
        if make.framework == "torch"
        else make.op("add", {"x": x, "y": y}, shape)
    )


def mul(make: Maker, x: Value, y: Value, shape: tuple[int, ...]) -> Value:
    """x * y."""
    return (
        make.op("aten.mul.Tensor", {"self": x, "other": y}, shape)
        if make.framework == "torch"
        else make.op("multiply", {"x": x, "y": y}, shape)
    )


def scaled(
    make: Maker, x: Value, shape: tuple[int, ...], scale: float, shift: float = 0.0
) -> Value:
    """scale * x + shift."""
    if make.framework == "paddle":
        return make.op(
            "scale", {"x": x, "scale": make.number(scale)}, shape, bias=shift, bias_after_scale=True
        )
    y = make.op("aten.mul.Tensor", {"self": x}, shape, other=scale)
    return make.op("aten.add.Tensor", {"self": y}, shape, other=shift, alpha=1) if shift else y


def call(
    make: Maker, torch: str, paddle: str, x: Value, shape: tuple[int, ...], **attrs: object
) -> Value:
    """An operator of one operand."""
    return (
        make.op(torch, {"self": x}, shape, **attrs)
        if make.framework == "torch"
        else make.op(paddle, {"x": x}, shape, **attrs)
    )


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


def moved(make: Maker, x: Value, shape: tuple[int, ...], *axes: int) -> Value:
    """x with its axes in another order."""
    return (
        make.op("permute", {"self": x}, shape, dims=axes)
        if make.framework == "torch"
        else make.op("transpose", {"x": x}, shape, perm=axes)
    )


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


def test_convolution_with_its_bias_and_paddles_conv1d() -> None:
    torch = Maker("torch")
    x = torch.input("x", (2, 4, 16))
    w, b = torch.parameter("w", (8, 4, 3)), torch.parameter("b", (8,))
    first = torch.normal(
        torch.op(
            "conv1d",
            {"input": x, "weight": w, "bias": b},
            (2, 8, 8),
            stride=(2,),
            padding=(1,),
            dilation=(1,),
            groups=1,
        )
    )
    paddle = Maker("paddle")
    x = paddle.op(
        "unsqueeze",
        {"x": paddle.input("x", (2, 4, 16)), "axis": paddle.numbers((-2,))},
        (2, 4, 1, 16),
    )
    w = paddle.op(
        "unsqueeze",
        {"x": paddle.parameter("w", (8, 4, 3)), "axis": paddle.numbers((-2,))},
        (8, 4, 1, 3),
    )
    y = paddle.op(
        "conv2d",
        {"input": x, "filter": w},
        (2, 8, 1, 8),
        strides=(1, 2),
        paddings=(0, 1),
        dilations=(1, 1),
        padding_algorithm="EXPLICIT",
        groups=1,
        data_format="NCHW",
    )
    b = paddle.op(
        "reshape",
        {"x": paddle.parameter("b", (8,)), "shape": paddle.numbers((1, 8, 1, 1))},
        (1, 8, 1, 1),
    )
    y = paddle.op("add", {"x": y, "y": b}, (2, 8, 1, 8))
    second = paddle.normal(paddle.op("squeeze", {"x": y, "axis": paddle.numbers((-2,))}, (2, 8, 8)))
    same(first, second)
    assert the(second, "Conv").attrs == {
        "strides": (2,),
        "pads": (1, 1),
        "dilations": (1,),
        "group": 1,
    }


@BOTH
def test_zero_padding_goes_into_the_convolution(framework: str) -> None:
    make = Maker(framework)
    x, w = make.input("x", (1, 3, 7, 7)), make.parameter("w", (4, 3, 3, 3))
    if framework == "torch":
        padded = make.op(
            "pad", {"self": x}, (1, 3, 9, 8), pad=(0, 1, 1, 1), mode="constant", value=0.0
        )
        out = make.op(
            "conv2d",
            {"input": padded, "weight": w, "bias": None},
            (1, 4, 7, 6),
            stride=(1, 1),
            padding=(0, 0),
            dilation=(1, 1),
            groups=1,
        )
    else:
        wide = make.op("unsqueeze", {"x": x, "axis": make.numbers((2,))}, (1, 3, 1, 7, 7))
        padded = make.op(
            "pad3d",
            {"x": wide, "paddings": make.numbers((0, 1, 1, 1, 0, 0))},
            (1, 3, 1, 9, 8),
            mode="constant",
            pad_value=0.0,
            data_format="NCDHW",
        )
        narrow = make.op("squeeze", {"x": padded, "axis": make.numbers((2,))}, (1, 3, 9, 8))
        out = make.op(
            "conv2d",
            {"input": narrow, "filter": w},
            (1, 4, 7, 6),
            strides=(1, 1),
            paddings=(0, 0),
            dilations=(1, 1),
            padding_algorithm="EXPLICIT",
            groups=1,
            data_format="NCHW",
        )
    graph = make.normal(out)
    assert names(graph) == ["Conv"] and the(graph, "Conv").attrs["pads"] == (1, 0, 1, 1)


def test_same_padding_becomes_numbers() -> None:
    make = Maker("paddle")
    x, w = make.input("x", (1, 3, 8, 7)), make.parameter("w", (4, 3, 3, 3))
    out = make.op(
        "conv2d",
        {"input": x, "filter": w},
        (1, 4, 4, 4),
        strides=(2, 2),
        paddings=(0, 0),
        dilations=(1, 1),
        padding_algorithm="SAME",
        groups=1,
        data_format="NCHW",
    )
    assert the(make.normal(out), "Conv").attrs["pads"] == (0, 1, 1, 1)


@BOTH
def test_zero_padding_before_anything_else_is_movement(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    if framework == "torch":
        y = make.op("pad", {"self": x}, (2, 5), pad=(1, 1), mode="constant", value=0.0)
    else:
        y = make.op("pad", {"x": x}, (2, 5), paddings=(0, 0, 1, 1), pad_value=0.0)
    graph = make.normal(call(make, "relu", "relu", y, (2, 5)))
    (node,) = operations(graph)
    assert node.op == "Relu" and node.inputs[0].view.indices().reshape(2, 5).tolist() == [
        [-1, 0, 1, 2, -1],
        [-1, 3, 4, 5, -1],
    ]


@BOTH
def test_padding_with_another_number_stays(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    if framework == "torch":
        y = make.op("pad", {"self": x}, (2, 5), pad=(1, 1), mode="constant", value=2.0)
    else:
        y = make.op("pad", {"x": x}, (2, 5), paddings=(0, 0, 1, 1), pad_value=2.0)
    assert names(make.normal(call(make, "relu", "relu", y, (2, 5)))) == ["Pad", "Relu"]


def test_attention_is_spelled_out() -> None:
    torch = Maker("torch")
    q, k, v = (torch.input(name, (2, 4, 5, 8)) for name in "qkv")
    first = torch.normal(
        torch.op(
            "scaled_dot_product_attention",
            {"query": q, "key": k, "value": v, "attn_mask": None},
            (2, 4, 5, 8),
            dropout_p=0.0,
            is_causal=False,
            scale=None,
            enable_gqa=False,
        )
    )
    paddle = Maker("paddle")
    q, k, v = (paddle.input(name, (2, 4, 5, 8)) for name in "qkv")
    q = paddle.op(
        "scale",
        {"x": q, "scale": paddle.number(8**-0.5)},
        (2, 4, 5, 8),
        bias=0.0,
        bias_after_scale=True,
    )
    scores = paddle.op(
        "matmul", {"x": q, "y": k}, (2, 4, 5, 5), transpose_x=False, transpose_y=True
    )
    weights = paddle.op("softmax", {"x": scores}, (2, 4, 5, 5), axis=-1)
    second = paddle.normal(
        paddle.op(
            "matmul", {"x": weights, "y": v}, (2, 4, 5, 8), transpose_x=False, transpose_y=False
        )
    )
    same(first, second)
    assert names(first) == ["MatMul", "Softmax", "MatMul"]
    assert the(second, "Softmax").inputs[0].scale == pytest.approx(8**-0.5)


def test_grouped_queries_repeat_keys_and_values() -> None:
    make = Maker("torch")
    q, k, v = (
        make.input("q", (1, 4, 5, 8)),
        make.input("k", (1, 2, 5, 8)),
        make.input("v", (1, 2, 5, 8)),
    )
    graph = make.normal(
        make.op(
            "scaled_dot_product_attention",
            {"query": q, "key": k, "value": v, "attn_mask": None},
            (1, 4, 5, 8),
            dropout_p=0.0,
            is_causal=True,
            scale=0.5,
            enable_gqa=True,
        )
    )
    assert names(graph) == ["MatMul", "Softmax", "MatMul"]
    last = graph.nodes[graph.outputs["output"].source]
    heads = last.inputs[1].view.indices().reshape(4, 5, 8)[:, 0, 0] // 40
    assert heads.tolist() == [0, 0, 1, 1]
    mask = reads(graph, the(graph, "Softmax").inputs[1])
    assert mask.constant is not None and np.array_equal(
        mask.constant.reshape(5, 5), np.tril(np.ones((5, 5), bool))
    )


@BOTH
def test_masks_are_operands_of_the_softmax(framework: str) -> None:
    make = Maker(framework)
    x, ids = make.input("x", (2, 4, 5, 5)), make.input("ids", (2, 1, 1, 5), "int64")
    kind = TensorType((2, 1, 1, 5), "bool")
    if framework == "torch":
        hidden = make.op("aten.eq.Scalar", {"self": ids}, kind, other=0)
        y = make.op("masked_fill", {"self": x, "mask": hidden}, (2, 4, 5, 5), value=-1e9)
    else:
        hidden = make.op("equal", {"x": ids, "y": make.constant(np.array(0))}, kind)
        as_float = make.op("cast", {"x": hidden}, (2, 1, 1, 5), dtype="float32")
        low = make.op(
            "scale",
            {"x": as_float, "scale": make.number(-1e4)},
            (2, 1, 1, 5),
            bias=0.0,
            bias_after_scale=True,
        )
        y = make.op("add", {"x": x, "y": low}, (2, 4, 5, 5))
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 5, 5),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Equal", "Softmax"]
    assert [reads(graph, edge).op for edge in the(graph, "Softmax").inputs] == ["Input", "Equal"]


@BOTH
def test_masks_added_before_and_behind_a_reshape_are_operands_of_the_softmax(
    framework: str,
) -> None:
    """Positions added where heads are folded into the batch, the mask where they are not."""
    make = Maker(framework)
    positions = make.constant(np.arange(24, dtype=np.float32).reshape(8, 1, 3) / 7)
    mask = make.constant(np.triu(np.full((1, 1, 3, 3), -1e9, np.float32), 1))
    y = add(make, make.input("x", (8, 3, 3)), positions, (8, 3, 3))
    y = (
        make.op("view", {"self": y}, (2, 4, 3, 3), size=(2, 4, 3, 3))
        if framework == "torch"
        else make.op("reshape", {"x": y, "shape": make.numbers((2, 4, 3, 3))}, (2, 4, 3, 3))
    )
    y = add(make, y, mask, (2, 4, 3, 3))
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 3, 3),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Softmax"]
    assert sorted(edge.view.shape for edge in the(graph, "Softmax").inputs if edge is not None) == [
        (1, 1, 3, 3),
        (2, 4, 1, 3),
        (2, 4, 3, 3),
    ]


@BOTH
def test_a_learned_bias_before_the_softmax_is_no_mask(framework: str) -> None:
    make = Maker(framework)
    y = add(make, make.input("x", (2, 4, 5, 5)), make.parameter("table", (4, 5, 5)), (2, 4, 5, 5))
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 5, 5),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Add", "Softmax"]


@BOTH
def test_a_bias_that_brings_its_mask_to_several_softmaxes(framework: str) -> None:
    make = Maker(framework)
    axis = {"dim" if framework == "torch" else "axis": -1}
    shape, visible = (2, 4, 5, 5), np.tril(np.ones((1, 1, 5, 5), bool))
    scores = [make.input(name, shape) for name in "ab"]
    table = make.parameter("table", (1, 4, 5, 5))
    if framework == "torch":
        bias = make.op(
            "aten.where.self",
            {
                "condition": make.constant(visible),
                "self": table,
                "other": make.constant(np.array(-1e9, "float32")),
            },
            (1, 4, 5, 5),
        )
    else:
        bias = add(
            make, table, make.constant(np.where(visible, 0.0, -1e4).astype("float32")), (1, 4, 5, 5)
        )
    graph = make.normal(
        *(
            call(make, "softmax", "softmax", add(make, score, bias, shape), shape, **axis)
            for score in scores
        )
    )
    assert names(graph) == ["Add", "Softmax", "Add", "Softmax"]
    for node in operations(graph):
        if node.op == "Add":
            assert sorted(reads(graph, edge).op for edge in node.inputs) == ["Input", "Parameter"]
        else:
            assert [reads(graph, edge).op for edge in node.inputs] == ["Add", "Constant"]


@BOTH
def test_a_mask_of_zeros_is_no_mask(framework: str) -> None:
    make = Maker(framework)
    y = add(
        make,
        make.input("x", (2, 4, 5, 5)),
        make.constant(np.zeros((1, 1, 5, 5), "float32")),
        (2, 4, 5, 5),
    )
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 5, 5),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Softmax"] and len(the(graph, "Softmax").inputs) == 1


@BOTH
def test_an_operand_copied_over_the_batch_reads_as_it_is(framework: str) -> None:
    make = Maker(framework)
    x, b = make.input("x", (2, 3, 4)), make.parameter("b", (1, 3, 4))
    if framework == "torch":
        wide = make.op("cat", {"tensors": [b, b]}, (2, 3, 4), dim=0)
    else:
        wide = make.op("concat", {"x": [b, b], "axis": make.number(0, "int32")}, (2, 3, 4))
    graph = make.normal(add(make, x, wide, (2, 3, 4)))
    assert names(graph) == ["Add"] and [edge.view.shape for edge in the(graph, "Add").inputs] == [
        (2, 3, 4),
        (1, 3, 4),
    ]


@BOTH
def test_the_mean_of_one_pixel_is_the_pixel(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3, 1, 1))
    if framework == "torch":
        pooled = make.op("aten.mean.dim", {"self": x}, (2, 3), dim=(2, 3), keepdim=False)
    else:
        pooled = make.op("mean", {"x": x}, (2, 3), axis=(2, 3), keepdim=False)
    graph = make.normal(call(make, "tanh", "tanh", pooled, (2, 3)))
    assert names(graph) == ["Tanh"] and reads(graph, the(graph, "Tanh").inputs[0]).op == "Input"


@BOTH
def test_sums_and_products_of_any_number(framework: str) -> None:
    make = Maker(framework)
    shape = (2, 3)
    a, b, c = (make.input(name, shape) for name in "abc")
    total = add(make, add(make, scaled(make, a, shape, 2.0, 1.0), b, shape), c, shape)
    graph = make.normal(call(make, "tanh", "tanh", total, shape))
    node = the(graph, "Add")
    assert sorted(edge.scale for edge in node.inputs) == [1.0, 1.0, 2.0] and {
        edge.shift for edge in node.inputs
    } == {0.0}
    assert the(graph, "Tanh").inputs[0].shift == 1.0
    make = Maker(framework)
    a, b, c = (make.input(name, shape) for name in "abc")
    graph = make.normal(
        call(
            make,
            "tanh",
            "tanh",
            mul(make, mul(make, a, scaled(make, b, shape, 3.0), shape), c, shape),
            shape,
        )
    )
    assert len(the(graph, "Mul").inputs) == 3 and the(graph, "Tanh").inputs[0].scale == 3.0


@BOTH
def test_a_sum_read_twice_is_kept(framework: str) -> None:
    make = Maker(framework)
    a, b, c = (make.input(name, (2, 3)) for name in "abc")
    inner = add(make, a, b, (2, 3))
    graph = make.normal(add(make, inner, c, (2, 3)), call(make, "relu", "relu", inner, (2, 3)))
    assert Counter(names(graph)) == {"Add": 2, "Relu": 1}


@BOTH
def test_subtraction_and_division(framework: str) -> None:
    make = Maker(framework)
    a, b = make.input("a", (2, 3)), make.input("b", (2, 3))
    roles = ("self", "other") if framework == "torch" else ("x", "y")
    minus = make.op(
        "aten.sub.Tensor" if framework == "torch" else "subtract",
        dict(zip(roles, (a, b), strict=True)),
        (2, 3),
    )
    root = call(make, "sqrt", "sqrt", b, (2, 3))
    over = make.op(
        "aten.div.Tensor" if framework == "torch" else "divide",
        dict(zip(roles, (minus, root), strict=True)),
        (2, 3),
    )
    graph = make.normal(over)
    assert Counter(names(graph)) == {"Add": 1, "Pow": 1, "Mul": 1}
    assert the(graph, "Pow").attrs["exponent"] == -0.5
    assert sorted(edge.scale for edge in the(graph, "Add").inputs) == [-1.0, 1.0]


def composed_norm(
    make: Maker, x: Value, shape: tuple[int, ...], centre: bool, epsilon: float
) -> Value:
    """A normalisation over the last axis, step by step."""
    short = (*shape[:-1], 1)
    axis = {"dim": (-1,)} if make.framework == "torch" else {"axis": (-1,)}
    mean = "aten.mean.dim" if make.framework == "torch" else "mean"
    role = "self" if make.framework == "torch" else "x"
    if centre:
        average = make.op(mean, {role: x}, short, keepdim=True, **axis)
        roles = ("self", "other") if make.framework == "torch" else ("x", "y")
        x = make.op(
            "aten.sub.Tensor" if make.framework == "torch" else "subtract",
            dict(zip(roles, (x, average), strict=True)),
            shape,
        )
    square = (
        make.op("aten.pow.Tensor_Scalar", {"self": x}, shape, exponent=2)
        if make.framework == "torch"
        else make.op("multiply", {"x": x, "y": x}, shape)
    )
    variance = make.op(mean, {role: square}, short, keepdim=True, **axis)
    variance = (
        scaled(make, variance, short, 1.0, epsilon)
        if make.framework == "paddle"
        else make.op("aten.add.Tensor", {"self": variance}, short, other=epsilon, alpha=1)
    )
    root = call(make, "rsqrt", "rsqrt", variance, short)
    weight = make.parameter("weight", shape[-1:])
    y = mul(make, weight, mul(make, x, root, shape), shape)
    return add(make, y, make.parameter("bias", shape[-1:]), shape) if centre else y


@BOTH
def test_composed_layer_norm_is_layer_norm(framework: str) -> None:
    make = Maker(framework)
    graph = make.normal(composed_norm(make, make.input("x", (2, 5, 8)), (2, 5, 8), True, 1e-6))
    fused = Maker("torch")
    fused_out = fused.op(
        "layer_norm",
        {
            "input": fused.input("x", (2, 5, 8)),
            "weight": fused.parameter("weight", (8,)),
            "bias": fused.parameter("bias", (8,)),
        },
        (2, 5, 8),
        normalized_shape=(8,),
        eps=1e-6,
        cudnn_enable=True,
    )
    same(graph, fused.normal(fused_out))
    assert [reads(graph, edge).name for edge in the(graph, "LayerNormalization").inputs] == [
        "x",
        "weight",
        "bias",
    ]


@BOTH
def test_composed_rms_norm_is_rms_norm(framework: str) -> None:
    make = Maker(framework)
    graph = make.normal(composed_norm(make, make.input("x", (2, 5, 8)), (2, 5, 8), False, 1e-6))
    fused = Maker("paddle")
    out = fused.op(
        "fused_rms_norm_ext",
        {"x": fused.input("x", (2, 5, 8)), "scale": fused.parameter("weight", (8,))},
        (2, 5, 8),
        epsilon=9.999999974752427e-07,
    )
    same(graph, fused.normal(out))


@BOTH
def test_composed_layer_norm_over_channels(framework: str) -> None:
    """ConvNeXt's channels-first LayerNorm is LayerNorm between two transposes."""
    shape, short = (2, 8, 5, 5), (2, 1, 5, 5)
    make = Maker(framework)
    x = make.input("x", shape)
    torch = framework == "torch"
    role, roles = ("self", ("self", "other")) if torch else ("x", ("x", "y"))
    axis = {"dim": (1,)} if torch else {"axis": (1,)}
    mean = "aten.mean.dim" if torch else "mean"
    average = make.op(mean, {role: x}, short, keepdim=True, **axis)
    centred = make.op(
        "aten.sub.Tensor" if torch else "subtract",
        dict(zip(roles, (x, average), strict=True)),
        shape,
    )
    square = (
        make.op("aten.pow.Tensor_Scalar", {"self": centred}, shape, exponent=2)
        if torch
        else make.op("pow", {"x": centred}, shape, y=2.0)
    )
    variance = make.op(mean, {role: square}, short, keepdim=True, **axis)
    variance = (
        make.op("aten.add.Tensor", {"self": variance}, short, other=1e-6, alpha=1)
        if torch
        else scaled(make, variance, short, 1.0, 1e-6)
    )
    root = call(make, "sqrt", "sqrt", variance, short)
    y = make.op(
        "aten.div.Tensor" if torch else "divide",
        dict(zip(roles, (centred, root), strict=True)),
        shape,
    )
    weight, bias = (
        make.op("reshape", {role: make.parameter(name, (8,))}, (8, 1, 1))
        for name in ("weight", "bias")
    )
    graph = make.normal(add(make, mul(make, weight, y, shape), bias, shape))
    (node,) = operations(graph)
    assert node.op == "LayerNormalization" and node.attrs == {
        "epsilon": pytest.approx(1e-6),
        "axis": -1,
        "correction": 0.0,
    }
    assert node.inputs[0].view.shape[-1] == 8
    assert node.locations[0] is not None
    native = np.arange(400).reshape(shape)
    assert np.array_equal(
        node.locations[0].view.apply(native).reshape(2, 25, 8),
        native.reshape(2, 8, 25).transpose(0, 2, 1),
    )


@BOTH
def test_a_statistic_over_another_axis_is_no_layer_norm(framework: str) -> None:
    make = Maker(framework)
    shape = (4, 4, 4)
    torch = framework == "torch"
    role = "self" if torch else "x"
    x = make.input("x", shape)
    square = call(make, "square", "square", x, shape)
    mean = make.op(
        "aten.mean.dim" if torch else "mean",
        {role: square},
        (4, 4),
        keepdim=False,
        **({"dim": (-1,)} if torch else {"axis": (-1,)}),
    )
    mean = (
        make.op("aten.add.Tensor", {"self": mean}, (4, 4), other=1e-6, alpha=1)
        if torch
        else scaled(make, mean, (4, 4), 1.0, 1e-6)
    )
    root = call(make, "rsqrt", "rsqrt", mean, (4, 4))
    # [4, 4] broadcasts along the wrong axes of [4, 4, 4].
    assert "RMSNormalization" not in names(make.normal(mul(make, x, root, shape)))


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


@BOTH
def test_windows_side_by_side_are_movement(framework: str) -> None:
    """unfold with a stride of its kernel, and fold back, against torch's own numbers."""
    values = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)
    unfolded = torch.nn.functional.unfold(torch.from_numpy(values), (2, 3), stride=(2, 3))
    make = Maker(framework)
    x = make.input("x", (2, 3, 4, 6))
    if framework == "torch":
        columns = make.op(
            "im2col",
            {"self": x},
            (2, 18, 4),
            kernel_size=(2, 3),
            dilation=(1, 1),
            padding=(0, 0),
            stride=(2, 3),
        )
    else:
        columns = make.op(
            "unfold",
            {"x": x},
            (2, 18, 4),
            kernel_sizes=(2, 3),
            strides=(2, 3),
            paddings=(0, 0, 0, 0),
            dilations=(1, 1),
        )
    graph = make.normal(columns)
    assert names(graph) == []
    (edge,) = graph.outputs.values()
    assert np.array_equal(edge.view.apply(values), unfolded.numpy())
    if framework == "torch":
        back = make.op(
            "col2im",
            {"self": columns},
            (2, 3, 4, 6),
            output_size=(4, 6),
            kernel_size=(2, 3),
            dilation=(1, 1),
            padding=(0, 0),
            stride=(2, 3),
        )
    else:
        back = make.op(
            "fold",
            {"x": columns},
            (2, 3, 4, 6),
            output_sizes=(4, 6),
            kernel_sizes=(2, 3),
            strides=(2, 3),
            paddings=(0, 0, 0, 0),
            dilations=(1, 1),
        )
    graph = make.normal(back)
    assert names(graph) == [] and next(iter(graph.outputs.values())).view.identity


def test_overlapping_windows_stay_an_operation() -> None:
    make = Maker("torch")
    x = make.input("x", (2, 3, 4, 6))
    graph = make.normal(
        make.op(
            "im2col",
            {"self": x},
            (2, 12, 15),
            kernel_size=(2, 2),
            dilation=(1, 1),
            padding=(0, 0),
            stride=(1, 1),
        )
    )
    assert names(graph) == ["Im2Col"]


def test_pooling_of_one_axis_said_with_two() -> None:
    first = Maker("torch")
    x = first.input("x", (2, 4, 16))
    one = first.normal(
        first.op(
            "avg_pool1d",
            {"self": x},
            (2, 4, 4),
            kernel_size=(4,),
            stride=(4,),
            padding=(0,),
            ceil_mode=False,
            count_include_pad=True,
        )
    )
    second = Maker("paddle")
    x = second.op(
        "unsqueeze",
        {"x": second.input("x", (2, 4, 16)), "axis": second.numbers((2,))},
        (2, 4, 1, 16),
    )
    y = second.op(
        "pool2d",
        {"x": x, "kernel_size": second.numbers((1, 4))},
        (2, 4, 1, 4),
        strides=(1, 4),
        paddings=(0, 0),
        ceil_mode=False,
        exclusive=True,
        data_format="NCHW",
        pooling_type="avg",
        global_pooling=False,
        adaptive=False,
        padding_algorithm="EXPLICIT",
    )
    two = second.normal(second.op("squeeze", {"x": y, "axis": second.numbers((2,))}, (2, 4, 4)))
    same(one, two)
    assert the(two, "AveragePool").attrs["kernel_shape"] == (4,)


def test_pooling_over_everything_is_a_mean() -> None:
    make = Maker("torch")
    x = make.input("x", (2, 4, 7, 7))
    first = make.normal(
        make.op("adaptive_avg_pool2d", {"self": x}, (2, 4, 1, 1), output_size=(1, 1))
    )
    make = Maker("torch")
    x = make.input("x", (2, 4, 7, 7))
    second = make.normal(make.op("aten.mean.dim", {"self": x}, (2, 4), dim=(2, 3), keepdim=False))
    make = Maker("paddle")
    x = make.input("x", (2, 4, 7, 7))
    third = make.normal(
        make.op(
            "pool2d",
            {"x": x, "kernel_size": make.numbers((1, 1))},
            (2, 4, 1, 1),
            strides=(1, 1),
            paddings=(0, 0),
            ceil_mode=False,
            exclusive=True,
            data_format="NCHW",
            pooling_type="avg",
            global_pooling=False,
            adaptive=True,
            padding_algorithm="EXPLICIT",
        )
    )
    same(first, second)
    same(first, third)
    assert names(first) == ["ReduceMean"]


def test_padding_is_counted_only_where_there_is_some() -> None:
    make = Maker("paddle")
    x = make.input("x", (2, 4, 8, 8))

    def pool(paddings: tuple[int, int], exclusive: bool) -> NormalGraph:
        make = Maker("paddle")
        x = make.input("x", (2, 4, 8, 8))
        return make.normal(
            make.op(
                "pool2d",
                {"x": x, "kernel_size": make.numbers((2, 2))},
                (2, 4, 4, 4),
                strides=(2, 2),
                paddings=paddings,
                ceil_mode=False,
                exclusive=exclusive,
                data_format="NCHW",
                pooling_type="avg",
                global_pooling=False,
                adaptive=False,
                padding_algorithm="EXPLICIT",
            )
        )

    assert x
    assert (
        the(pool((0, 0), True), "AveragePool").attrs
        == the(pool((0, 0), False), "AveragePool").attrs
    )
    assert the(pool((1, 1), True), "AveragePool").attrs["count_include_pad"] is False
    assert the(pool((1, 1), False), "AveragePool").attrs["count_include_pad"] is True


def split_parts(make: Maker, x: Value, shape: tuple[int, ...], count: int) -> list[Value]:
    """Equal parts of the last axis."""
    part = TensorType((*shape[:-1], shape[-1] // count), "float32")
    if make.framework == "torch":
        node = make.op("chunk", {"self": x}, [part] * count, chunks=count, dim=-1)
        return [Value(node.node, output) for output in range(count)]
    vector = make.op("split_with_num", {"x": x, "axis": make.number(2, "int32")}, [part], num=count)
    node = make.op("builtin.split", {"input": vector}, [part] * count)
    return [Value(node.node, output) for output in range(count)]


@BOTH
def test_a_fused_linear_is_taken_apart(framework: str) -> None:
    make = Maker(framework)
    fused = linear(make, make.input("x", (2, 3, 4)), (2, 3, 4), 4, 12)
    q, k, v = split_parts(make, fused, (2, 3, 12), 3)
    first = make.normal(
        mul(
            make,
            call(make, "sigmoid", "sigmoid", q, (2, 3, 4)),
            call(make, "tanh", "tanh", k, (2, 3, 4)),
            (2, 3, 4),
        ),
        call(make, "relu", "relu", v, (2, 3, 4)),
    )
    make = Maker(framework)
    x = make.input("x", (2, 3, 4))
    q, k, v = (linear(make, x, (2, 3, 4), 4, 4, name) for name in ("q.", "k.", "v."))
    second = make.normal(
        mul(
            make,
            call(make, "sigmoid", "sigmoid", q, (2, 3, 4)),
            call(make, "tanh", "tanh", k, (2, 3, 4)),
            (2, 3, 4),
        ),
        call(make, "relu", "relu", v, (2, 3, 4)),
    )
    assert Counter(names(first)) == Counter(names(second))
    assert first.rewrites["split_linear"] == 1
    weights = np.arange(48).reshape((12, 4) if framework == "torch" else (4, 12))
    matrix = weights.T if framework == "torch" else weights
    for node in operations(first):
        if node.op != "Linear":
            assert node.inputs[0].view.identity
            continue
        (user,) = [
            user
            for user in operations(first)
            for edge in user.inputs
            if edge is not None and edge.source == node.id
        ]
        at = {"Sigmoid": 0, "Tanh": 4, "Relu": 8}[user.op]
        assert np.array_equal(node.inputs[1].view.apply(weights), matrix[:, at : at + 4])
        assert node.locations[0].view.indices()[:4].tolist() == [at, at + 1, at + 2, at + 3]


@BOTH
def test_query_key_value_by_head_are_taken_apart(framework: str) -> None:
    """[batch, length, heads, 3, width], as GPT-NeoX and ViT-like ports have it.

    Halves of a head stay together.
    """
    make = Maker(framework)
    torch = framework == "torch"
    role = "self" if torch else "x"
    fused = linear(make, make.input("x", (2, 3, 4)), (2, 3, 4), 4, 24, bias=False)
    heads = make.op("view" if torch else "reshape", {role: fused}, (2, 3, 2, 3, 4))
    results = []
    for at in range(3):
        if torch:
            part = make.op("aten.select.int", {"self": heads}, (2, 3, 2, 4), dim=3, index=at)
            halves = [
                make.op(
                    "aten.slice.Tensor",
                    {"self": part},
                    (2, 3, 2, 2),
                    dim=3,
                    start=start,
                    end=start + 2,
                    step=1,
                )
                for start in (0, 2)
            ]
        else:
            part = make.op(
                "slice",
                {"input": heads, "starts": make.numbers((at,)), "ends": make.numbers((at + 1,))},
                (2, 3, 2, 4),
                axes=(3,),
                decrease_axis=(3,),
                infer_flags=(1,),
            )
            halves = [
                make.op(
                    "slice",
                    {
                        "input": part,
                        "starts": make.numbers((start,)),
                        "ends": make.numbers((start + 2,)),
                    },
                    (2, 3, 2, 2),
                    axes=(3,),
                    decrease_axis=(),
                    infer_flags=(1,),
                )
                for start in (0, 2)
            ]
        results.append(call(make, "relu", "relu", part, (2, 3, 2, 4)))
        results.append(call(make, "tanh", "tanh", halves[1], (2, 3, 2, 2)))
    graph = make.normal(*results)
    assert Counter(names(graph)) == {"Linear": 3, "Relu": 3, "Tanh": 3}
    for node in operations(graph):
        if node.op == "Relu":
            assert node.inputs[0].view.identity


@BOTH
def test_parts_read_by_outputs_and_parts_that_nothing_reads(framework: str) -> None:
    make = Maker(framework)
    fused = linear(make, make.input("x", (2, 3, 4)), (2, 3, 4), 4, 12)
    first, second, _ = split_parts(make, fused, (2, 3, 12), 3)
    graph = make.normal(first, call(make, "relu", "relu", second, (2, 3, 4)))
    assert Counter(names(graph)) == {"Linear": 2, "Relu": 1}
    assert all(node.outputs[0].shape == (2, 3, 4) for node in operations(graph))
    assert graph.outputs["output.0"].view.identity


@BOTH
def test_rows_gathered_one_by_one_are_one_movement(framework: str) -> None:
    make = Maker(framework)
    table = make.parameter("table", (4, 9))
    parts = []
    for row in ([0, 3, 5], [1, 1, 8]):
        rows = make.constant(np.array(row))
        operands = (
            {"self": table, "index": rows} if framework == "torch" else {"x": table, "index": rows}
        )
        parts.append(
            make.op(
                "index_select", operands, (4, 3), **{"dim" if framework == "torch" else "axis": 1}
            )
        )
    if framework == "torch":
        both = make.op("stack", {"tensors": parts}, (4, 2, 3), dim=1)
    else:
        both = make.op("stack", {"x": parts}, (4, 2, 3), axis=1)
    graph = make.normal(add(make, make.input("x", (4, 2, 3)), both, (4, 2, 3)))
    (node,) = operations(graph)
    edge = next(edge for edge in node.inputs if reads(graph, edge).op == "Parameter")
    expected = np.arange(36).reshape(4, 9)[:, [[0, 3, 5], [1, 1, 8]]]
    assert (
        np.array_equal(edge.view.indices().reshape(4, 2, 3), expected)
        and len(edge.view.stages) == 1
    )


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


@BOTH
def test_results_that_no_row_speaks_of_are_not_lost(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    kinds = [TensorType((2, 3), "float32"), TensorType((2,), "float32")]
    role = "self" if framework == "torch" else "x"
    y = make.op("aten.relu.default" if framework == "torch" else "relu", {role: x}, kinds)
    graph = make.normal(
        make.op(
            "aten.exp.default" if framework == "torch" else "exp", {role: Value(y.node, 1)}, (2,)
        )
    )
    assert [node.op.rpartition(":")[2] for node in operations(graph)] == [
        "1",
        "Exp",
    ] and operations(graph)[0].opaque


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


@BOTH
def test_concat_of_concat(framework: str) -> None:
    make = Maker(framework)
    a, b, c = (make.input(name, (2, 3)) for name in "abc")

    def cat(parts: list[Value], shape: tuple[int, ...]) -> Value:
        if framework == "torch":
            return make.op("cat", {"tensors": parts}, shape, dim=-1)
        return make.op("concat", {"x": parts, "axis": make.number(1, "int32")}, shape)

    graph = make.normal(cat([cat([a, b], (2, 6)), c], (2, 9)))
    (node,) = operations(graph)
    assert (
        node.op == "Concat"
        and [reads(graph, edge).name for edge in node.inputs] == ["a", "b", "c"]
        and node.attrs["axis"] == 1
    )


@BOTH
def test_a_part_of_a_concat_is_the_part(framework: str) -> None:
    make = Maker(framework)
    a, b = make.input("a", (2, 3)), make.input("b", (2, 4))
    if framework == "torch":
        both = make.op("cat", {"tensors": [a, b]}, (2, 7), dim=1)
        part = make.op("aten.slice.Tensor", {"self": both}, (2, 2), dim=1, start=4, end=6, step=1)
    else:
        both = make.op("concat", {"x": [a, b], "axis": make.number(1, "int32")}, (2, 7))
        part = make.op(
            "slice",
            {"input": both, "starts": make.numbers((4,)), "ends": make.numbers((6,))},
            (2, 2),
            axes=(1,),
            decrease_axis=(),
            infer_flags=(1,),
        )
    graph = make.normal(call(make, "relu", "relu", part, (2, 2)))
    (node,) = operations(graph)
    assert reads(graph, node.inputs[0]).name == "b" and node.inputs[0].view.indices().tolist() == [
        1,
        2,
        5,
        6,
    ]


@BOTH
def test_writing_a_slice_is_a_concat(framework: str) -> None:
    make = Maker(framework)
    x, y = make.input("x", (2, 6)), make.input("y", (2, 2))
    if framework == "torch":
        out = make.op("slice_scatter", {"self": x, "src": y}, (2, 6), dim=1, start=2, end=4, step=1)
    else:
        out = make.op(
            "pd_op.set_value_with_tensor_",
            {
                "x": x,
                "values": y,
                "starts": make.numbers((2,)),
                "ends": make.numbers((4,)),
                "steps": make.numbers((1,)),
            },
            (2, 6),
            axes=(1,),
            decrease_axes=(),
            none_axes=(),
        )
    graph = make.normal(call(make, "relu", "relu", out, (2, 6)))
    node = the(graph, "Concat")
    assert [reads(graph, edge).name for edge in node.inputs] == ["x", "y", "x"] and [
        edge.view.shape for edge in node.inputs
    ] == [(2, 2)] * 3


@BOTH
def test_recurrent_weights_come_in_one_order(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (5, 2, 3))
    h, c = make.input("h", (2, 2, 4)), make.input("c", (2, 2, 4))
    shapes = {"w_ih": (16, 3), "w_hh": (16, 4), "b_ih": (16,), "b_hh": (16,)}
    cells = [
        {name: make.parameter(f"{name}{cell}", shape) for name, shape in shapes.items()}
        for cell in range(2)
    ]
    y, state = TensorType((5, 2, 8), "float32"), TensorType((2, 2, 4), "float32")
    if framework == "torch":
        params = [cell[name] for cell in cells for name in shapes]
        out = make.op(
            "aten.lstm.input",
            {"input": x, "hx": [h, c], "params": params},
            [y, state, state],
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=False,
            bidirectional=True,
            batch_first=False,
        )
    else:
        params = [cell[name] for cell in cells for name in ("w_ih", "w_hh")] + [
            cell[name] for cell in cells for name in ("b_ih", "b_hh")
        ]
        out = make.op(
            "rnn",
            {
                "x": x,
                "pre_state": [h, c],
                "weight_list": params,
                "sequence_length": None,
                "dropout_state_in": None,
            },
            [y, state, state, state],
            mode="LSTM",
            is_bidirec=True,
            hidden_size=4,
            num_layers=1,
            dropout_prob=0.0,
            is_test=True,
        )
    graph = make.normal(out)
    node = the(graph, "LSTM")
    assert [reads(graph, edge).name for edge in node.inputs[3:]] == [
        f"{name}{cell}" for cell in range(2) for name in shapes
    ]
    assert node.attrs == {"hidden_size": 4, "num_layers": 1, "bidirectional": True, "dropout": 0.0}


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


@BOTH
def test_a_cast_that_loses_nothing_is_gone_and_one_that_does_stays(framework: str) -> None:
    def cast(make: Maker, x: Value, to: str) -> Value:
        kind = TensorType((2, 3), to)
        return (
            make.op("aten.to.dtype", {"self": x}, kind, dtype=to)
            if framework == "torch"
            else make.op("cast", {"x": x}, kind, dtype=to)
        )

    make = Maker(framework)
    ids = make.input("ids", (2, 3), "int64")
    assert names(make.normal(call(make, "relu", "relu", cast(make, ids, "float32"), (2, 3)))) == [
        "Relu"
    ]
    for start, to in (
        ("float32", "bfloat16"),
        ("float32", "int64"),
        ("float32", "float16"),
        ("float64", "float32"),
        ("float32", "bool"),
    ):
        make = Maker(framework)
        graph = make.normal(cast(make, make.input("x", (2, 3), start), to))
        assert names(graph) == ["Cast"] and the(graph, "Cast").attrs == {"to": to}
    make = Maker(framework)
    half = make.input("x", (2, 3), "bfloat16")
    assert names(make.normal(cast(make, half, "float32"))) == []


@BOTH
def test_a_cut_gradient_stays_visible(framework: str) -> None:
    def cut(make: Maker, x: Value, dtype: str) -> Value:
        kind = TensorType((2, 3), dtype)
        return (
            make.op("detach", {"self": x}, kind)
            if framework == "torch"
            else make.op("pd_op.share_data_", {"x": x}, kind, marks=("no_grad",))
        )

    make = Maker(framework)
    x = make.input("x", (2, 3))
    graph = make.normal(
        mul(make, call(make, "sigmoid", "sigmoid", x, (2, 3)), cut(make, x, "float32"), (2, 3))
    )
    assert Counter(names(graph)) == {"Sigmoid": 1, "Detach": 1, "Mul": 1}
    make = Maker(framework)
    ids = make.input("ids", (2, 3), "int64")
    assert names(make.normal(cut(make, ids, "int64"))) == []


@BOTH
def test_what_is_computed_without_gradient_is_marked(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    role = "self" if framework == "torch" else "x"
    quiet = make.op("tanh", {role: x}, (2, 3), marks=("no_grad",))
    moved = make.op(
        "reshape",
        {role: x, **({} if framework == "torch" else {"shape": make.numbers((3, 2))})},
        (3, 2),
        marks=("no_grad",),
    )
    graph = make.normal(quiet, call(make, "relu", "relu", moved, (3, 2)))
    assert the(graph, "Tanh").marks == {"no_grad"}
    assert Counter(names(graph)) == {"Tanh": 1, "Detach": 1, "Relu": 1}


@BOTH
def test_a_gradient_hook_stays_a_node(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    role = "self" if framework == "torch" else "x"
    hooked = make.op(
        "alias" if framework == "torch" else "assign", {role: x}, (2, 3), marks=("gradient_hook",)
    )
    graph = make.normal(call(make, "relu", "relu", hooked, (2, 3)))
    assert names(graph) == ["Identity", "Relu"] and the(graph, "Identity").marks == {
        "gradient_hook"
    }


@BOTH
def test_rows_chosen_by_constants_are_movement(framework: str) -> None:
    make = Maker(framework)
    table, rows = make.parameter("table", (10, 4)), make.constant(np.array([[2, 3, 4], [2, 3, 4]]))
    operands = (
        {"weight": table, "indices": rows} if framework == "torch" else {"x": rows, "weight": table}
    )
    y = make.op("embedding", operands, (2, 3, 4), padding_idx=-1)
    graph = make.normal(add(make, make.input("x", (2, 3, 4)), y, (2, 3, 4)))
    (node,) = operations(graph)
    edge = next(edge for edge in node.inputs if reads(graph, edge).op == "Parameter")
    assert edge.view.shape == (1, 3, 4) and edge.view.indices().tolist() == list(range(8, 20))
    make = Maker(framework)
    table, rows = make.parameter("table", (10, 4)), make.input("rows", (2, 3), "int64")
    operands = (
        {"weight": table, "indices": rows} if framework == "torch" else {"x": rows, "weight": table}
    )
    graph = make.normal(make.op("embedding", operands, (2, 3, 4), padding_idx=0))
    assert the(graph, "Gather").attrs == {
        "axis": 0,
        "padding_idx": 0,
        "scale_grad_by_freq": False,
    }


def test_weight_norm_is_spelled_out() -> None:
    make = Maker("torch")
    x, v, g = make.input("x", (2, 4)), make.parameter("v", (8, 4)), make.parameter("g", (8, 1))
    w = make.op("_weight_norm", {"v": v, "g": g}, (8, 4), dim=0)
    first = make.normal(make.op("linear", {"input": x, "weight": w, "bias": None}, (2, 8)))
    make = Maker("paddle")
    x, v, g = make.input("x", (2, 4)), make.parameter("v", (8, 4)), make.parameter("g", (8,))
    norm = make.op(
        "p_norm", {"x": v}, (8, 1), porder=2.0, axis=1, epsilon=1e-12, keepdim=True, asvector=False
    )
    unit = make.op("divide", {"x": v, "y": norm}, (8, 4))
    g = make.op("reshape", {"x": g, "shape": make.numbers((8, 1))}, (8, 1))
    w = make.op("multiply", {"x": unit, "y": g}, (8, 4))
    second = make.normal(
        make.op("matmul", {"x": x, "y": w}, (2, 8), transpose_x=False, transpose_y=True)
    )
    assert (
        Counter(names(first))
        == Counter(names(second))
        == {
            "Pow": 2,
            "ReduceSum": 1,
            "Mul": 1,
            "Linear": 1,
        }
    )


def test_einsum_of_two_is_a_product() -> None:
    make = Maker("torch")
    a, b = make.input("a", (2, 3, 4, 5)), make.input("b", (2, 6, 4, 5))
    graph = make.normal(
        make.op("einsum", {"tensors": [a, b]}, (2, 4, 3, 6), equation="bqhd,bkhd->bhqk")
    )
    (node,) = operations(graph)
    assert node.op == "MatMul" and [edge.view.shape for edge in node.inputs] == [
        (2, 4, 3, 5),
        (2, 4, 5, 6),
    ]
    make = Maker("torch")
    graph = make.normal(
        make.op("einsum", {"tensors": [make.input("a", (3, 3))]}, (3,), equation="ii->i")
    )
    assert names(graph) == ["Einsum"]


def test_parameters_go_by_their_first_name_and_unread_ones_are_told() -> None:
    make = Maker("torch")
    x = make.input("x", (2, 4))
    w = make.parameter("w", (8, 4))
    make.parameter("left_over", (3,))
    graph = make.normal(make.op("linear", {"input": x, "weight": w, "bias": None}, (2, 8)))
    assert [node.name for node in graph.nodes if node.op == "Parameter"] == [
        "w"
    ] and graph.unread == ("left_over",)
