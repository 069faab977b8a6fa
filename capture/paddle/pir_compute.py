"""Rows for PIR operators that compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import shape_of
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "_read",
    "add_all",
    "add_matmul",
    "batch_norm",
    "bernoulli",
    "cast",
    "channels_last",
    "clip",
    "complex_part",
    "convolution",
    "dropout",
    "efficient_attention",
    "flash_attention",
    "fourier",
    "frobenius_norm",
    "fused_linear",
    "grid_sample",
    "group_norm",
    "instance_norm",
    "interpolation",
    "layer_norm",
    "lerp",
    "log_sum_exp",
    "masked_fill",
    "matmul",
    "normal",
    "p_norm",
    "pair_products",
    "pooling",
    "recurrent",
    "rms_norm",
    "scale",
    "squared_norm",
    "swiglu",
    "uniform",
    "where",
    "windows",
]


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
        whole = rows.product(
            call, [call["x"] if after else call.affine(call["x"], 1.0, bias), edge]
        )
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
    return rows.reduce_over(
        call,
        "ReduceLogSumExp",
        call["x"],
        [] if call.get("reduce_all") else call.numbers("axis"),
        {},
    )


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
    return rows.sum_of(
        call,
        [(product, float(call.number("alpha", 1))), (call["input"], float(call.number("beta", 1)))],
    )


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
    return call.draft(
        {"relu": "Relu", "gelu": "Gelu"}[activation],
        [whole],
        {"approximate": "tanh"} if activation == "gelu" else {},
    )


def flash_attention(call: Call) -> Result:
    """flash_attn: operands are [batch, length, heads, width]."""
    query, key, value = (call.swap(call[role], 1, 2) for role in ("q", "k", "v"))
    dropout = 0.0 if call.get("is_test", False) else float(call.number("dropout", 0.0))
    result = rows.attention(
        call,
        query,
        key,
        value,
        call.operand("attn_mask"),
        scale=None,
        causal=bool(call.get("causal", False)),
        dropout=dropout,
    )
    return [call.swap(result, 1, 2)]


def efficient_attention(call: Call) -> Result:
    """memory_efficient_attention: operands are [batch, length, heads, width]."""
    query, key, value = (call.swap(call[role], 1, 2) for role in ("query", "key", "value"))
    factor = call.number("scale", -1.0)
    dropout = 0.0 if call.get("is_test", False) else float(call.number("dropout_p", 0.0))
    result = rows.attention(
        call,
        query,
        key,
        value,
        call.operand("bias"),
        scale=factor if factor > 0 else None,
        causal=bool(call.get("causal", False)),
        dropout=dropout,
    )
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
    both = call.draft(
        "Mul", [call["x"], call["y"]], None, call.typed(call["x"], shape_of(call["x"]))
    )
    return rows.reduce_over(call, "ReduceSum", both, [-1], {})


# -- normalisation


def batch_norm(call: Call) -> Result:
    """Operands as ONNX has them; momentum as torch's; in training the new statistics are further results."""
    last = channels_last(call)
    training = not (
        call.get("is_test", False) and not call.get("trainable_statistics", False)
    ) and not call.get("use_global_stats", False)
    x = rows.channels_first(call, call["x"], last)
    inputs = [
        x,
        call.operand("scale"),
        call.operand("bias"),
        call.operand("mean"),
        call.operand("variance"),
    ]
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
    result = call.draft(
        "GroupNormalization",
        [x, call.operand("scale"), call.operand("bias")],
        {"epsilon": call.number("epsilon"), "num_groups": call.number("groups")},
        TensorType(shape_of(x), call.type().dtype),
    )
    return [rows.channels_back(call, result, last)]


def instance_norm(call: Call) -> Result:
    """Statistics of each sample and channel."""
    return [
        call.draft(
            "InstanceNormalization",
            [call["x"], call.operand("scale"), call.operand("bias")],
            {"epsilon": call.number("epsilon")},
        )
    ]


def layer_norm(call: Call) -> Result:
    """Statistics over the axes from begin_norm_axis on."""
    x = call["x"]
    axis = call.number("begin_norm_axis", 1) - call.rank(x)
    return [
        call.draft(
            "LayerNormalization",
            [x, call.operand("scale"), call.operand("bias")],
            {"epsilon": call.number("epsilon"), "axis": axis, "correction": 0.0},
        )
    ]


def rms_norm(call: Call) -> Result:
    """Root mean square over the last axes."""
    count = len(call.numbers("normalized_shape")) or 1
    return [
        call.draft(
            "RMSNormalization",
            [call["x"], call.operand("scale")],
            {"epsilon": call.number("epsilon"), "axis": -count},
        )
    ]


