"""Rows for ATen operators that compute."""

from __future__ import annotations

import math
from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import broadcast, reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "adaptive",
    "add_matmul",
    "add_products",
    "attention",
    "batch_norm",
    "bernoulli",
    "cast",
    "clamp",
    "col2im",
    "complex_part",
    "convolution",
    "dropout",
    "fourier",
    "gate_terms",
    "gates",
    "glu",
    "grid_sample",
    "group_norm",
    "gru_cell",
    "im2col",
    "instance_norm",
    "layer_norm",
    "lerp",
    "linear",
    "lstm_cell",
    "masked_fill",
    "matmul",
    "normal",
    "one_hot",
    "outer",
    "pooling",
    "recurrent",
    "rms_norm",
    "rnn_cell",
    "threshold",
    "uniform",
    "upsample",
    "weight_norm",
    "where",
]


# -- element-wise


def clamp(call: Call) -> Result:
    """clamp, hardtanh, relu6, clamp_min, clamp_max."""
    low, high = call.operand("min"), call.operand("max")
    if low is not None or high is not None:
        edge = call["self"]
        for op, bound in (("Max", low), ("Min", high)):
            if bound is not None:
                edge = call.draft(op, [broadcast(edge, call.shape), broadcast(bound, call.shape)])
        return edge
    return rows.clip(
        call,
        call["self"],
        call.number("min", call.number("min_val")),
        call.number("max", call.number("max_val")),
    )


def threshold(call: Call) -> Result:
    """threshold(x, 0, 0) is relu."""
    if call.number("threshold") == 0 and call.number("value") == 0:
        return call.draft("Relu", [call["self"]])
    raise Unsupported("a threshold that is not relu")


def cast(call: Call) -> Result:
    """to, _to_copy, type_as, float, half: the native result's type decides."""
    return rows.cast(call, call["self"], call.type().dtype)


def where(call: Call) -> Result:
    """where; a number stands for either branch."""
    branches = [
        call.operand(role) or call.constant(call.number(role)) for role in ("self", "other")
    ]
    return rows.where(call, call["condition"], *branches)


def masked_fill(call: Call) -> Result:
    """masked_fill(x, mask, v) = where(mask, v, x)."""
    value = call.operand("value") or call.constant(call.number("value"))
    return rows.where(call, call["mask"], value, call["self"])


def glu(call: Call) -> Result:
    """First half of an axis times the sigmoid of the second."""
    edge, axis = call["self"], call.number("dim", -1)
    half = shape_of(edge)[axis] // 2
    gate = call.draft("Sigmoid", [call.slice(edge, axis, half, None)])
    return call.draft("Mul", [call.slice(edge, axis, 0, half), gate])


def add_products(sign: float, divided: bool) -> Row:
    """addcmul and addcdiv: self + value * a * b (or a / b)."""

    def row(call: Call) -> Result:
        first, second = call["tensor1"], call["tensor2"]
        if divided:
            second = rows.fixed_power(call, second, -1.0)
        both = call.draft("Mul", [broadcast(first, call.shape), broadcast(second, call.shape)])
        return rows.sum_of(call, [(call["self"], 1.0), (both, sign * call.number("value", 1))])

    return row


def lerp(call: Call) -> Result:
    """start + weight * (end - start)."""
    start, end = call["self"], call["end"]
    weight = (
        call.number("weight") if call.operand("weight") is None else call.scalar(call["weight"])
    )
    if weight is None:
        raise Unsupported("lerp by a tensor")
    return rows.sum_of(call, [(start, 1.0 - weight), (end, weight)])


# -- products


def linear(call: Call) -> Result:
    """weight is [out, in]."""
    return rows.linear(call, call["input"], call.swap(call["weight"]), call.operand("bias"))


def matmul(call: Call) -> Result:
    """matmul, mm, bmm, mv, dot."""
    second = next(
        role for role in ("other", "mat2", "vec", "tensor") if call.operand(role) is not None
    )
    return rows.matmul(call, call["self"], call[second])


def add_matmul(first: str, second: str) -> Row:
    """addmm, baddbmm, addmv: beta * self + alpha * first @ second."""

    def row(call: Call) -> Result:
        product = rows.matmul(call, call[first], call[second])
        return rows.sum_of(
            call,
            [
                (product, float(call.number("alpha", 1))),
                (call["self"], float(call.number("beta", 1))),
            ],
        )

    return row


def outer(call: Call) -> Result:
    """Products of all pairs."""
    (n,), (m,) = shape_of(call["self"]), shape_of(call["vec2"])
    return rows.product(call, [reshape(call["self"], (n, 1)), reshape(call["vec2"], (1, m))])


