"""Rows for PIR operators that compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import broadcast, shape_of
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "add_all",
    "add_matmul",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cast",
    "channels_last",
    "clip",
    "convolution",
    "efficient_attention",
    "flash_attention",
    "frobenius_norm",
    "fused_linear",
    "gelu",
    "group_norm",
    "hard_tanh",
    "instance_norm",
    "layer_norm",
    "lerp",
    "log_sum_exp",
    "masked_fill",
    "matmul",
    "p_norm",
    "paddings",
    "pair_products",
    "prelu",
    "relu6",
    "rms_norm",
    "scale",
    "squared_norm",
    "swiglu",
    "where",
]


def channels_last(call: Call) -> bool:
    """Whether the operator's layout puts channels last."""
    return str(call.get("data_format", "NCHW")) in ("NHWC", "NDHWC", "NLC", "NWC")


def paddings(call: Call) -> str | tuple[Any, ...]:
    """Paddings in numbers, or the name of the algorithm that finds them."""
    algorithm = str(call.get("padding_algorithm", "EXPLICIT"))
    return algorithm if algorithm in ("SAME", "VALID") else call.numbers("paddings")


# -- element-wise


def scale(call: Call) -> Result:
    """x * scale + bias, or (x + bias) * scale; the scale may be computed."""
    edge = call.operand("scale")
    bias = float(call.number("bias", 0.0))
    after = bool(call.number("bias_after_scale", True))
    factor = float(call.number("scale", 1.0)) if edge is None else call.scalar(edge)
    if factor is not None:
        return call.affine(call["x"], factor, bias if after else bias * factor)
    assert edge is not None
    if after:
        return call.affine(rows.product(call, [call["x"], edge]), 1.0, bias)
    return rows.product(call, [call.affine(call["x"], 1.0, bias), edge])


def clip(call: Call) -> Result:
    """Bounds are constant operands."""
    return rows.clip(call, call["x"], call.number("min"), call.number("max"))


def relu6(call: Call) -> Result:
    """Between 0 and 6."""
    return rows.clip(call, call["x"], 0.0, 6.0)


def hard_tanh(call: Call) -> Result:
    """Bounds are attributes."""
    return rows.clip(call, call["x"], call.number("t_min"), call.number("t_max"))


def prelu(call: Call) -> Result:
    """One slope, or one for each channel."""
    return call.draft("PRelu", [call["x"], rows.slope(call, call["alpha"])])


def binary_cross_entropy(call: Call) -> Result:
    """bce_loss, element by element."""
    return call.draft("BinaryCrossEntropy", [call["input"], call["label"]])


def binary_cross_entropy_with_logits(call: Call) -> Result:
    """sigmoid_cross_entropy_with_logits; the weight of positives is an operand."""
    if call.get("normalize", False):
        raise Unsupported("a binary cross entropy that is divided by its own count")
    operands = [call["x"], call["label"]]
    positive = call.operand("pos_weight")
    if positive is not None:
        operands.append(broadcast(positive, call.shape))
    return call.draft("BinaryCrossEntropyWithLogits", operands)


def gelu(call: Call) -> Result:
    """`approximate` is a bool."""
    approximate = "tanh" if call.get("approximate", False) else "none"
    return call.draft("Gelu", [call["x"]], {"approximate": approximate})


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
    axes = () if call.get("reduce_all") else call.numbers("axis")
    return rows.reduce_over(call, "ReduceLogSumExp", call["x"], axes, {})


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
    activation = str(call.get("activation", "none"))
    if activation == "none":
        return whole
    op, attrs = EPILOGUES[activation]
    return call.draft(op, [whole], dict(attrs))


EPILOGUES: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "gelu": ("Gelu", {"approximate": "tanh"}),
}
"""Activation of a fused linear -> the normal form's operator and attributes."""


def flash_attention(call: Call) -> Result:
    """flash_attn: operands are [batch, length, heads, width]."""
    operands = [call[role] for role in ("q", "k", "v")]
    return _attention(call, operands, call.operand("attn_mask"), None, "dropout")


