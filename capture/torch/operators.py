"""The table of ATen operators: native operator -> normal form.

Keys are operator names without "aten."; with the overload ("max.dim") where overloads differ in kind.
An in-place spelling ("relu_") uses the row of its plain one. Needs no torch: rows see names, roles, attributes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import broadcast, expand, reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = ["CONSTANTS", "RANDOM", "ROWS", "row_of"]

NAMESPACE = "aten."


def row_of(op: str) -> Row | None:
    """The row of a native operator, None where the table has none."""
    if not op.startswith(NAMESPACE):
        return ROWS.get(op)
    packet, _, overload = op.removeprefix(NAMESPACE).partition(".")
    for name in (packet, packet[:-1] if packet.endswith("_") and not packet.endswith("__") else packet):
        found = ROWS.get(f"{name}.{overload}") or ROWS.get(name)
        if found is not None:
            return found
    return None


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
    return rows.clip(call, call["self"], call.number("min", call.number("min_val")), call.number("max", call.number("max_val")))


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
    branches = [call.operand(role) or call.constant(call.number(role)) for role in ("self", "other")]
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
    weight = call.number("weight") if call.operand("weight") is None else call.scalar(call["weight"])
    if weight is None:
        raise Unsupported("lerp by a tensor")
    return rows.sum_of(call, [(start, 1.0 - weight), (end, weight)])


# -- products


def linear(call: Call) -> Result:
    """weight is [out, in]."""
    return rows.linear(call, call["input"], call.swap(call["weight"]), call.operand("bias"))


def matmul(call: Call) -> Result:
    """matmul, mm, bmm, mv, dot."""
    second = next(role for role in ("other", "mat2", "vec", "tensor") if call.operand(role) is not None)
    return rows.matmul(call, call["self"], call[second])


def add_matmul(first: str, second: str) -> Row:
    """addmm, baddbmm, addmv: beta * self + alpha * first @ second."""

    def row(call: Call) -> Result:
        product = rows.matmul(call, call[first], call[second])
        return rows.sum_of(call, [(product, float(call.number("alpha", 1))), (call["self"], float(call.number("beta", 1)))])

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
    inputs = [x, call.operand("weight"), call.operand("bias"), call.operand("running_mean"), call.operand("running_var")]
    attrs = {"epsilon": call.number("eps"), "momentum": round(call.number("momentum", 0.1), 7) if training else None, "training": training}
    types = [call.type()]
    if training and inputs[3] is not None:
        types += [TensorType(shape_of(inputs[3]), call.builder.dtype(inputs[3]))] * 2
    return call.results("BatchNormalization", inputs, attrs, *types)


def instance_norm(call: Call) -> Result:
    """Statistics of each sample and channel; with running statistics in evaluation it is a BatchNormalization."""
    x = call["input"]
    if not call.number("use_input_stats", True):
        inputs = [x, call.operand("weight"), call.operand("bias"), call.operand("running_mean"), call.operand("running_var")]
        return call.draft("BatchNormalization", inputs, {"epsilon": call.number("eps"), "momentum": None, "training": False})
    return call.draft("InstanceNormalization", [x, call.operand("weight"), call.operand("bias")], {"epsilon": call.number("eps")})


def group_norm(call: Call) -> Result:
    """Statistics over groups of channels."""
    return call.draft("GroupNormalization", [call["input"], call.operand("weight"), call.operand("bias")], {"epsilon": call.number("eps"), "num_groups": call.number("num_groups")})


def layer_norm(call: Call) -> Result:
    """Statistics over the last axes."""
    count = len(call.numbers("normalized_shape"))
    return call.draft("LayerNormalization", [call["input"], call.operand("weight"), call.operand("bias")], {"epsilon": call.number("eps"), "axis": -count})


def rms_norm(call: Call) -> Result:
    """Root mean square over the last axes; torch's epsilon of None is that of the type."""
    epsilon = call.number("eps")
    if epsilon is None:
        epsilon = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}.get(call.type().dtype, 2.0**-23)
    return call.draft("RMSNormalization", [call["input"], call.operand("weight")], {"epsilon": epsilon, "axis": -len(call.numbers("normalized_shape"))})


