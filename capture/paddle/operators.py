"""The table of PIR operators: native operator -> normal form.

Keys are operator names without "pd_op."; an in-place spelling ("relu_") uses the row of its plain one.
Needs no Paddle: rows see names, roles, attributes. PIR holds many attributes as constant operands
(axes, shapes, bounds); `Call.get` answers both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import expand, moved, plain, reshape, shape_of, transpose, view_of
from padiff_graph.capture.normal.form import Edge

__all__ = ["CONSTANTS", "RANDOM", "ROWS", "row_of"]

NAMESPACE = "pd_op."


def row_of(op: str) -> Row | None:
    """The row of a native operator, None where the table has none."""
    name = op.removeprefix(NAMESPACE)
    return ROWS.get(name) or (ROWS.get(name[:-1]) if name.endswith("_") else None)


def channels_last(call: Call) -> bool:
    """Whether the operator's layout puts channels last."""
    return str(call.get("data_format", "NCHW")) in ("NHWC", "NDHWC", "NLC", "NWC")


# -- element-wise


def scale(call: Call) -> Result:
    """x * scale + bias, or (x + bias) * scale; the scale may be computed."""
    bias = float(call.number("bias", 0.0))
    edge = call.operand("scale")
    factor = float(call.number("scale", 1.0)) if edge is None else call.scalar(edge)
    after = bool(call.number("bias_after_scale", True))
    if factor is None:
        assert edge is not None
        whole = rows.product(call, [call["x"] if after else call.affine(call["x"], 1.0, bias), edge])
        return call.affine(whole, 1.0, bias) if after else whole
    return call.affine(call["x"], factor, bias if after else bias * factor)


def clip(call: Call) -> Result:
    """Bounds are constant operands."""
    return rows.clip(call, call["x"], call.number("min"), call.number("max"))


def swiglu(call: Call) -> Result:
    """silu(x) * y; one operand holds both halves."""
    x, y = call["x"], call.operand("y")
    if y is None:
        half = shape_of(x)[-1] // 2
        x, y = call.slice(x, -1, 0, half), call.slice(x, -1, half, None)
    gate = call.draft("Swish", [x], {"alpha": 1.0})
    return call.draft("Mul", [gate, y])


def masked_fill(call: Call) -> Result:
    """masked_fill(x, mask, v) = where(mask, v, x)."""
    return rows.where(call, call["mask"], call["value"], call["x"])


def where(call: Call) -> Result:
    """where."""
    return rows.where(call, call["condition"], call["x"], call["y"])


def cast(call: Call) -> Result:
    """The native result's type decides."""
    return rows.cast(call, call["x"], call.type().dtype)


def add_all(call: Call) -> Result:
    """add_n."""
    return rows.sum_of(call, [(edge, 1.0) for edge in call.tensors("inputs")])


def log_sum_exp(call: Call) -> Result:
    """logsumexp."""
    return rows.reduce_over(call, "ReduceLogSumExp", call["x"], [] if call.get("reduce_all") else call.numbers("axis"), {})


def lerp(call: Call) -> Result:
    """x + weight * (y - x)."""
    weight = call.scalar(call["weight"])
    if weight is None:
        raise Unsupported("lerp by a tensor")
    return rows.sum_of(call, [(call["x"], 1.0 - weight), (call["y"], float(weight))])


# -- products


def matmul(call: Call) -> Result:
    """transpose_x and transpose_y are movement."""
    x, y = call["x"], call.operand("y") or call["vec"]
    if call.get("transpose_x", False) and call.rank(x) > 1:
        x = call.swap(x)
    if call.get("transpose_y", False) and call.rank(y) > 1:
        y = call.swap(y)
    return rows.matmul(call, x, y)


def add_matmul(call: Call) -> Result:
    """addmm, baddbmm: beta * input + alpha * x @ y."""
    product = rows.matmul(call, call["x"], call["y"])
    return rows.sum_of(call, [(product, float(call.number("alpha", 1))), (call["input"], float(call.number("beta", 1)))])


def fused_linear(call: Call) -> Result:
    """fused_gemm_epilogue: x @ y + bias with an activation."""
    x, y = call["x"], call["y"]
    if call.get("trans_x", False):
        x = call.swap(x)
    if call.get("trans_y", False):
        y = call.swap(y)
    whole = rows.linear(call, x, y, call["bias"])
    activation = call.get("activation", "none")
    if activation == "none":
        return whole
    return call.draft({"relu": "Relu", "gelu": "Gelu"}[activation], [whole], {"approximate": "tanh"} if activation == "gelu" else {})


def flash_attention(call: Call) -> Result:
    """flash_attn: operands are [batch, length, heads, width]."""
    query, key, value = (call.swap(call[role], 1, 2) for role in ("q", "k", "v"))
    dropout = 0.0 if call.get("is_test", False) else float(call.number("dropout", 0.0))
    result = rows.attention(call, query, key, value, call.operand("attn_mask"), scale=None, causal=bool(call.get("causal", False)), dropout=dropout)
    return [call.swap(result, 1, 2)]