def attention(call: Call) -> Result:
    """scaled_dot_product_attention, spelled out."""
    return rows.attention(
        call,
        call["query"],
        call["key"],
        call["value"],
        call.operand("attn_mask"),
        scale=call.number("scale"),
        causal=bool(call.number("is_causal", False)),
        dropout=call.number("dropout_p", 0.0),
    )


def convolution(transposed: bool = False) -> Row:
    """conv1d to conv3d and their transposes."""

    def row(call: Call) -> Result:
        pads = call.get("padding", 0)
        return rows.convolution(
            call,
            call["input"],
            call["weight"],
            call.operand("bias"),
            strides=call.get("stride", 1),
            pads=pads if isinstance(pads, str) else call.numbers("padding", (0,)),
            dilations=call.get("dilation", 1),
            group=call.number("groups", 1),
            transposed=transposed or bool(call.get("transposed", False)),
        )

    return row


# -- normalisation


def batch_norm(call: Call) -> Result:
    """Operands as ONNX has them; in training mode the new statistics are further results."""
    training = bool(call.number("training", False)) or call.operand("running_mean") is None
    x = call["input"]
    inputs = [
        x,
        call.operand("weight"),
        call.operand("bias"),
        call.operand("running_mean"),
        call.operand("running_var"),
    ]
    attrs = {
        "epsilon": call.number("eps"),
        "momentum": round(call.number("momentum", 0.1), 7) if training else None,
        "training": training,
    }
    types = [call.type()]
    if training and inputs[3] is not None:
        types += [TensorType(shape_of(inputs[3]), call.builder.dtype(inputs[3]))] * 2
    return call.results("BatchNormalization", inputs, attrs, *types)


def instance_norm(call: Call) -> Result:
    """Statistics of each sample and channel; with running statistics in evaluation it is a BatchNormalization."""
    x = call["input"]
    if not call.number("use_input_stats", True):
        inputs = [
            x,
            call.operand("weight"),
            call.operand("bias"),
            call.operand("running_mean"),
            call.operand("running_var"),
        ]
        return call.draft(
            "BatchNormalization",
            inputs,
            {"epsilon": call.number("eps"), "momentum": None, "training": False},
        )
    return call.draft(
        "InstanceNormalization",
        [x, call.operand("weight"), call.operand("bias")],
        {"epsilon": call.number("eps")},
    )


def group_norm(call: Call) -> Result:
    """Statistics over groups of channels."""
    return call.draft(
        "GroupNormalization",
        [call["input"], call.operand("weight"), call.operand("bias")],
        {"epsilon": call.number("eps"), "num_groups": call.number("num_groups")},
    )


def layer_norm(call: Call) -> Result:
    """Statistics over the last axes."""
    count = len(call.numbers("normalized_shape"))
    return call.draft(
        "LayerNormalization",
        [call["input"], call.operand("weight"), call.operand("bias")],
        {"epsilon": call.number("eps"), "axis": -count, "correction": 0.0},
    )


def rms_norm(call: Call) -> Result:
    """Root mean square over the last axes; torch's epsilon of None is that of the type."""
    epsilon = call.number("eps")
    if epsilon is None:
        epsilon = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}.get(
            call.type().dtype, 2.0**-23
        )
    return call.draft(
        "RMSNormalization",
        [call["input"], call.operand("weight")],
        {"epsilon": epsilon, "axis": -len(call.numbers("normalized_shape"))},
    )


def weight_norm(call: Call) -> Result:
    """v * g / |v|, the norm over all axes but `dim` (over all of them for -1)."""
    v, g, dim = call["v"], call["g"], call.number("dim", 0)
    shape, dtype = shape_of(v), call.type().dtype
    rank = len(shape)
    rest = [] if math.prod(shape_of(g)) == 1 else [dim % rank]
    over = [axis for axis in range(rank) if axis not in rest]
    lead = tuple(shape[axis] for axis in rest)
    square = transpose(rows.fixed_power(call, v, 2.0), [*rest, *over])
    total = call.draft(
        "ReduceSum",
        [reshape(square, (*lead, math.prod(shape[axis] for axis in over)))],
        {"axes": tuple(axis - rank for axis in over)},
        TensorType(lead, dtype),
    )
    inverse = call.draft("Pow", [total], {"exponent": -0.5}, TensorType(lead, dtype))
    aligned = reshape(inverse, [shape[axis] if axis in rest else 1 for axis in range(rank)])
    return call.draft("Mul", [v, broadcast(g, shape), aligned])


# -- pooling


