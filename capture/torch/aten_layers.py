"""Rows for what layers are made of: convolutions, norms, pooling, sampling, recurrent cells."""

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
    "batch_norm",
    "col2im",
    "convolution",
    "gate_terms",
    "gates",
    "grid_sample",
    "group_norm",
    "gru_cell",
    "im2col",
    "instance_norm",
    "layer_norm",
    "lstm_cell",
    "pooling",
    "recurrent",
    "rms_norm",
    "rnn_cell",
    "upsample",
    "weight_norm",
]


MOMENTUM_DIGITS = 7
"""A momentum is compared to so many decimals: chosen so that 1 - 0.9, as Paddle has it, is 0.1."""

EPSILONS = {
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
}
"""`torch.finfo(dtype).eps`, which `torch.nn.RMSNorm` takes where no epsilon is given."""

# -- convolution


def convolution(transposed: bool = False) -> Row:
    """conv1d to conv3d and their transposes."""

    def row(call: Call) -> Result:
        pads = call.get("padding", 0)
        if not isinstance(pads, str):
            pads = call.numbers("padding", (0,))
        return rows.convolution(
            call,
            call["input"],
            call["weight"],
            call.operand("bias"),
            strides=call.get("stride", 1),
            pads=pads,
            dilations=call.get("dilation", 1),
            group=call.number("groups", 1),
            transposed=transposed or bool(call.get("transposed", False)),
        )

    return row


# -- normalisation


def batch_norm(call: Call) -> Result:
    """Operands as ONNX has them; in training mode the new statistics are further results."""
    training = bool(call.number("training", False)) or call.operand("running_mean") is None
    attrs: dict[str, Any] = {
        "epsilon": call.number("eps"),
        "momentum": None,
        "training": training,
    }
    types = [call.type()]
    if training:
        attrs["momentum"] = round(call.number("momentum", 0.1), MOMENTUM_DIGITS)
        moving = call.operand("running_mean")
        if moving is not None:
            types += [TensorType(shape_of(moving), call.builder.dtype(moving))] * 2
    return call.results("BatchNormalization", _with_statistics(call), attrs, *types)


def _with_statistics(call: Call) -> list[Edge | None]:
    roles = ("weight", "bias", "running_mean", "running_var")
    return [call["input"], *(call.operand(role) for role in roles)]


def instance_norm(call: Call) -> Result:
    """Statistics of each sample and channel; by running ones it is a BatchNormalization."""
    epsilon = call.number("eps")
    if not call.number("use_input_stats", True):
        attrs = {"epsilon": epsilon, "momentum": None, "training": False}
        return call.draft("BatchNormalization", _with_statistics(call), attrs)
    inputs = [call["input"], call.operand("weight"), call.operand("bias")]
    return call.draft("InstanceNormalization", inputs, {"epsilon": epsilon})


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
        epsilon = EPSILONS.get(call.type().dtype, EPSILONS["float32"])
    return call.draft(
        "RMSNormalization",
        [call["input"], call.operand("weight")],
        {"epsilon": epsilon, "axis": -len(call.numbers("normalized_shape"))},
    )


def weight_norm(call: Call) -> Result:
    """v * g / |v|, the norm over all axes but `dim` (over all of them for -1)."""
    v, g = call["v"], call["g"]
    shape, rank = shape_of(v), call.rank(v)
    kept = [] if math.prod(shape_of(g)) == 1 else [call.number("dim", 0) % rank]
    over = [axis for axis in range(rank) if axis not in kept]
    lead = tuple(shape[axis] for axis in kept)
    square = transpose(rows.fixed_power(call, v, 2.0), [*kept, *over])
    kind = TensorType(lead, call.type().dtype)
    total = call.draft(
        "ReduceSum",
        [reshape(square, (*lead, math.prod(shape[axis] for axis in over)))],
        {"axes": tuple(axis - rank for axis in over)},
        kind,
    )
    inverse = call.draft("Pow", [total], {"exponent": -0.5}, kind)
    aligned = reshape(inverse, [shape[axis] if axis in kept else 1 for axis in range(rank)])
    return call.draft("Mul", [v, broadcast(g, shape), aligned])


# -- pooling and sampling


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
    coordinates = "asymmetric" if mode == "nearest" and not exact else "half_pixel"

    def row(call: Call) -> Result:
        edge = call.operand("input") or call["self"]
        if call.number("align_corners", False):
            return rows.resize(call, edge, mode, "align_corners", _scales(call))
        return rows.resize(call, edge, mode, coordinates, _scales(call))

    return row