def efficient_attention(call: Call) -> Result:
    """memory_efficient_attention: operands are [batch, length, heads, width]."""
    query, key, value = (call.swap(call[role], 1, 2) for role in ("query", "key", "value"))
    factor = call.number("scale", -1.0)
    dropout = 0.0 if call.get("is_test", False) else float(call.number("dropout_p", 0.0))
    result = rows.attention(call, query, key, value, call.operand("bias"), scale=factor if factor > 0 else None, causal=bool(call.get("causal", False)), dropout=dropout)
    return [call.swap(result, 1, 2)]


def convolution(transposed: bool = False) -> Row:
    """conv2d, depthwise_conv2d, conv3d and their transposes; paddings are 2 or 4 (3 or 6) numbers."""

    def row(call: Call) -> Result:
        algorithm = str(call.get("padding_algorithm", "EXPLICIT"))
        x = call.operand("input") or call["x"]
        return rows.convolution(
            call,
            x,
            call["filter"],
            None,
            strides=call.numbers("strides"),
            pads=algorithm if algorithm in ("SAME", "VALID") else call.numbers("paddings"),
            dilations=call.numbers("dilations", (1,)),
            group=call.number("groups", 1),
            transposed=transposed,
            channels_last=channels_last(call),
        )

    return row


def pair_products(call: Call) -> Result:
    """dot: products summed over the last axis."""
    both = call.draft("Mul", [call["x"], call["y"]], None, call.typed(call["x"], shape_of(call["x"])))
    return rows.reduce_over(call, "ReduceSum", both, [-1], {})


# -- normalisation


def batch_norm(call: Call) -> Result:
    """Operands as ONNX has them; momentum as torch's; in training the new statistics are further results."""
    last = channels_last(call)
    training = not (call.get("is_test", False) and not call.get("trainable_statistics", False)) and not call.get("use_global_stats", False)
    x = rows.channels_first(call, call["x"], last)
    inputs = [x, call.operand("scale"), call.operand("bias"), call.operand("mean"), call.operand("variance")]
    momentum = round(1.0 - call.number("momentum", 0.9), 7) if training else None
    attrs = {"epsilon": call.number("epsilon"), "momentum": momentum, "training": training}
    types = [TensorType(shape_of(x), call.type().dtype)]
    if training and inputs[3] is not None:
        types += [TensorType(shape_of(inputs[3]), call.builder.dtype(inputs[3]))] * 2
    found = call.results("BatchNormalization", inputs, attrs, *types)
    results: list[Edge | None] = [rows.channels_back(call, found[0], last)]
    # In evaluation the statistics come out as they went in.
    return results + ([*found[1:]] if len(found) > 1 else [inputs[3], inputs[4]])


def group_norm(call: Call) -> Result:
    """Statistics over groups of channels."""
    last = channels_last(call)
    x = rows.channels_first(call, call["x"], last)
    result = call.draft("GroupNormalization", [x, call.operand("scale"), call.operand("bias")], {"epsilon": call.number("epsilon"), "num_groups": call.number("groups")}, TensorType(shape_of(x), call.type().dtype))
    return [rows.channels_back(call, result, last)]


def instance_norm(call: Call) -> Result:
    """Statistics of each sample and channel."""
    return [call.draft("InstanceNormalization", [call["x"], call.operand("scale"), call.operand("bias")], {"epsilon": call.number("epsilon")})]


def layer_norm(call: Call) -> Result:
    """Statistics over the axes from begin_norm_axis on."""
    x = call["x"]
    axis = call.number("begin_norm_axis", 1) - call.rank(x)
    return [call.draft("LayerNormalization", [x, call.operand("scale"), call.operand("bias")], {"epsilon": call.number("epsilon"), "axis": axis})]


def rms_norm(call: Call) -> Result:
    """Root mean square over the last axes."""
    count = len(call.numbers("normalized_shape")) or 1
    return [call.draft("RMSNormalization", [call["x"], call.operand("scale")], {"epsilon": call.number("epsilon"), "axis": -count})]


def p_norm(call: Call) -> Result:
    """The 2-norm is the root of a sum of squares; others keep their order."""
    edge, order = call["x"], call.number("porder", 2.0)
    axes = [] if call.get("asvector", False) else [call.number("axis", -1)]
    if order == 2:
        return rows.root_of_squares(call, edge, axes)
    return rows.reduce_over(call, "ReduceLp", edge, axes, {"p": float(order)})


def frobenius_norm(call: Call) -> Result:
    """The root of a sum of squares."""
    return rows.root_of_squares(call, call["x"], [] if call.get("reduce_all", False) else call.numbers("axis"))


def squared_norm(call: Call) -> Result:
    """The sum of squares."""
    square = rows.fixed_power(call, call["x"], 2.0)
    return rows.reduce_over(call, "ReduceSum", square, [], {})


# -- pooling


