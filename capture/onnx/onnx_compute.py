"""Rows for ONNX operators that compute."""

from __future__ import annotations

from typing import Any

from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import broadcast, shape_of

__all__ = [
    "along",
    "argument",
    "attention",
    "batch_norm",
    "cast",
    "clip",
    "convolution",
    "cumsum",
    "dropout",
    "einsum",
    "extreme",
    "gemm",
    "global_pool",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "matmul",
    "mean_of",
    "modulo",
    "negative",
    "pool",
    "prelu",
    "reduction",
    "resize",
    "top_k",
    "total",
    "where",
]


AUTOMATIC = {"SAME_UPPER": "SAME", "VALID": "VALID"}
"""ONNX's auto_pad that other frameworks have, in their word."""


# -- element-wise


def cast(call: Call) -> Result:
    """Cast, CastLike: the native result's type decides."""
    return rows.cast(call, call["input"], call.type().dtype)


def clip(call: Call) -> Result:
    """Bounds that the graph computes stay Min and Max."""
    edge = call["input"]
    bounds = {op: call.operand(role) for op, role in (("Max", "min"), ("Min", "max"))}
    given = {op: bound for op, bound in bounds.items() if bound is not None}
    if all(call.scalar(bound) is not None for bound in given.values()):
        return rows.clip(call, edge, call.number("min"), call.number("max"))
    for op, bound in given.items():
        edge = call.draft(op, [broadcast(edge, call.shape), broadcast(bound, call.shape)])
    return edge


def total(call: Call) -> Result:
    """Sum of any number of operands."""
    return rows.sum_of(call, [(edge, 1.0) for edge in call.tensors("data_0")])


def mean_of(call: Call) -> Result:
    """Mean of any number of operands."""
    edges = call.tensors("data_0")
    return rows.sum_of(call, [(edge, 1.0 / len(edges)) for edge in edges])


def extreme(op: str) -> Row:
    """Min, Max of any number of operands."""

    def row(call: Call) -> Result:
        first, *rest = call.tensors("data_0")
        extreme_yet = broadcast(first, call.shape)
        for edge in rest:
            extreme_yet = call.draft(op, [extreme_yet, broadcast(edge, call.shape)])
        return extreme_yet

    return row


def modulo(call: Call) -> Result:
    """Python's modulo; C's stays opaque."""
    if call.number("fmod", 0):
        raise Unsupported("fmod")
    return rows.paired("Mod", "A", "B")(call)


def negative(call: Call) -> Result:
    """Neg."""
    return call.affine(call["X"], -1.0)


def prelu(call: Call) -> Result:
    """The slope broadcasts from the last axis."""
    return call.draft("PRelu", [call["X"], broadcast(call["slope"], call.shape)])


def where(call: Call) -> Result:
    """Where."""
    return rows.where(call, call["condition"], call["X"], call["Y"])


def dropout(call: Call) -> Result:
    """Nothing outside training, and for ratio 0."""
    edge, ratio = call["data"], call.number("ratio", 0.5)
    if not call.number("training_mode", 0) or not ratio:
        return [call.touch(edge)]
    return [call.draft("Dropout", [edge], {"ratio": float(ratio)})]


# -- products


def gemm(call: Call) -> Result:
    """alpha * A @ B + beta * C, either matrix transposed."""
    a, b, c = call["A"], call["B"], call.operand("C")
    if call.number("transA", 0):
        a = call.swap(a)
    if call.number("transB", 0):
        b = call.swap(b)
    alpha, beta = float(call.number("alpha", 1.0)), float(call.number("beta", 1.0))
    if alpha == 1.0 and beta == 1.0:
        return rows.linear(call, a, b, c)
    terms = [(rows.matmul(call, a, b), alpha)]
    if c is not None:
        terms.append((c, beta))
    return rows.sum_of(call, terms)


def matmul(call: Call) -> Result:
    """numpy.matmul."""
    return rows.matmul(call, call["A"], call["B"])


def convolution(transposed: bool) -> Row:
    """Conv, ConvTranspose."""

    def row(call: Call) -> Result:
        return rows.convolution(
            call,
            call["X"],
            call["W"],
            call.operand("B"),
            strides=call.get("strides") or 1,
            pads=_padding(call, len(shape_of(call["W"])) - 2),
            dilations=call.get("dilations") or 1,
            group=call.number("group", 1),
            transposed=transposed,
        )

    return row


def attention(call: Call) -> Result:
    """Attention (opset 23) over [batch, heads, length, width], without caches or soft caps."""
    cached = call.operand("past_key") is not None or len(call.record.outputs) > 1
    if cached or call.rank(call["Q"]) != 4 or call.number("softcap", 0.0):
        raise Unsupported("this form of Attention")
    return rows.attention(
        call,
        call["Q"],
        call["K"],
        call["V"],
        call.operand("attn_mask"),
        scale=call.number("scale"),
        causal=bool(call.number("is_causal", 0)),
    )


def einsum(call: Call) -> Result:
    """Einsum."""
    return rows.einsum(call, call.get("equation"), call.tensors("Inputs"))


# -- normalisation


def batch_norm(call: Call) -> Result:
    """ONNX's momentum is the weight of the old value."""
    statistics = [call.operand(role) or call.operand(f"input_{role}") for role in ("mean", "var")]
    attrs: dict[str, Any] = {
        "epsilon": call.number("epsilon"),
        "momentum": None,
        "training": bool(call.number("training_mode", 0)),
    }
    if attrs["training"]:
        attrs["momentum"] = 1.0 - call.number("momentum")
    types = [kind for kind in call.record.outputs if kind is not None]
    inputs = [call["X"], call["scale"], call["B"], *statistics]
    return call.results("BatchNormalization", inputs, attrs, *types)