def weight_norm(call: Call) -> Result:
    """v * g / |v|, the norm over all axes but `dim` (over all of them for -1)."""
    v, g, dim = call["v"], call["g"], call.number("dim", 0)
    shape, dtype = shape_of(v), call.type().dtype
    rank = len(shape)
    rest = [] if math.prod(shape_of(g)) == 1 else [dim % rank]
    over = [axis for axis in range(rank) if axis not in rest]
    lead = tuple(shape[axis] for axis in rest)
    square = transpose(rows.fixed_power(call, v, 2.0), [*rest, *over])
    total = call.draft("ReduceSum", [reshape(square, (*lead, math.prod(shape[axis] for axis in over)))], {"axes": tuple(axis - rank for axis in over)}, TensorType(lead, dtype))
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
        return rows.adaptive_pool(call, call["self"], kind, rows.per_axis(call.get("output_size"), count), results=min(results, len(call.record.outputs)))

    return row


def upsample(mode: str, exact: bool = False) -> Row:
    """upsample_nearest, _linear, _bilinear, _bicubic; "vec" and plain overloads."""

    def row(call: Call) -> Result:
        edge = call.operand("input") or call["self"]
        aligned = bool(call.number("align_corners", False))
        coordinates = "align_corners" if aligned else "asymmetric" if mode == "nearest" and not exact else "half_pixel"
        scales = call.numbers("scale_factors")
        if not scales:
            named = [call.number(name) for name in ("scales_d", "scales_h", "scales_w", "scales")]
            scales = tuple(scale for scale in named if scale is not None)
        return rows.resize(call, edge, mode, coordinates, scales)

    return row


# -- movement


def transpose_pair(call: Call) -> Result:
    """transpose(dim0, dim1), swapaxes, t, mT."""
    edge = call["self"]
    if call.rank(edge) < 2:
        return call.touch(edge)
    first, second = call.number("dim0", call.number("axis0", -2)), call.number("dim1", call.number("axis1", -1))
    return call.swap(edge, first, second)


def reversed_axes(call: Call) -> Result:
    """numpy_T: all axes reversed."""
    return call.transpose(call["self"], list(range(call.rank(call["self"])))[::-1])


def move_axes(call: Call) -> Result:
    """movedim."""
    rank = call.rank(call["self"])
    came, go = [axis % rank for axis in call.numbers("source")], [axis % rank for axis in call.numbers("destination")]
    order = [axis for axis in range(rank) if axis not in came]
    for target, axis in sorted(zip(go, came, strict=True)):
        order.insert(target, axis)
    return call.transpose(call["self"], order)


def slice_(call: Call) -> Result:
    """One axis; the end may be far outside."""
    return call.slice(call["self"], call.number("dim", 0), call.number("start"), call.number("end"), call.number("step", 1))


def narrow(call: Call) -> Result:
    """`length` coordinates from `start`."""
    start = call.number("start")
    axis = call.number("dim")
    start = start + shape_of(call["self"])[axis] if start < 0 else start
    return call.take(call["self"], axis, range(start, start + call.number("length")))


def select(call: Call) -> Result:
    """One coordinate, the axis dropped."""
    axis = call.number("dim") % call.rank(call["self"])
    index = call.number("index") % shape_of(call["self"])[axis]
    return call.reshape(call.take(call["self"], axis, range(index, index + 1)), call.shape)


def split(call: Call) -> Result:
    """chunk, split, split_with_sizes, tensor_split: sizes are those of the native results."""
    axis = call.number("dim", 0) % call.rank(call["self"])
    return rows.pieces(call, call["self"], axis, [call.type(output).shape[axis] for output in range(len(call.record.outputs))])


def unbind(call: Call) -> Result:
    """Every coordinate by itself."""
    return rows.unbound(call, call["self"], call.number("dim", 0))


def flip(call: Call) -> Result:
    """Axes read backwards."""
    edge = call["self"]
    for axis in call.numbers("dims"):
        edge = call.take(edge, axis, range(shape_of(edge)[axis] - 1, -1, -1))
    return edge


