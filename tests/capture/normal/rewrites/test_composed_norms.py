"""Norms that are written out."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.graph_maker import Maker, names, operations, reads, the
from tests.models.spelled import BOTH, add, call, composed_norm, mul, same, scaled


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