def instance_norm(call: Call) -> Result:
    """InstanceNormalization."""
    return call.draft(
        "InstanceNormalization",
        [call["input"], call["scale"], call["B"]],
        {"epsilon": call.number("epsilon")},
    )


def group_norm(call: Call) -> Result:
    """GroupNormalization with a scale for each channel (opset 21)."""
    if shape_of(call["scale"])[0] != shape_of(call["X"])[1]:
        raise Unsupported("a scale for each group")
    return call.draft(
        "GroupNormalization",
        [call["X"], call["scale"], call["bias"]],
        {"epsilon": call.number("epsilon"), "num_groups": call.number("num_groups")},
    )


def layer_norm(op: str, *operands: str, **attributes: float) -> Row:
    """LayerNormalization, RMSNormalization: the axis counted from the end."""

    def row(call: Call) -> Result:
        if len([kind for kind in call.record.outputs if kind is not None]) > 1:
            raise Unsupported(f"{op} that returns its statistics")
        axis = call.number("axis", -1)
        if axis >= 0:
            axis -= call.rank(call["X"])
        attrs = {"epsilon": call.number("epsilon"), "axis": axis, **attributes}
        return call.draft(op, [call["X"], *(call.operand(role) for role in operands)], attrs)

    return row


# -- pooling and sampling


def pool(kind: str) -> Row:
    """MaxPool, AveragePool."""

    def row(call: Call) -> Result:
        kernel = call.numbers("kernel_shape")
        count = len(kernel)
        return rows.pool(
            call,
            call["X"],
            kind,
            kernel=kernel,
            strides=call.numbers("strides") or (1,) * count,
            pads=_padding(call, count),
            ceil_mode=bool(call.number("ceil_mode", 0)),
            count_include_pad=bool(call.number("count_include_pad", 0)),
            dilations=call.numbers("dilations") or (1,) * count,
            results=len(call.record.outputs),
        )

    return row


def global_pool(op: str) -> Row:
    """GlobalAveragePool, GlobalMaxPool: a reduction over the spatial axes."""

    def row(call: Call) -> Result:
        return rows.spatial(call, call["X"], op, call.rank(call["X"]) - 2)

    return row


def resize(call: Call) -> Result:
    """Resize of the spatial axes; torch and Paddle round nearest down from asymmetric ones."""
    mode = str(call.get("mode", "nearest"))
    coordinates = str(call.get("coordinate_transformation_mode", "half_pixel"))
    if coordinates == "pytorch_half_pixel":
        coordinates = "half_pixel"
    if mode == "nearest" and (coordinates, call.get("nearest_mode")) != ("asymmetric", "floor"):
        raise Unsupported("another rounding of coordinates")
    scales = call.numbers("scales")
    return rows.resize(call, call["X"], mode, coordinates, scales[2:] or None)


def _padding(call: Call, count: int) -> Any:
    """Pads as rows read them: begin and end of each axis in turn; ONNX has all begins first."""
    automatic = call.get("auto_pad") or "NOTSET"
    if automatic in AUTOMATIC:
        return AUTOMATIC[automatic]
    if automatic != "NOTSET":
        raise Unsupported(f"auto_pad {automatic}")
    pads = call.numbers("pads") or (0,) * (2 * count)
    pairs = zip(pads[:count], pads[count:], strict=True)
    return tuple(pad for pair in pairs for pad in pair)


# -- along axes


def reduction(op: str, prepare: float | None = None, finish: float | None = None) -> Row:
    """Reductions; `axes` is an attribute or an operand.

    Args:
        op: the reduction.
        prepare: power before it, as of a sum of squares.
        finish: power behind it, as of a 2-norm.
    """

    def row(call: Call) -> Result:
        edge = call["data"]
        axes = call.numbers("axes")
        if not axes and call.number("noop_with_empty_axes", 0):
            return call.touch(edge)
        if prepare is not None:
            edge = rows.fixed_power(call, edge, prepare)
        reduced = rows.reduce_over(call, op, edge, axes, {})
        if finish is None or not isinstance(reduced, list) or reduced[0] is None:
            return reduced
        return rows.fixed_power(call, reduced[0], finish)

    return row


def along(op: str, operand: str, default: int, **attributes: Any) -> Row:
    """Softmax and LogSoftmax along one axis; before opset 13 they flattened the rest."""

    def row(call: Call) -> Result:
        axis = call.number("axis", default)
        return rows.on_axis(call, op, call[operand], axis, dict(attributes))

    return row


def argument(op: str) -> Row:
    """ArgMax, ArgMin."""

    def row(call: Call) -> Result:
        if call.number("select_last_index", 0):
            raise Unsupported("the last of equal elements")
        return rows.argument(call, op, call["data"], call.number("axis", 0))

    return row


def cumsum(call: Call) -> Result:
    """Running sum."""
    attrs = {name: bool(call.number(name, 0)) for name in ("exclusive", "reverse")}
    return rows.on_axis(call, "CumSum", call["x"], call.number("axis"), attrs)


def top_k(call: Call) -> Result:
    """Largest or smallest values and where they stand."""
    attrs = {"k": call.number("K"), "largest": bool(call.number("largest", 1))}
    return rows.on_axis(call, "TopK", call["X"], call.number("axis", -1), attrs, 2)
