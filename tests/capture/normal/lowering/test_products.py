"""Attention, einsum and normed weights, spelled out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.models.graph_maker import Maker, names, operations, reads, the
from tests.models.spelled import same


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