def efficient_attention(call: Call) -> Result:
    """memory_efficient_attention: operands are [batch, length, heads, width]."""
    operands = [call[role] for role in ("query", "key", "value")]
    factor = call.number("scale", -1.0)
    scaling = factor if factor > 0 else None
    return _attention(call, operands, call.operand("bias"), scaling, "dropout_p")


def _attention(
    call: Call, operands: Sequence[Edge], mask: Edge | None, scaling: float | None, rate: str
) -> Result:
    query, key, value = (call.swap(operand, 1, 2) for operand in operands)
    result = rows.attention(
        call,
        query,
        key,
        value,
        mask,
        scale=scaling,
        causal=bool(call.get("causal", False)),
        dropout=0.0 if call.get("is_test", False) else float(call.number(rate, 0.0)),
    )
    return [call.swap(result, 1, 2)]


def convolution(transposed: bool = False) -> Row:
    """conv2d, depthwise_conv2d, conv3d and their transposes; paddings are 2 or 4 (3 or 6)
    numbers. Where they are SAME the kernels take every dilation for 1."""

    def row(call: Call) -> Result:
        pads = paddings(call)
        dilations = (1,) if pads == "SAME" else call.numbers("dilations", (1,))
        return rows.convolution(
            call,
            call.operand("input") or call["x"],
            call["filter"],
            None,
            strides=call.numbers("strides"),
            pads=pads,
            dilations=dilations,
            group=call.number("groups", 1),
            transposed=transposed,
            channels_last=channels_last(call),
        )

    return row


def pair_products(call: Call) -> Result:
    """dot: products summed over the last axis; of two vectors a matrix product."""
    if call.rank(call["x"]) == 1:
        return rows.matmul(call, call["x"], call["y"])
    kind = call.typed(call["x"], shape_of(call["x"]))
    both = call.draft("Mul", [call["x"], call["y"]], None, kind)
    return rows.reduce_over(call, "ReduceSum", both, [-1], {})


# -- normalisation


def batch_norm(call: Call) -> Result:
    """Operands as ONNX has them; momentum as torch's; in training the new statistics are further
    results."""
    last = channels_last(call)
    training = _uses_batch_statistics(call)
    x = rows.channels_first(call, call["x"], last)
    mean, variance = call.operand("mean"), call.operand("variance")
    attrs: dict[str, Any] = {
        "epsilon": call.number("epsilon"),
        "momentum": round(1.0 - call.number("momentum", 0.9), MOMENTUM_DIGITS)
        if training
        else None,
        "training": training,
    }
    types = [TensorType(shape_of(x), call.type().dtype)]
    if training and mean is not None:
        types += [TensorType(shape_of(mean), call.builder.dtype(mean))] * 2
    inputs = [x, call.operand("scale"), call.operand("bias"), mean, variance]
    drafts = call.results("BatchNormalization", inputs, attrs, *types)
    output = rows.channels_back(call, drafts[0], last)
    if len(drafts) > 1:
        return [output, *drafts[1:]]
    return [output, mean, variance]  # in evaluation they come out as they went in


MOMENTUM_DIGITS = 7
"""Digits of `1 - momentum`; chosen so that 1 - 0.9 is 0.1, as torch's module holds it."""


def _uses_batch_statistics(call: Call) -> bool:
    frozen, learned = call.get("use_global_stats", False), call.get("trainable_statistics", False)
    evaluating = call.get("is_test", False)
    return not frozen and bool(learned or not evaluating)


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
    axes = () if call.get("reduce_all", False) else call.numbers("axis")
    return rows.root_of_squares(call, call["x"], axes)


def squared_norm(call: Call) -> Result:
    """The sum of squares."""
    square = rows.fixed_power(call, call["x"], 2.0)
    return rows.reduce_over(call, "ReduceSum", square, [], {})