def _scales(call: Call) -> tuple[float, ...]:
    named = [call.number(name) for name in ("scales_d", "scales_h", "scales_w", "scales")]
    return call.numbers("scale_factors") or tuple(scale for scale in named if scale is not None)


def affine_grid(call: Call) -> Result:
    """affine_grid_generator: positions that an affine map sends a grid to."""
    attrs = {
        "align_corners": bool(call.get("align_corners")),
        "size": call.numbers("size")[2:],
    }
    return call.draft("AffineGrid", [call["theta"]], attrs)


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


def im2col(call: Call) -> Result:
    """unfold: patches as columns."""
    return rows.patches(call, call["self"], _windows(call))


def col2im(call: Call) -> Result:
    """fold: columns summed into an image."""
    size = {"output_size": rows.per_axis(call.get("output_size"), 2)}
    return rows.image(call, call["self"], size | _windows(call))


def _windows(call: Call) -> dict[str, Any]:
    return {
        "kernel_shape": rows.per_axis(call.get("kernel_size"), 2),
        "strides": rows.per_axis(call.get("stride", 1), 2),
        "pads": rows.both_sides(call.numbers("padding", (0,)), 2),
        "dilations": rows.per_axis(call.get("dilation", 1), 2),
    }


# -- recurrent


def recurrent(op: str, **attributes: Any) -> Row:
    """lstm, gru, rnn_tanh, rnn_relu with weights in torch's order; time first."""

    def row(call: Call) -> Result:
        params = call.tensors("params")
        if call.operand("input") is None or call.operand("data") is not None:
            raise Unsupported("packed sequences")
        attrs = {**_recurrent_attributes(call), "hidden_size": shape_of(params[1])[1], **attributes}
        y, *states = [kind for kind in call.record.outputs if kind is not None]
        operands = [*call.tensors("hx"), *params]
        if not call.number("batch_first", False):
            return call.results(op, [call["input"], *operands], attrs, y, *states)
        time_first = TensorType((y.shape[1], y.shape[0], y.shape[2]), y.dtype)
        x = transpose(call["input"], [1, 0, 2])
        first, *rest = call.results(op, [x, *operands], attrs, time_first, *states)
        return [transpose(first, [1, 0, 2]), *rest]

    return row


def _recurrent_attributes(call: Call) -> dict[str, Any]:
    layers, dropout = call.number("num_layers"), 0.0
    if call.number("train", False) and layers > 1:
        dropout = float(call.number("dropout", 0.0))
    return {
        "num_layers": layers,
        "bidirectional": bool(call.number("bidirectional", False)),
        "dropout": dropout,
    }


def lstm_cell(call: Call) -> Result:
    """One step, spelled out: gates are input, forget, cell, output."""
    h, c = call.tensors("hx")
    kind = call.typed(h, shape_of(h))
    parts = _parts(call, gates(call, call["input"], h), 4)
    i, f, o = (call.draft("Sigmoid", [parts[place]], None, kind) for place in (0, 1, 3))
    g = call.draft("Tanh", [parts[2]], None, kind)
    cell = rows.sum_of(call, [(rows.product(call, [f, c]), 1.0), (rows.product(call, [i, g]), 1.0)])
    return [rows.product(call, [o, call.draft("Tanh", [cell], None, kind)]), cell]


def gru_cell(call: Call) -> Result:
    """One step, spelled out: gates are reset, update, new; h' = (h - n) * z + n."""
    h = call["hx"]
    kind = call.typed(h, shape_of(h))
    total_x, total_h = gate_terms(call, call["input"], h)
    reset_x, update_x, new_x = _parts(call, total_x, 3)
    reset_h, update_h, new_h = _parts(call, total_h, 3)

    def activated(op: str, x: Edge, h: Edge) -> Edge:
        return call.draft(op, [rows.sum_of(call, [(x, 1.0), (h, 1.0)])], None, kind)

    r, z = activated("Sigmoid", reset_x, reset_h), activated("Sigmoid", update_x, update_h)
    new = activated("Tanh", new_x, rows.product(call, [r, new_h]))
    kept = rows.product(call, [rows.sum_of(call, [(h, 1.0), (new, -1.0)]), z])
    return rows.sum_of(call, [(kept, 1.0), (new, 1.0)])


def rnn_cell(op: str) -> Row:
    """One step of a plain recurrent cell."""

    def row(call: Call) -> Result:
        return call.draft(op, [gates(call, call["input"], call["hx"])])

    return row


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


def _parts(call: Call, total: Edge, count: int) -> list[Edge]:
    """Gates that stand side by side, one after the other."""
    width = shape_of(total)[-1] // count
    return [call.slice(total, -1, width * at, width * (at + 1)) for at in range(count)]