def pooling(count: int, kind: str = "", results: int = 1) -> Row:
    """pool2d, pool3d, max_pool2d_with_index: global, adaptive or by window."""

    def row(call: Call) -> Result:
        last = channels_last(call)
        op = kind or ("MaxPool" if call.get("pooling_type", "avg") == "max" else "AveragePool")
        x = call["x"]
        several = min(results, len(call.record.outputs))
        if several > 1 and not _read(call, 1):
            several = 1
        if call.get("global_pooling", False):
            return rows.adaptive_pool(call, x, op, (1,) * count, channels_last=last, results=several)
        kernel = rows.per_axis(call.numbers("kernel_size"), count)
        if call.get("adaptive", False):
            return rows.adaptive_pool(call, x, op, kernel, channels_last=last, results=several)
        algorithm = str(call.get("padding_algorithm", "EXPLICIT"))
        return rows.pool(
            call,
            x,
            op,
            kernel=kernel,
            strides=call.numbers("strides"),
            pads=algorithm if algorithm in ("SAME", "VALID") else call.numbers("paddings"),
            ceil_mode=bool(call.get("ceil_mode", False)),
            count_include_pad=not call.get("exclusive", True),
            channels_last=last,
            results=several,
        )

    return row


def _read(call: Call, output: int) -> bool:
    """Whether any operation reads a result."""
    return any(data["output"] == output for _, _, data in call.builder.graph.out_edges(call.record.id, data=True))


def interpolation(mode: str, count: int) -> Row:
    """nearest_interp, bilinear_interp, ...: align_mode 1 is the asymmetric convention."""

    def row(call: Call) -> Result:
        if call.get("align_corners", False):
            coordinates = "align_corners"
        elif mode == "nearest":
            coordinates = "asymmetric"
        else:
            coordinates = "half_pixel" if mode == "cubic" or call.number("align_mode", 1) == 0 else "asymmetric"
        explicit = any(int(call.number(name, 0) or 0) > 0 for name in ("out_d", "out_h", "out_w")) or call.operand("out_size") is not None or call.members("size_tensor")
        scales = () if explicit else call.numbers("scale")
        return rows.resize(call, call["x"], mode, coordinates, [float(factor) for factor in scales], channels_last=channels_last(call))

    return row


# -- movement


def slice_(call: Call) -> Result:
    """Some axes, from starts to ends; the axes of decrease_axis are dropped."""
    edge = call["input"]
    for axis, start, stop in zip(call.numbers("axes"), call.numbers("starts"), call.numbers("ends"), strict=True):
        edge = call.slice(edge, axis, int(start), int(stop))
    return call.reshape(edge, call.shape)


def strided_slice(call: Call) -> Result:
    """Some axes with steps; a far negative end means the beginning."""
    edge = call["x"]
    for axis, start, stop, step in zip(call.numbers("axes"), call.numbers("starts"), call.numbers("ends"), call.numbers("strides"), strict=True):
        edge = call.take(edge, axis, strided(shape_of(edge)[axis], int(start), int(stop), int(step)))
    return call.reshape(edge, call.shape)


def strided(extent: int, start: int, stop: int, step: int) -> range:
    """Paddle's bounds as a range: with a negative step a far negative end means the beginning."""
    if step < 0 and stop < -extent:
        return range(extent)[start::step]
    return range(extent)[start:stop:step]