def pooling(kind: str, count: int, results: int = 1) -> Row:
    """avg_pool, max_pool and max_pool_with_indices over `count` axes."""

    def row(call: Call) -> Result:
        edge = call["self"]
        kernel = rows.per_axis(call.get("kernel_size"), count)
        return rows.pool(
            call,
            edge,
            kind,
            kernel=kernel,
            strides=rows.per_axis(call.get("stride") or kernel, count),
            pads=call.numbers("padding", (0,)),
            ceil_mode=bool(call.number("ceil_mode", False)),
            count_include_pad=bool(call.number("count_include_pad", True)),
            dilations=rows.per_axis(call.get("dilation", 1), count),
            divisor=call.number("divisor_override"),
            results=results,
        )

    return row


def adaptive(kind: str, count: int, results: int = 1) -> Row:
    """adaptive_avg_pool, adaptive_max_pool."""

    def row(call: Call) -> Result:
        return rows.adaptive_pool(
            call,
            call["self"],
            kind,
            rows.per_axis(call.get("output_size"), count),
            results=min(results, len(call.record.outputs)),
        )

    return row


def upsample(mode: str, exact: bool = False) -> Row:
    """upsample_nearest, _linear, _bilinear, _bicubic; "vec" and plain overloads."""

    def row(call: Call) -> Result:
        edge = call.operand("input") or call["self"]
        aligned = bool(call.number("align_corners", False))
        coordinates = (
            "align_corners"
            if aligned
            else "asymmetric"
            if mode == "nearest" and not exact
            else "half_pixel"
        )
        scales = call.numbers("scale_factors")
        if not scales:
            named = [call.number(name) for name in ("scales_d", "scales_h", "scales_w", "scales")]
            scales = tuple(scale for scale in named if scale is not None)
        return rows.resize(call, edge, mode, coordinates, scales)

    return row


# -- recurrent


def recurrent(op: str, **attributes: Any) -> Row:
    """lstm, gru, rnn_tanh, rnn_relu with weights in torch's order; time first."""

    def row(call: Call) -> Result:
        params = call.tensors("params")
        if call.operand("input") is None or call.operand("data") is not None:
            raise Unsupported("packed sequences")
        states = call.tensors("hx")
        x = call["input"]
        batch_first = bool(call.number("batch_first", False))
        if batch_first:
            x = transpose(x, [1, 0, 2])
        layers, both = call.number("num_layers"), bool(call.number("bidirectional", False))
        attrs = {
            "hidden_size": shape_of(params[1])[1],
            "num_layers": layers,
            "bidirectional": both,
            "dropout": float(call.number("dropout", 0.0))
            if call.number("train", False) and layers > 1
            else 0.0,
            **attributes,
        }
        outputs = [kind for kind in call.record.outputs if kind is not None]
        y = outputs[0]
        types = [
            TensorType((y.shape[1], y.shape[0], y.shape[2]), y.dtype) if batch_first else y,
            *outputs[1:],
        ]
        found = call.results(op, [x, *states, *params], attrs, *types)
        return [transpose(found[0], [1, 0, 2]) if batch_first else found[0], *found[1:]]

    return row


def lstm_cell(call: Call) -> Result:
    """One step, spelled out: gates are input, forget, cell, output."""
    h, c = call.tensors("hx")
    kind = call.typed(h, shape_of(h))
    total = gates(call, call["input"], h)
    at = shape_of(h)[-1]
    parts = [call.slice(total, -1, at * place, at * (place + 1)) for place in range(4)]
    i, f, o = (call.draft("Sigmoid", [parts[place]], None, kind) for place in (0, 1, 3))
    g = call.draft("Tanh", [parts[2]], None, kind)
    cell = rows.sum_of(call, [(rows.product(call, [f, c]), 1.0), (rows.product(call, [i, g]), 1.0)])
    return [rows.product(call, [o, call.draft("Tanh", [cell], None, kind)]), cell]


def gru_cell(call: Call) -> Result:
    """One step, spelled out: gates are reset, update, new; h' = (h - n) * z + n."""
    h = call["hx"]
    kind = call.typed(h, shape_of(h))
    at = shape_of(h)[-1]
    from_x, from_h = (
        [call.slice(total, -1, at * place, at * (place + 1)) for place in range(3)]
        for total in gate_terms(call, call["input"], h)
    )
    r, z = (
        call.draft(
            "Sigmoid", [rows.sum_of(call, [(from_x[place], 1.0), (from_h[place], 1.0)])], None, kind
        )
        for place in (0, 1)
    )
    new = call.draft(
        "Tanh",
        [rows.sum_of(call, [(from_x[2], 1.0), (rows.product(call, [r, from_h[2]]), 1.0)])],
        None,
        kind,
    )
    kept = rows.product(call, [rows.sum_of(call, [(h, 1.0), (new, -1.0)]), z])
    return rows.sum_of(call, [(kept, 1.0), (new, 1.0)])


