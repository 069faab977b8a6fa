"""Operations in each framework's own spelling, and the check that two forms are the same."""

from __future__ import annotations

import math

import pytest

from padiff_graph.capture.graph import TensorType, Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.traits import differing_attributes
from tests.models.graph_maker import Maker, names, operations

__all__ = [
    "BOTH",
    "add",
    "call",
    "composed_norm",
    "linear",
    "moved",
    "mul",
    "same",
    "scaled",
    "split_parts",
]

BOTH = pytest.mark.parametrize("framework", ["torch", "paddle"])
"""A test on both frameworks' operator names."""


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


def moved(make: Maker, x: Value, shape: tuple[int, ...], *axes: int) -> Value:
    """x with its axes in another order."""
    return (
        make.op("permute", {"self": x}, shape, dims=axes)
        if make.framework == "torch"
        else make.op("transpose", {"x": x}, shape, perm=axes)
    )


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


def split_parts(make: Maker, x: Value, shape: tuple[int, ...], count: int) -> list[Value]:
    """Equal parts of the last axis."""
    part = TensorType((*shape[:-1], shape[-1] // count), "float32")
    if make.framework == "torch":
        node = make.op("chunk", {"self": x}, [part] * count, chunks=count, dim=-1)
        return [Value(node.node, output) for output in range(count)]
    vector = make.op("split_with_num", {"x": x, "axis": make.number(2, "int32")}, [part], num=count)
    node = make.op("builtin.split", {"input": vector}, [part] * count)
    return [Value(node.node, output) for output in range(count)]