def split(call: Call) -> Result:
    """split, split_with_num: a list of slices."""
    edge = call["x"]
    axis = int(call.number("axis", 0)) % call.rank(edge)
    extent = shape_of(edge)[axis]
    if call.get("num") is not None:
        sizes = [extent // call.number("num")] * call.number("num")
    else:
        sizes = [int(size) for size in call.numbers("sections")]
        sizes = [extent - sum(size for size in sizes if size >= 0) if size < 0 else size for size in sizes]
    return rows.pieces(call, edge, axis, sizes)


def unbind(call: Call) -> Result:
    """unbind, unstack: every coordinate by itself."""
    edge = call.operand("input") or call["x"]
    return rows.unbound(call, edge, call.number("axis", 0))


def flip(call: Call) -> Result:
    """Axes read backwards."""
    edge = call["x"]
    for axis in call.numbers("axis"):
        edge = call.take(edge, axis, range(shape_of(edge)[axis] - 1, -1, -1))
    return edge


def roll(call: Call) -> Result:
    """Axes rotated; without axes the flat order."""
    edge, shifts, axes = call["x"], call.numbers("shifts"), call.numbers("axis")
    flat = not axes
    if flat:
        edge, axes = reshape(edge, (math.prod(shape_of(edge)),)), (0,)
    for shift, axis in zip(shifts, axes, strict=True):
        extent = shape_of(edge)[axis]
        edge = call.take(edge, axis, [(at - int(shift)) % extent for at in range(extent)])
    return reshape(edge, call.shape) if flat else edge


def repeat_interleave(call: Call) -> Result:
    """Every coordinate several times in a row."""
    edge, times = call["x"], call.number("repeats")
    axis = call.number("axis", 0) % call.rank(edge)
    shape = list(shape_of(edge))
    inner = reshape(edge, [*shape[: axis + 1], 1, *shape[axis + 1 :]])
    return call.reshape(expand(inner, [*shape[: axis + 1], times, *shape[axis + 1 :]]), call.shape)


def shuffle(undo: bool) -> Row:
    """pixel_shuffle and pixel_unshuffle."""

    def row(call: Call) -> Result:
        last = channels_last(call)
        edge = rows.channels_first(call, call["x"], last)
        r = call.number("downscale_factor" if undo else "upscale_factor")
        n, c, h, w = shape_of(edge)
        if undo:
            parts = transpose(reshape(edge, [n, c, h // r, r, w // r, r]), [0, 1, 3, 5, 2, 4])
            shape = (n, c * r * r, h // r, w // r)
        else:
            parts = transpose(reshape(edge, [n, c // (r * r), r, r, h, w]), [0, 1, 4, 2, 5, 3])
            shape = (n, c // (r * r), h * r, w * r)
        return rows.channels_back(call, call.reshape(parts, shape), last)

    return row


def channel_shuffle(call: Call) -> Result:
    """Channels of groups interleaved."""
    last = channels_last(call)
    edge, groups = rows.channels_first(call, call["x"], last), call.number("groups")
    n, c, *rest = shape_of(edge)
    mixed = call.swap(reshape(edge, [n, groups, c // groups, *rest]), 1, 2)
    return rows.channels_back(call, call.reshape(mixed, (n, c, *rest)), last)


def concat(call: Call) -> Result:
    """concat: the axis is an operand."""
    return rows.concat(call, call.tensors("x"), int(call.number("axis", 0)))


def stack(call: Call) -> Result:
    """stack."""
    return rows.stack(call, call.tensors("x"), int(call.number("axis", 0)))


def pad(call: Call) -> Result:
    """pad: pairs from the first axis on."""
    flat = [int(width) for width in call.numbers("paddings")]
    return rows.pad(call, call["x"], list(zip(flat[::2], flat[1::2], strict=True)), "constant", call.number("pad_value", 0.0))


def pad3d(call: Call) -> Result:
    """pad3d: pairs from the innermost spatial axis outwards, in the layout's order."""
    edge = call["x"]
    flat = [int(width) for width in call.numbers("paddings")]
    rank = call.rank(edge)
    widths = [(0, 0)] * rank
    inner = rank - 2 if channels_last(call) else rank - 1
    for place in range(len(flat) // 2):
        widths[inner - place] = (flat[2 * place], flat[2 * place + 1])
    mode = {"replicate": "replicate", "reflect": "reflect", "circular": "circular"}.get(str(call.get("mode", "constant")), "constant")
    return rows.pad(call, edge, widths, mode, call.number("pad_value", 0.0))


def expand_to(operand: str) -> Row:
    """expand, expand_as, broadcast_to: the native result's shape decides."""

    def row(call: Call) -> Result:
        return call.expand(call[operand], call.shape)

    return row


def broadcast_tensors(call: Call) -> Result:
    """Every member in the common shape."""
    tensors = call.tensors("input")
    shape = np.broadcast_shapes(*(shape_of(edge) for edge in tensors))
    return [call.expand(edge, shape) for edge in tensors]


def tile(call: Call) -> Result:
    """Whole copies along each axis."""
    return rows.tiled(call, call["x"], call.numbers("repeat_times"))


def meshgrid(call: Call) -> Result:
    """Every tensor expanded along the axes of the others."""
    tensors = call.tensors("inputs")
    shape = tuple(shape_of(edge)[0] if shape_of(edge) else 1 for edge in tensors)
    return [call.expand(reshape(edge, [extent if at == axis else 1 for at, extent in enumerate(shape)]), shape) for axis, edge in enumerate(tensors)]


def detach(call: Call) -> Result:
    """share_data_: no gradient passes where the capture says so (mark "no_grad")."""
    return call.touch(call["x"])


# -- selection


def embedding(call: Call) -> Result:
    """Rows of a table; padding_idx -1 is none."""
    return rows.lookup(call, call["weight"], call["x"], call.number("padding_idx", -1))


def gather(call: Call) -> Result:
    """gather, index_select: rows of an axis. A gather's index has one axis, or one more of one element."""
    edge, index = call["x"], call["index"]
    axis = int(call.number("axis", 0))
    if call.rank(index) == 2 and shape_of(index)[1] == 1:
        index = reshape(index, shape_of(index)[:1])
    return rows.gather(call, edge, index, axis)


def gather_nd(call: Call) -> Result:
    """x[index[..., 0], index[..., 1], ...]; a single known column is a gather."""
    edge, index = call["x"], call["index"]
    depth = shape_of(index)[-1]
    if depth == 1:
        return rows.gather(call, edge, reshape(index, shape_of(index)[:-1]), 0)
    known = call.known(index)
    if known is not None:
        return rows.known_index(call, edge, 0, [known[..., at] for at in range(depth)])
    joined = call.builder.source(index)
    columns = [part for part in joined.inputs if part is not None]
    if joined.op == "Concat" and joined.attrs["axis"] == call.rank(index) - 1 and plain(index) and all(shape_of(part)[-1] == 1 for part in columns):
        return call.draft("Index", [edge, *(moved(part, view_of(part).reshape(shape_of(part)[:-1]), *joined.native) for part in columns)], {"axes": tuple(range(depth))})
    return call.draft("GatherND", [edge, index])


def along_axis(call: Call) -> Result:
    """take_along_axis."""
    return call.draft("GatherElements", [call["arr"], call["indices"]], {"axis": call.number("axis") % call.rank(call["arr"])})


def put_along_axis(call: Call) -> Result:
    """put_along_axis."""
    reduction = {"assign": "none", "add": "add", "mul": "mul", "multiply": "mul"}.get(str(call.get("reduce", "assign")))
    if reduction is None:
        raise Unsupported("a reduction without a common name")
    return call.draft("ScatterElements", [call["arr"], call["indices"], call["values"]], {"axis": call.number("axis") % call.rank(call["arr"]), "reduction": reduction})


def index_put(call: Call) -> Result:
    """x[i, j] = values."""
    indices = call.tensors("indices")
    return call.draft("IndexPut", [call["x"], call["value"], *indices], {"axes": tuple(range(len(indices))), "accumulate": bool(call.get("accumulate", False))})


def index_add(call: Call) -> Result:
    """Rows of an axis added to."""
    axis = call.number("axis", 0) % call.rank(call["x"])
    if axis != 0:
        raise Unsupported("index_add along another axis than the first")
    return call.draft("IndexPut", [call["x"], call["add_value"], call["index"]], {"axes": (axis,), "accumulate": True})


def set_value(call: Call) -> Result:
    """x[a:b:c] = values: nested Concat where steps are one."""
    edge = call["x"]
    axes = [int(axis) % call.rank(edge) for axis in call.numbers("axes")]
    steps = call.numbers("steps")
    if any(int(step) != 1 for step in steps):
        raise Unsupported("a slice with steps is written")
    box = []
    for axis, start, stop in zip(axes, call.numbers("starts"), call.numbers("ends"), strict=True):
        chosen = range(shape_of(edge)[axis])[int(start) : int(stop)]
        box.append((axis, chosen.start, max(chosen.stop, chosen.start)))
    region = list(shape_of(edge))
    for axis, start, stop in box:
        region[axis] = stop - start
    values = call.operand("values")
    if values is None:
        known = np.asarray([getattr(value, "value", value) for value in call.numbers("values")])
        shape = call.numbers("shape") or known.shape
        values = call.constant(known.reshape(shape) if known.size == math.prod(shape) else known.reshape(-1)[:1], call.type().dtype)
    dropped = {int(axis) % call.rank(edge) for axis in call.numbers("decrease_axes")}
    kept = [extent for axis, extent in enumerate(region) if axis not in dropped]
    if call.rank(values) <= len(kept):
        values = expand(values, kept)
    elif math.prod(shape_of(values)) == math.prod(kept):
        values = reshape(values, kept)
    else:
        raise Unsupported("values of more axes than the slice")
    return rows.assign_box(call, edge, box, reshape(values, region))


def assign_value(call: Call) -> Result:
    """Numbers written into a tensor that stands ready."""
    values = [getattr(value, "value", value) for value in call.numbers("values")]
    return call.constant(np.asarray(values).reshape(call.shape), call.type().dtype)


def assign_out(call: Call) -> Result:
    """assign_out_(x, output): the result is x."""
    return call.touch(call["x"])


def argument(op: str) -> Row:
    """argmax, argmin."""

    def row(call: Call) -> Result:
        edge = call["x"]
        axis = int(call.number("axis", -1))
        if call.get("flatten", False):
            edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
        return rows.argument(call, op, edge, axis)

    return row


def cumsum(call: Call) -> Result:
    """Running sum; `flatten` runs over the flat order."""
    edge, axis = call["x"], int(call.number("axis", -1))
    if call.get("flatten", False):
        edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
    return rows.on_axis(call, "CumSum", edge, axis, {"exclusive": bool(call.get("exclusive", False)), "reverse": bool(call.get("reverse", False))})


def top_k(call: Call) -> Result:
    """Largest or smallest values and where they stand."""
    return rows.on_axis(call, "TopK", call["x"], call.number("axis", -1), {"k": int(call.number("k")), "largest": bool(call.get("largest", True))}, 2)


def arg_sort(call: Call) -> Result:
    """Sorted values and where they stood."""
    return rows.on_axis(call, "Sort", call["x"], call.number("axis", -1), {"descending": bool(call.get("descending", False))}, 2)


def trilu(upper: bool) -> Row:
    """tril, triu."""

    def row(call: Call) -> Result:
        return call.draft("Trilu", [call["x"]], {"upper": upper, "diagonal": call.number("diagonal", 0)})

    return row


def einsum(call: Call) -> Result:
    """Two operands without repeated letters are a product of matrices."""
    return [rows.einsum(call, call.get("equation"), call.tensors("x"))]


def one_hot(call: Call) -> Result:
    """one_hot."""
    return call.draft("OneHot", [call["x"]], {"depth": call.shape[-1]})


# -- recurrent


def recurrent(call: Call) -> Result:
    """rnn: weights come as all weights, then all biases; torch's order is by layer and direction."""
    if call.operand("sequence_length") is not None:
        raise Unsupported("sequences of different lengths")
    weights = call.tensors("weight_list")
    states = call.tensors("pre_state")
    mode = str(call.get("mode"))
    layers, both = int(call.number("num_layers", 1)), bool(call.get("is_bidirec", False))
    count = layers * (2 if both else 1)
    if len(weights) != 4 * count:
        raise Unsupported(f"{len(weights)} weights for {count} cells")
    matrices, biases = weights[: 2 * count], weights[2 * count :]
    params = [edge for cell in range(count) for edge in (*matrices[2 * cell : 2 * cell + 2], *biases[2 * cell : 2 * cell + 2])]
    op = {"LSTM": "LSTM", "GRU": "GRU"}.get(mode, "RNN")
    attrs: dict[str, Any] = {
        "hidden_size": int(call.number("hidden_size")),
        "num_layers": layers,
        "bidirectional": both,
        "dropout": 0.0 if call.get("is_test", False) or layers == 1 else float(call.number("dropout_prob", 0.0)),
    }
    if op == "RNN":
        attrs["activation"] = "relu" if "RELU" in mode else "tanh"
    state_types = [TensorType(shape_of(edge), call.type().dtype) for edge in states]
    found = call.results(op, [call["x"], *states, *params], attrs, call.type(), *state_types)
    # Native results: output, dropout state, the final states (a list), workspace.
    results: list[Edge | None] = [found[0], None, None, None]
    outputs = call.record.outputs
    if len(outputs) == 4:
        results[2] = found[1] if len(states) == 1 else None
        call.list_result(2, found[1:])
        return results
    return [found[0], None, *found[1:]]


# -- random


def dropout(call: Call) -> Result:
    """Kept values are scaled in training (upscale_in_train) or all of them in evaluation (downgrade_in_infer)."""
    edge, ratio = call["x"], float(call.number("p", 0.5))
    downscale = str(call.get("mode", "upscale_in_train")) == "downgrade_in_infer"
    if call.get("is_test", False):
        return [call.affine(edge, 1.0 - ratio) if downscale and ratio else call.touch(edge)]
    if ratio == 0:
        return [call.touch(edge)]
    kept = call.draft("Dropout", [edge], {"ratio": ratio, "channelwise": False})
    return [call.affine(kept, 1.0 - ratio) if downscale else kept]


def bernoulli(call: Call) -> Result:
    """Draws with the probabilities of a constant tensor."""
    probability = call.scalar(call["x"])
    if probability is None:
        raise Unsupported("draws with a tensor of probabilities")
    return call.draft("Bernoulli", [], {"p": float(probability)})


def uniform(call: Call) -> Result:
    """uniform(shape, min, max)."""
    return call.draft("RandomUniform", [], {"low": float(call.number("min", 0.0)), "high": float(call.number("max", 1.0))})


def normal(call: Call) -> Result:
    """gaussian(shape, mean, std)."""
    return call.draft("RandomNormal", [], {"mean": float(call.number("mean", 0.0)), "scale": float(call.number("std", 1.0))})


def windows(call: Call, output_size: Sequence[int] | None = None) -> Result:
    """unfold and fold."""
    attrs: dict[str, Any] = {
        "kernel_shape": rows.per_axis(call.numbers("kernel_sizes"), 2),
        "strides": rows.per_axis(call.numbers("strides"), 2),
        # unfold's pads are top, left, bottom, right: ONNX's order already.
        "pads": tuple(int(width) for width in call.numbers("paddings")) if len(call.numbers("paddings")) == 4 else rows.both_sides(call.numbers("paddings"), 2),
        "dilations": rows.per_axis(call.numbers("dilations"), 2),
    }
    if output_size is None:
        return call.draft("Im2Col", [call["x"]], attrs)
    return call.draft("Col2Im", [call["x"]], {"output_size": tuple(output_size), **attrs})


def grid_sample(call: Call) -> Result:
    """grid_sample."""
    return call.draft("GridSample", [call["x"], call["grid"]], {"mode": str(call.get("mode")), "padding_mode": str(call.get("padding_mode")), "align_corners": bool(call.get("align_corners", True))})


def complex_part(op: str) -> Row:
    """real, imag: nothing for a real tensor's real part."""

    def row(call: Call) -> Result:
        return call.draft(op, [call["x"]]) if call.builder.dtype(call["x"]).startswith("complex") else call.touch(call["x"])

    return row


def fourier(call: Call) -> Result:
    """fft_r2c, fft_c2c over axes."""
    axes = tuple(sorted(int(axis) % call.rank(call["x"]) for axis in call.numbers("axes")))
    if call.get("onesided", False):
        raise Unsupported("a one-sided transform")
    return call.draft("DFT", [call["x"]], {"axes": axes, "inverse": not call.get("forward", True), "normalization": str(call.get("normalization", "backward"))})


NOTHING = rows.identity("x")
FLAT = rows.reshaped("x")
AXIS = {"operand": "x", "axes": "axis"}
UNARY = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "erf": "Erf", "exp": "Exp", "expm1": "Expm1", "log": "Log", "log1p": "Log1p", "abs": "Abs", "sign": "Sign",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "floor": "Floor", "ceil": "Ceil", "trunc": "Trunc",
    "round": "Round", "isnan": "IsNaN", "isinf": "IsInf", "softsign": "Softsign", "logsigmoid": "LogSigmoid", "logical_not": "Not", "mish": "Mish",
}  # fmt: skip
COMPARISONS = {
    "equal": "Equal", "not_equal": "NotEqual", "less_than": "Less", "less_equal": "LessOrEqual", "greater_than": "Greater", "greater_equal": "GreaterOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "minimum": "Min", "maximum": "Max", "fmin": "Min", "fmax": "Max", "floor_divide": "FloorDiv", "remainder": "Mod",
}  # fmt: skip

ROWS: Mapping[str, Row] = {
    # nothing happens
    **dict.fromkeys(("assign", "memcpy", "memcpy_d2h", "memcpy_h2d", "share_data", "share_var", "print", "copy_to"), NOTHING),
    "share_data_": detach,
    "assign_out_": assign_out,
    "cast": cast,
    # movement
    **dict.fromkeys(("reshape", "flatten", "squeeze", "unsqueeze", "squeeze2", "unsqueeze2"), FLAT),
    "view_shape": rows.reshaped("input"),
    "transpose": lambda call: call.transpose(call["x"], call.numbers("perm")),
    "expand": expand_to("x"),
    "expand_as": expand_to("x"),
    "broadcast_tensors": broadcast_tensors,
    "tile": tile,
    "repeat_interleave": repeat_interleave,
    "slice": slice_,
    "strided_slice": strided_slice,
    "split": split,
    "split_with_num": split,
    "unbind": unbind,
    "unstack": unbind,
    "flip": flip,
    "roll": roll,
    "pixel_shuffle": shuffle(undo=False),
    "pixel_unshuffle": shuffle(undo=True),
    "channel_shuffle": channel_shuffle,
    "concat": concat,
    "stack": stack,
    "meshgrid": meshgrid,
    "pad": pad,
    "pad3d": pad3d,
    # element-wise, two operands
    "add": rows.combine("x", "y"),
    "subtract": rows.combine("x", "y", -1.0),
    "multiply": rows.multiply("x", "y"),
    "divide": rows.divide("x", "y"),
    "elementwise_pow": rows.power("x", "y"),
    "pow": rows.power("x", "y"),
    "add_n": add_all,
    **{name: rows.paired(op, "x", "y") for name, op in COMPARISONS.items()},
    "bitwise_and": rows.boolean("And", "x y"),
    "bitwise_or": rows.boolean("Or", "x y"),
    "bitwise_xor": rows.boolean("Xor", "x y"),
    "bitwise_not": rows.boolean("Not", "x"),
    "where": where,
    "masked_fill": masked_fill,
    "lerp": lerp,
    # element-wise, one operand
    "scale": scale,
    **{name: rows.unary(op, "x") for name, op in UNARY.items()},
    "clip": clip,
    "relu6": lambda call: rows.clip(call, call["x"], 0.0, 6.0),
    "hardtanh": lambda call: rows.clip(call, call["x"], call.number("t_min"), call.number("t_max")),
    "leaky_relu": rows.unary("LeakyRelu", "x", alpha="negative_slope"),
    "prelu": lambda call: call.draft("PRelu", [call["x"], rows.slope(call, call["alpha"])]),
    "elu": rows.unary("Elu", "x", alpha="alpha"),
    "selu": rows.unary("Selu", "x", alpha="alpha", gamma="scale"),
    "celu": rows.unary("Celu", "x", alpha="alpha"),
    "gelu": lambda call: call.draft("Gelu", [call["x"]], {"approximate": "tanh" if call.get("approximate", False) else "none"}),
    "silu": rows.unary("Swish", "x", alpha=1.0),
    "swish": rows.unary("Swish", "x", alpha=1.0),
    "swiglu": swiglu,
    "hardsigmoid": rows.unary("HardSigmoid", "x", alpha="slope", beta="offset"),
    "hardswish": rows.unary("HardSwish", "x"),
    "softplus": rows.unary("Softplus", "x", beta="beta", threshold="threshold"),
    "sqrt": rows.raised(0.5, "x"),
    "rsqrt": rows.raised(-0.5, "x"),
    "reciprocal": rows.raised(-1.0, "x"),
    "square": rows.raised(2.0, "x"),
    # products
    "matmul": matmul,
    "bmm": matmul,
    "mv": matmul,
    "dot": pair_products,
    "addmm": add_matmul,
    "baddbmm": add_matmul,
    "fused_gemm_epilogue": fused_linear,
    "einsum": einsum,
    "flash_attn": flash_attention,
    "memory_efficient_attention": efficient_attention,
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "conv3d"), convolution()),
    **dict.fromkeys(("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose"), convolution(transposed=True)),
    # normalisation
    **dict.fromkeys(("batch_norm_", "batch_norm", "sync_batch_norm_"), batch_norm),
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    **dict.fromkeys(("rms_norm", "fused_rms_norm_ext"), rms_norm),
    "p_norm": p_norm,
    "frobenius_norm": frobenius_norm,
    "squared_l2_norm": squared_norm,
    # along an axis
    "softmax": rows.along_last("Softmax", "x", "axis"),
    "log_softmax": rows.along_last("LogSoftmax", "x", "axis"),
    "cumsum": cumsum,
    "cumprod": rows.along_last("CumProd", "x", "dim"),
    "argmax": argument("ArgMax"),
    "argmin": argument("ArgMin"),
    "topk": top_k,
    "argsort": arg_sort,
    "mean": rows.reduction("ReduceMean", **AXIS),
    "mean_all": rows.reduction("ReduceMean", **AXIS),
    "sum": rows.reduction("ReduceSum", **AXIS),
    "prod": rows.reduction("ReduceProd", **AXIS),
    **dict.fromkeys(("max", "amax"), rows.reduction("ReduceMax", **AXIS)),
    **dict.fromkeys(("min", "amin"), rows.reduction("ReduceMin", **AXIS)),
    "logsumexp": log_sum_exp,
    "any": rows.reduction("ReduceAny", **AXIS),
    "all": rows.reduction("ReduceAll", **AXIS),
    # pooling and sampling
    "pool2d": pooling(2),
    "pool3d": pooling(3),
    "max_pool2d_with_index": pooling(2, "MaxPool", 2),
    "max_pool3d_with_index": pooling(3, "MaxPool", 2),
    "nearest_interp": interpolation("nearest", 2),
    "linear_interp": interpolation("linear", 1),
    "bilinear_interp": interpolation("linear", 2),
    "trilinear_interp": interpolation("linear", 3),
    "bicubic_interp": interpolation("cubic", 2),
    "grid_sample": grid_sample,
    "unfold": windows,
    "fold": lambda call: windows(call, call.numbers("output_sizes")),
    # selection
    "embedding": embedding,
    "gather": gather,
    "index_select": gather,
    "gather_nd": gather_nd,
    "take_along_axis": along_axis,
    "put_along_axis": put_along_axis,
    "index_put": index_put,
    "index_add": index_add,
    "set_value": set_value,
    "set_value_with_tensor": set_value,
    "assign_value": assign_value,
    "tril": trilu(False),
    "triu": trilu(True),
    "one_hot": one_hot,
    "nonzero": rows.unary("NonZero", "condition"),
    # complex
    "real": complex_part("Real"),
    "imag": complex_part("Imag"),
    **dict.fromkeys(("fft_r2c", "fft_c2c"), fourier),
    # recurrent
    "rnn": recurrent,
    # random
    "dropout": dropout,
    "bernoulli": bernoulli,
    "uniform": uniform,
    "gaussian": normal,
}

RANDOM = frozenset({"bernoulli", "uniform", "gaussian", "randint", "randperm", "multinomial", "truncated_gaussian_random", "uniform_inplace", "gaussian_inplace"})
"""Operators that draw: never constants, whatever they read."""


def filled(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """full, full_like, full_with_tensor, empty: one number."""
    return np.full(kind.shape, float(call.number("value", 0)) if kind.dtype not in ("int64", "int32", "bool") else int(call.number("value", 0)), dtype_of(kind))


def listed(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """full_int_array."""
    value = np.asarray(call.numbers("value"))
    return value.astype(dtype_of(kind)).reshape(kind.shape if math.prod(kind.shape) == value.size else value.shape)


def counted(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """arange: bounds are operands."""
    return np.arange(call.number("start"), call.number("end"), call.number("step")).astype(dtype_of(kind))


def unit(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """eye."""
    return np.eye(*kind.shape, dtype=dtype_of(kind))


def dtype_of(kind: TensorType) -> np.dtype[Any]:
    """numpy's type for a native one."""
    return np.dtype("float32" if kind.dtype == "bfloat16" else kind.dtype)


CONSTANTS: Mapping[str, Any] = {
    **dict.fromkeys(("full", "full_like", "full_with_tensor", "full_batch_size_like", "empty", "empty_like"), filled),
    "full_int_array": listed,
    "arange": counted,
    "eye": unit,
}
"""Operators whose result depends on shapes and attributes only: (call, type) -> value."""
SHAPES = frozenset({"shape64", "shape", "numel"})
"""Operators that answer the shape of their operand, a constant in a captured graph."""