def p_norm(call: Call) -> Result:
    """The 2-norm is the root of a sum of squares; others keep their order."""
    edge, order = call["x"], call.number("porder", 2.0)
    axes = [] if call.get("asvector", False) else [call.number("axis", -1)]
    if order == 2:
        return rows.root_of_squares(call, edge, axes)
    return rows.reduce_over(call, "ReduceLp", edge, axes, {"p": float(order)})


def frobenius_norm(call: Call) -> Result:
    """The root of a sum of squares."""
    return rows.root_of_squares(
        call, call["x"], [] if call.get("reduce_all", False) else call.numbers("axis")
    )


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
            return rows.adaptive_pool(
                call, x, op, (1,) * count, channels_last=last, results=several
            )
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
    return any(
        data["output"] == output
        for _, _, data in call.builder.graph.out_edges(call.record.id, data=True)
    )


def interpolation(mode: str, count: int) -> Row:
    """nearest_interp, bilinear_interp, ...: align_mode 1 is the asymmetric convention."""

    def row(call: Call) -> Result:
        if call.get("align_corners", False):
            coordinates = "align_corners"
        elif mode == "nearest":
            coordinates = "asymmetric"
        else:
            coordinates = (
                "half_pixel"
                if mode == "cubic" or call.number("align_mode", 1) == 0
                else "asymmetric"
            )
        explicit = (
            any(int(call.number(name, 0) or 0) > 0 for name in ("out_d", "out_h", "out_w"))
            or call.operand("out_size") is not None
            or call.members("size_tensor")
        )
        scales = () if explicit else call.numbers("scale")
        return rows.resize(
            call,
            call["x"],
            mode,
            coordinates,
            [float(factor) for factor in scales],
            channels_last=channels_last(call),
        )

    return row


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
    params = [
        edge
        for cell in range(count)
        for edge in (*matrices[2 * cell : 2 * cell + 2], *biases[2 * cell : 2 * cell + 2])
    ]
    op = {"LSTM": "LSTM", "GRU": "GRU"}.get(mode, "RNN")
    attrs: dict[str, Any] = {
        "hidden_size": int(call.number("hidden_size")),
        "num_layers": layers,
        "bidirectional": both,
        "dropout": 0.0
        if call.get("is_test", False) or layers == 1
        else float(call.number("dropout_prob", 0.0)),
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
    return call.draft(
        "RandomUniform",
        [],
        {"low": float(call.number("min", 0.0)), "high": float(call.number("max", 1.0))},
    )


def normal(call: Call) -> Result:
    """gaussian(shape, mean, std)."""
    return call.draft(
        "RandomNormal",
        [],
        {"mean": float(call.number("mean", 0.0)), "scale": float(call.number("std", 1.0))},
    )


def windows(call: Call, output_size: Sequence[int] | None = None) -> Result:
    """unfold and fold."""
    attrs: dict[str, Any] = {
        "kernel_shape": rows.per_axis(call.numbers("kernel_sizes"), 2),
        "strides": rows.per_axis(call.numbers("strides"), 2),
        # unfold's pads are top, left, bottom, right: ONNX's order already.
        "pads": tuple(int(width) for width in call.numbers("paddings"))
        if len(call.numbers("paddings")) == 4
        else rows.both_sides(call.numbers("paddings"), 2),
        "dilations": rows.per_axis(call.numbers("dilations"), 2),
    }
    if output_size is None:
        return rows.patches(call, call["x"], attrs)
    return rows.image(call, call["x"], {"output_size": tuple(output_size), **attrs})


def grid_sample(call: Call) -> Result:
    """grid_sample."""
    return call.draft(
        "GridSample",
        [call["x"], call["grid"]],
        {
            "mode": str(call.get("mode")),
            "padding_mode": str(call.get("padding_mode")),
            "align_corners": bool(call.get("align_corners", True)),
        },
    )


def complex_part(op: str) -> Row:
    """real, imag: nothing for a real tensor's real part."""

    def row(call: Call) -> Result:
        return (
            call.draft(op, [call["x"]])
            if call.builder.dtype(call["x"]).startswith("complex")
            else call.touch(call["x"])
        )

    return row


def fourier(call: Call) -> Result:
    """fft_r2c, fft_c2c over axes."""
    axes = tuple(sorted(int(axis) % call.rank(call["x"]) for axis in call.numbers("axes")))
    if call.get("onesided", False):
        raise Unsupported("a one-sided transform")
    return call.draft(
        "DFT",
        [call["x"]],
        {
            "axes": axes,
            "inverse": not call.get("forward", True),
            "normalization": str(call.get("normalization", "backward")),
        },
    )