def roll(call: Call) -> Result:
    """Axes rotated; without axes the flat order."""
    edge, shifts, dims = call["self"], call.numbers("shifts"), call.numbers("dims")
    flat = not dims
    if flat:
        edge, dims = reshape(edge, (math.prod(shape_of(edge)),)), (0,)
    for shift, axis in zip(shifts, dims, strict=True):
        extent = shape_of(edge)[axis]
        edge = call.take(edge, axis, [(at - shift) % extent for at in range(extent)])
    return reshape(edge, call.shape) if flat else edge


def repeat_interleave(call: Call) -> Result:
    """Every coordinate several times in a row."""
    times, axis = call.number("repeats"), call.number("dim")
    edge = call["self"]
    if axis is None:
        edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
    axis %= call.rank(edge)
    shape = list(shape_of(edge))
    inner = reshape(edge, [*shape[: axis + 1], 1, *shape[axis + 1 :]])
    return call.reshape(expand(inner, [*shape[: axis + 1], times, *shape[axis + 1 :]]), call.shape)


def pixel_shuffle(call: Call) -> Result:
    """[.., c r r, h, w] -> [.., c, h r, w r]."""
    edge, r = call["self"], call.number("upscale_factor")
    *lead, c, h, w = shape_of(edge)
    n = len(lead)
    parts = reshape(edge, [*lead, c // (r * r), r, r, h, w])
    return call.reshape(transpose(parts, [*range(n), n, n + 3, n + 1, n + 4, n + 2]), call.shape)


def pixel_unshuffle(call: Call) -> Result:
    """[.., c, h r, w r] -> [.., c r r, h, w]."""
    edge, r = call["self"], call.number("downscale_factor")
    *lead, c, h, w = shape_of(edge)
    n = len(lead)
    parts = reshape(edge, [*lead, c, h // r, r, w // r, r])
    return call.reshape(transpose(parts, [*range(n), n, n + 2, n + 4, n + 1, n + 3]), call.shape)


def channel_shuffle(call: Call) -> Result:
    """Channels of groups interleaved."""
    edge, groups = call["self"], call.number("groups")
    n, c, *rest = shape_of(edge)
    parts = reshape(edge, [n, groups, c // groups, *rest])
    return call.reshape(call.swap(parts, 1, 2), call.shape)


def concat(call: Call) -> Result:
    """cat, concat."""
    return rows.concat(call, call.tensors("tensors"), call.number("dim", 0))


def stack(call: Call) -> Result:
    """stack."""
    return rows.stack(call, call.tensors("tensors"), call.number("dim", 0))


def pad(call: Call) -> Result:
    """Pairs from the last axis backwards."""
    edge = call["self"]
    widths = [(0, 0)] * call.rank(edge)
    flat = [int(width) for width in call.numbers("pad")]
    for place in range(len(flat) // 2):
        widths[-1 - place] = (flat[2 * place], flat[2 * place + 1])
    return rows.pad(call, edge, widths, call.get("mode", "constant"), call.number("value", 0.0) or 0.0)


def expand_to(call: Call) -> Result:
    """expand, expand_as, broadcast_to: the native result's shape decides."""
    return call.expand(call["self"], call.shape)


def repeat(call: Call) -> Result:
    """Whole copies along each axis."""
    return rows.tiled(call, call["self"], call.numbers("repeats") or call.numbers("dims"))


def meshgrid(call: Call) -> Result:
    """Every tensor expanded along the axes of the others."""
    found: list[Edge | None] = []
    tensors = call.tensors("tensors")
    crossed = call.get("indexing", "ij") == "xy" and len(tensors) > 1
    for place, edge in enumerate(tensors):
        shape = call.type(place).shape
        axis = 1 - place if crossed and place < 2 else place
        found.append(call.expand(reshape(edge, [extent if at == axis else 1 for at, extent in enumerate(shape)]), shape))
    return found


# -- selection


def embedding(call: Call) -> Result:
    """Rows of a table."""
    return rows.lookup(call, call["weight"], call["indices"], call.number("padding_idx", -1))


def index_select(call: Call) -> Result:
    """Rows of an axis."""
    return rows.gather(call, call["self"], call["index"], call.number("dim"))


def index(call: Call) -> Result:
    """x[i], x[:, i], x[i, j]: one index is Gather, known indices are movement."""
    edge, indices = call["self"], call.members("indices")
    axes = [axis for axis, part in enumerate(indices) if part is not None]
    found = [part for part in indices if part is not None]
    if len(axes) == 1 and call.builder.dtype(found[0]) not in ("bool", "uint8"):
        return rows.gather(call, edge, found[0], axes[0])
    known = [call.known(part) for part in found]
    if found and axes == list(range(axes[0], axes[0] + len(axes))) and all(value is not None for value in known):
        return rows.known_index(call, edge, axes[0], [value for value in known if value is not None])
    return call.draft("Index", [edge, *found], {"axes": tuple(axes)})


def gather_elements(call: Call) -> Result:
    """gather, take_along_dim."""
    index_role = "index" if call.operand("index") is not None else "indices"
    return call.draft("GatherElements", [call["self"], call[index_role]], {"axis": call.number("dim") % call.rank(call["self"])})


def scatter(reduction: str) -> Row:
    """scatter and scatter_add along an axis."""

    def row(call: Call) -> Result:
        updates = call.operand("src") or call.constant(call.number("value"))
        return call.draft("ScatterElements", [call["self"], call["index"], updates], {"axis": call.number("dim") % call.rank(call["self"]), "reduction": reduction})

    return row


def index_put(call: Call) -> Result:
    """x[i, j] = values."""
    indices = call.members("indices")
    axes = tuple(axis for axis, part in enumerate(indices) if part is not None)
    return call.draft("IndexPut", [call["self"], call["values"], *(part for part in indices if part is not None)], {"axes": axes, "accumulate": bool(call.number("accumulate", False))})


def slice_scatter(call: Call) -> Result:
    """The operand with a slice of one axis replaced."""
    edge, axis = call["self"], call.number("dim", 0) % call.rank(call["self"])
    if call.number("step", 1) != 1:
        raise Unsupported("a slice with steps is written")
    chosen = range(shape_of(edge)[axis])[slice(call.number("start"), call.number("end"))]
    return rows.assign_box(call, edge, [(axis, chosen.start, chosen.stop)], call["src"])


def select_scatter(call: Call) -> Result:
    """The operand with one coordinate of an axis replaced."""
    edge, axis = call["self"], call.number("dim") % call.rank(call["self"])
    index = call.number("index") % shape_of(edge)[axis]
    shape = list(shape_of(edge))
    shape[axis] = 1
    return rows.assign_box(call, edge, [(axis, index, index + 1)], reshape(expand(call["src"], [*shape[:axis], *shape[axis + 1 :]]), shape))


def copy(call: Call) -> Result:
    """copy_: the source, in the target's shape and type."""
    return call.expand(call["src"], call.shape)


def detach(call: Call) -> Result:
    """No gradient passes."""
    return call.builder.detach(call.touch(call["self"]), call.record)


def cumsum(call: Call) -> Result:
    """Running sum."""
    return rows.on_axis(call, "CumSum", call["self"], call.number("dim"), {"exclusive": False, "reverse": False})


def diff(call: Call) -> Result:
    """x[1:] - x[:-1] along an axis."""
    if call.number("n", 1) != 1:
        raise Unsupported("a repeated difference")
    edge, axis = call["self"], call.number("dim", -1)
    parts = [part for part in (call.operand("prepend"), edge, call.operand("append")) if part is not None]
    if len(parts) > 1:
        shape = list(shape_of(edge))
        shape[axis] = sum(shape_of(part)[axis] for part in parts)
        edge = call.draft("Concat", parts, {"axis": axis % len(shape)}, call.typed(edge, shape))
    return rows.sum_of(call, [(call.slice(edge, axis, 1, None), 1.0), (call.slice(edge, axis, 0, -1), -1.0)])


def argument(op: str) -> Row:
    """argmax, argmin; without an axis over the flat order."""

    def row(call: Call) -> Result:
        edge, axis = call["self"], call.number("dim")
        if axis is None:
            edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
        return rows.argument(call, op, edge, axis)

    return row


def top_k(call: Call) -> Result:
    """Largest or smallest values and where they stand."""
    return rows.on_axis(call, "TopK", call["self"], call.number("dim", -1), {"k": call.number("k"), "largest": bool(call.number("largest", True))}, 2)


def sort(call: Call) -> Result:
    """Sorted values and where they stood."""
    return rows.on_axis(call, "Sort", call["self"], call.number("dim", -1), {"descending": bool(call.number("descending", False))}, 2)


def trilu(upper: bool) -> Row:
    """tril, triu."""

    def row(call: Call) -> Result:
        return call.draft("Trilu", [call["self"]], {"upper": upper, "diagonal": call.number("diagonal", 0)})

    return row


def einsum(call: Call) -> Result:
    """Two operands without repeated letters are a product of matrices."""
    return rows.einsum(call, call.get("equation"), call.tensors("tensors"))


def variance(call: Call) -> Result:
    """var: the mean square of what is left of the mean."""
    correction = call.number("correction", 1.0 if call.number("unbiased", True) else 0.0)
    return rows.reduce_over(call, "ReduceVariance", call["self"], call.numbers("dim"), {"correction": float(correction)})


def vector_norm(call: Call) -> Result:
    """norm, linalg_vector_norm: the 2-norm is the root of a sum of squares."""
    order = call.number("ord", call.number("p", 2))
    edge, axes = call["self"], call.numbers("dim")
    if order is None or order == 2:
        return rows.root_of_squares(call, edge, axes)
    return rows.reduce_over(call, "ReduceLp", edge, axes, {"p": float(order)})


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
            "dropout": float(call.number("dropout", 0.0)) if call.number("train", False) and layers > 1 else 0.0,
            **attributes,
        }
        outputs = [kind for kind in call.record.outputs if kind is not None]
        y = outputs[0]
        types = [TensorType((y.shape[1], y.shape[0], y.shape[2]), y.dtype) if batch_first else y, *outputs[1:]]
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


def gates(call: Call, x: Edge, h: Edge) -> Edge:
    """x @ w_ih^T + b_ih + h @ w_hh^T + b_hh."""
    terms = []
    for edge, weight, bias in ((x, "w_ih", "b_ih"), (h, "w_hh", "b_hh")):
        kind = call.typed(edge, (*shape_of(edge)[:-1], shape_of(call[weight])[0]))
        term = call.draft("MatMul", [edge, call.swap(call[weight])], None, kind)
        if call.operand(bias) is not None:
            term = call.draft("Add", [term, broadcast(call[bias], kind.shape)], None, kind)
        terms.append(term)
    return call.draft("Add", terms, None, call.typed(terms[0], shape_of(terms[0])))


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
    """bernoulli_(p) into an empty tensor."""
    probability = call.number("p")
    if probability is None:
        raise Unsupported("draws with a tensor of probabilities")
    return call.draft("Bernoulli", [], {"p": float(probability)})


def uniform(call: Call) -> Result:
    """rand, uniform_."""
    return call.draft("RandomUniform", [], {"low": float(call.number("from", 0.0)), "high": float(call.number("to", 1.0))})


def normal(call: Call) -> Result:
    """randn, normal_."""
    return call.draft("RandomNormal", [], {"mean": float(call.number("mean", 0.0) or 0.0), "scale": float(call.number("std", 1.0) or 1.0)})


def im2col(call: Call) -> Result:
    """unfold: patches as columns."""
    return call.draft(
        "Im2Col",
        [call["self"]],
        {"kernel_shape": rows.per_axis(call.get("kernel_size"), 2), "strides": rows.per_axis(call.get("stride", 1), 2), "pads": rows.both_sides(call.numbers("padding", (0,)), 2), "dilations": rows.per_axis(call.get("dilation", 1), 2)},
    )


def col2im(call: Call) -> Result:
    """fold: columns summed into an image."""
    return call.draft(
        "Col2Im",
        [call["self"]],
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
        {"mode": modes[call.number("interpolation_mode")], "padding_mode": paddings[call.number("padding_mode")], "align_corners": bool(call.number("align_corners"))},
    )


def one_hot(call: Call) -> Result:
    """one_hot."""
    return call.draft("OneHot", [call["self"]], {"depth": call.shape[-1]})


def complex_part(op: str) -> Row:
    """real, imag: nothing for a real tensor's real part."""

    def row(call: Call) -> Result:
        return call.draft(op, [call["self"]]) if call.builder.dtype(call["self"]).startswith("complex") else call.touch(call["self"])

    return row


def fourier(inverse: bool) -> Row:
    """fft_fftn, fft_ifftn over axes."""

    def row(call: Call) -> Result:
        edge = call["self"]
        if call.numbers("s"):
            raise Unsupported("a transform that pads")
        axes = tuple(sorted(int(axis) % call.rank(edge) for axis in call.numbers("dim"))) or tuple(range(call.rank(edge)))
        return call.draft("DFT", [edge], {"axes": axes, "inverse": inverse, "normalization": call.get("norm") or "backward"})

    return row


NOTHING = rows.identity("self")
FLAT = rows.reshaped("self")

ROWS: Mapping[str, Row] = {
    # nothing happens
    **dict.fromkeys(("contiguous", "clone", "alias", "lift_fresh_copy", "lift_fresh", "lift", "positive", "requires_grad", "copy_to_host", "to.device"), NOTHING),
    **dict.fromkeys(("to", "_to_copy", "type_as", "float", "half", "double", "long", "int", "bool", "bfloat16"), cast),
    "detach": detach,
    "padiff_graph.gradient_hook.default": lambda call: call.draft("Identity", [call["x"]]),
    "_assert_tensor_metadata": lambda call: None,
    "_assert_async": lambda call: None,
    "sym_size": lambda call: None,
    "copy": copy,
    # movement
    **dict.fromkeys(("reshape", "view", "_unsafe_view", "flatten", "unflatten", "reshape_as", "view_as", "unsqueeze", "squeeze", "_reshape_alias", "ravel"), FLAT),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims", "t", "mT", "numpy_mT", "adjoint"), transpose_pair),
    **dict.fromkeys(("permute", "permute_copy"), lambda call: call.transpose(call["self"], call.numbers("dims"))),
    "numpy_T": reversed_axes,
    **dict.fromkeys(("movedim", "moveaxis"), move_axes),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), expand_to),
    **dict.fromkeys(("repeat", "tile"), repeat),
    "repeat_interleave.self_int": repeat_interleave,
    "slice": slice_,
    "narrow": narrow,
    "select": select,
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split", "hsplit", "vsplit"), split),
    "unbind": unbind,
    "flip": flip,
    "roll": roll,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "channel_shuffle": channel_shuffle,
    **dict.fromkeys(("cat", "concat", "concatenate"), concat),
    "stack": stack,
    "meshgrid": meshgrid,
    **dict.fromkeys(("pad", "constant_pad_nd"), pad),
    # element-wise, two operands
    **dict.fromkeys(("add", "__add__"), rows.combine()),
    **dict.fromkeys(("sub", "subtract", "__sub__"), rows.combine(sign=-1.0)),
    "rsub": lambda call: rows.sum_of(call, [(call["self"], -float(call.number("alpha", 1)))] + ([(call["other"], 1.0)] if call.operand("other") else []), 0.0 if call.operand("other") else call.number("other")),
    **dict.fromkeys(("mul", "multiply", "__mul__"), rows.multiply()),
    **dict.fromkeys(("div", "divide", "true_divide"), rows.divide()),
    "pow": rows.power(),
    **dict.fromkeys(("minimum", "min.other", "fmin"), rows.paired("Min")),
    **dict.fromkeys(("maximum", "max.other", "fmax"), rows.paired("Max")),
    "floor_divide": rows.paired("FloorDiv"),
    "remainder": rows.paired("Mod"),
    "eq": rows.paired("Equal"),
    "ne": rows.paired("NotEqual"),
    **dict.fromkeys(("lt", "less"), rows.paired("Less")),
    **dict.fromkeys(("le", "less_equal"), rows.paired("LessOrEqual")),
    **dict.fromkeys(("gt", "greater"), rows.paired("Greater")),
    **dict.fromkeys(("ge", "greater_equal"), rows.paired("GreaterOrEqual")),
    "logical_and": rows.paired("And"),
    "logical_or": rows.paired("Or"),
    "logical_xor": rows.paired("Xor"),
    **dict.fromkeys(("__and__", "bitwise_and"), rows.boolean("And", "self other")),
    **dict.fromkeys(("__or__", "bitwise_or"), rows.boolean("Or", "self other")),
    **dict.fromkeys(("__xor__", "bitwise_xor"), rows.boolean("Xor", "self other")),
    "logical_not": rows.unary("Not"),
    "bitwise_not": rows.boolean("Not", "self"),
    "where": where,
    "masked_fill": masked_fill,
    "addcmul": add_products(1.0, False),
    "addcdiv": add_products(1.0, True),
    "lerp": lerp,
    # element-wise, one operand
    "relu": rows.unary("Relu"),
    **dict.fromkeys(("clamp", "hardtanh", "clip", "clamp_min", "clamp_max"), clamp),
    "relu6": lambda call: rows.clip(call, call["self"], 0.0, 6.0),
    "threshold": threshold,
    "leaky_relu": rows.unary("LeakyRelu", alpha="negative_slope"),
    "prelu": lambda call: call.draft("PRelu", [call["self"], rows.slope(call, call["weight"])]),
    "elu": rows.unary("Elu", alpha="alpha"),
    "selu": rows.unary("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "celu": rows.unary("Celu", alpha="alpha"),
    "gelu": lambda call: call.draft("Gelu", [call["self"]], {"approximate": call.get("approximate", "none")}),
    "silu": rows.unary("Swish", alpha=1.0),
    "mish": rows.unary("Mish"),
    "sigmoid": rows.unary("Sigmoid"),
    "log_sigmoid": rows.unary("LogSigmoid"),
    "hardsigmoid": rows.unary("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    "hardswish": rows.unary("HardSwish"),
    "softplus": rows.unary("Softplus", beta="beta", threshold="threshold"),
    "tanh": rows.unary("Tanh"),
    "glu": glu,
    "neg": lambda call: call.affine(call["self"], -1.0),
    "negative": lambda call: call.affine(call["self"], -1.0),
    "sqrt": rows.raised(0.5),
    "rsqrt": rows.raised(-0.5),
    "reciprocal": rows.raised(-1.0),
    "square": rows.raised(2.0),
    **{name: rows.unary(op) for name, op in {"erf": "Erf", "exp": "Exp", "expm1": "Expm1", "log": "Log", "log1p": "Log1p", "abs": "Abs", "sign": "Sign", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "floor": "Floor", "ceil": "Ceil", "trunc": "Trunc", "isnan": "IsNaN", "isinf": "IsInf", "softsign": "Softsign"}.items()},
    "round": rows.unary("Round"),
    # products
    "linear": linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "__matmul__"), matmul),
    "addmm": add_matmul("mat1", "mat2"),
    "baddbmm": add_matmul("batch1", "batch2"),
    "addmv": add_matmul("mat", "vec"),
    "outer": outer,
    "einsum": einsum,
    "scaled_dot_product_attention": attention,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution", "_convolution"), convolution()),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), convolution(transposed=True)),
    # normalisation
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit", "native_batch_norm", "cudnn_batch_norm"), batch_norm),
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "native_layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "_weight_norm": weight_norm,
    # along an axis
    **dict.fromkeys(("softmax", "_softmax"), rows.along_last("Softmax")),
    **dict.fromkeys(("log_softmax", "_log_softmax"), rows.along_last("LogSoftmax")),
    "cumsum": cumsum,
    "cumprod": rows.along_last("CumProd"),
    "diff": diff,
    "argmax": argument("ArgMax"),
    "argmin": argument("ArgMin"),
    "topk": top_k,
    "sort": sort,
    "mean": rows.reduction("ReduceMean"),
    "sum": rows.reduction("ReduceSum"),
    "prod": rows.reduction("ReduceProd"),
    **dict.fromkeys(("max", "amax"), rows.reduction("ReduceMax")),
    **dict.fromkeys(("min", "amin"), rows.reduction("ReduceMin")),
    "logsumexp": rows.reduction("ReduceLogSumExp"),
    "any": rows.reduction("ReduceAny"),
    "all": rows.reduction("ReduceAll"),
    "var": variance,
    **dict.fromkeys(("norm", "linalg_vector_norm"), vector_norm),
    # pooling and sampling
    **{f"avg_pool{n}d": pooling("AveragePool", n) for n in (1, 2, 3)},
    **{f"max_pool{n}d": pooling("MaxPool", n) for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": pooling("MaxPool", n, 2) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": adaptive("AveragePool", n) for n in (1, 2, 3)},
    **{f"_adaptive_avg_pool{n}d": adaptive("AveragePool", n) for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": adaptive("MaxPool", n, 2) for n in (1, 2, 3)},
    **{f"upsample_nearest{n}d": upsample("nearest") for n in (1, 2, 3)},
    **{f"_upsample_nearest_exact{n}d": upsample("nearest", exact=True) for n in (1, 2, 3)},
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), upsample("linear")),
    "upsample_bicubic2d": upsample("cubic"),
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), grid_sample),
    "im2col": im2col,
    "col2im": col2im,
    # selection
    "embedding": embedding,
    "index_select": index_select,
    "index": index,
    **dict.fromkeys(("gather", "take_along_dim"), gather_elements),
    "scatter": scatter("none"),
    "scatter_add": scatter("add"),
    "index_put": index_put,
    "slice_scatter": slice_scatter,
    "select_scatter": select_scatter,
    "tril": trilu(False),
    "triu": trilu(True),
    "one_hot": one_hot,
    "nonzero": rows.unary("NonZero"),
    # complex
    "real": complex_part("Real"),
    "imag": complex_part("Imag"),
    "fft_fftn": fourier(False),
    "fft_ifftn": fourier(True),
    # recurrent
    "lstm_cell": lstm_cell,
    "rnn_tanh_cell": rnn_cell("Tanh"),
    "rnn_relu_cell": rnn_cell("Relu"),
    "lstm.input": recurrent("LSTM"),
    "gru.input": recurrent("GRU"),
    "rnn_tanh.input": recurrent("RNN", activation="tanh"),
    "rnn_relu.input": recurrent("RNN", activation="relu"),
    # random
    "dropout": dropout(False),
    "feature_dropout": dropout(True),
    "bernoulli_": bernoulli,
    "rand": uniform,
    "rand_like": uniform,
    "uniform_": uniform,
    "randn": normal,
    "randn_like": normal,
    "normal_": normal,
}

RANDOM = frozenset({"bernoulli", "bernoulli_", "rand", "rand_like", "uniform_", "randn", "randn_like", "normal_", "randint", "randperm", "multinomial"})
"""Operators that draw: never constants, whatever they read."""


def filled(value: float | None) -> Any:
    """A tensor of one number: the given one, or the call's fill_value."""

    def fold(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
        return np.full(kind.shape, call.number("fill_value", call.number("s", 0)) if value is None else value, "float32" if kind.dtype == "bfloat16" else kind.dtype)

    return fold


def counted(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """arange."""
    return np.arange(call.number("start", 0), call.number("end"), call.number("step", 1)).astype(kind.dtype)


def unit(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """eye."""
    return np.eye(*kind.shape, dtype=kind.dtype)


CONSTANTS: Mapping[str, Any] = {
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros", "empty", "empty_like", "new_empty"), filled(0)),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), filled(1)),
    **dict.fromkeys(("full", "full_like", "new_full", "scalar_tensor"), filled(None)),
    "arange": counted,
    "eye": unit,
}
"""Operators whose result depends on shapes and attributes only: (call, type) -> value."""