def gates(call: Call, x: Edge, h: Edge) -> Edge:
    """x @ w_ih^T + b_ih + h @ w_hh^T + b_hh."""
    terms = gate_terms(call, x, h)
    return call.draft("Add", terms, None, call.typed(terms[0], shape_of(terms[0])))


def gate_terms(call: Call, x: Edge, h: Edge) -> list[Edge]:
    """Both summands of the gates."""
    terms = []
    for edge, weight, bias in ((x, "w_ih", "b_ih"), (h, "w_hh", "b_hh")):
        kind = call.typed(edge, (*shape_of(edge)[:-1], shape_of(call[weight])[0]))
        term = call.draft("MatMul", [edge, call.swap(call[weight])], None, kind)
        if call.operand(bias) is not None:
            term = call.draft("Add", [term, broadcast(call[bias], kind.shape)], None, kind)
        terms.append(term)
    return terms


def rnn_cell(op: str) -> Row:
    """One step of a plain recurrent cell."""

    def row(call: Call) -> Result:
        return call.draft(op, [gates(call, call["input"], call["hx"])])

    return row


# -- random


def dropout(channelwise: bool) -> Row:
    """Nothing in evaluation and for ratio 0."""

    def row(call: Call) -> Result:
        edge = call["input"] if call.operand("input") is not None else call["self"]
        ratio = call.number("p", 0.5)
        if not call.number("train", call.number("training", True)) or ratio == 0:
            return call.touch(edge)
        return call.draft("Dropout", [edge], {"ratio": float(ratio), "channelwise": channelwise})

    return row


def bernoulli(call: Call) -> Result:
    """bernoulli with a number, or with a constant tensor of probabilities."""
    probability = call.number("p")
    if probability is None:
        probability = call.scalar(call["self"])
    if probability is None:
        raise Unsupported("draws with a tensor of probabilities")
    return call.draft("Bernoulli", [], {"p": float(probability)})


def uniform(call: Call) -> Result:
    """rand, uniform_."""
    return call.draft(
        "RandomUniform",
        [],
        {"low": float(call.number("from", 0.0)), "high": float(call.number("to", 1.0))},
    )


def normal(call: Call) -> Result:
    """randn, normal_."""
    return call.draft(
        "RandomNormal",
        [],
        {
            "mean": float(call.number("mean", 0.0) or 0.0),
            "scale": float(call.number("std", 1.0) or 1.0),
        },
    )


def im2col(call: Call) -> Result:
    """unfold: patches as columns."""
    return rows.patches(
        call,
        call["self"],
        {
            "kernel_shape": rows.per_axis(call.get("kernel_size"), 2),
            "strides": rows.per_axis(call.get("stride", 1), 2),
            "pads": rows.both_sides(call.numbers("padding", (0,)), 2),
            "dilations": rows.per_axis(call.get("dilation", 1), 2),
        },
    )


def col2im(call: Call) -> Result:
    """fold: columns summed into an image."""
    return rows.image(
        call,
        call["self"],
        {
            "output_size": rows.per_axis(call.get("output_size"), 2),
            "kernel_shape": rows.per_axis(call.get("kernel_size"), 2),
            "strides": rows.per_axis(call.get("stride", 1), 2),
            "pads": rows.both_sides(call.numbers("padding", (0,)), 2),
            "dilations": rows.per_axis(call.get("dilation", 1), 2),
        },
    )


def grid_sample(call: Call) -> Result:
    """grid_sampler."""
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    return call.draft(
        "GridSample",
        [call["input"], call["grid"]],
        {
            "mode": modes[call.number("interpolation_mode")],
            "padding_mode": paddings[call.number("padding_mode")],
            "align_corners": bool(call.number("align_corners")),
        },
    )


def one_hot(call: Call) -> Result:
    """one_hot."""
    return call.draft("OneHot", [call["self"]], {"depth": call.shape[-1]})


def complex_part(op: str) -> Row:
    """real, imag: nothing for a real tensor's real part."""

    def row(call: Call) -> Result:
        return (
            call.draft(op, [call["self"]])
            if call.builder.dtype(call["self"]).startswith("complex")
            else call.touch(call["self"])
        )

    return row


def fourier(inverse: bool) -> Row:
    """fft_fftn, fft_ifftn over axes."""

    def row(call: Call) -> Result:
        edge = call["self"]
        if call.numbers("s"):
            raise Unsupported("a transform that pads")
        axes = tuple(sorted(int(axis) % call.rank(edge) for axis in call.numbers("dim"))) or tuple(
            range(call.rank(edge))
        )
        return call.draft(
            "DFT",
            [edge],
            {"axes": axes, "inverse": inverse, "normalization": call.get("norm") or "backward"},
        )

    return row
