"""Rows for ATen operators that compute: element by element, products, draws."""

from __future__ import annotations

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import broadcast, reshape, shape_of

__all__ = [
    "add_matmul",
    "add_products",
    "alpha_dropout",
    "attention",
    "bernoulli",
    "cast",
    "clamp",
    "complex_part",
    "conjugated_product",
    "dropout",
    "einsum",
    "fourier",
    "gelu",
    "glu",
    "gradient_hook",
    "integers",
    "lerp",
    "linear",
    "masked_fill",
    "matmul",
    "negative",
    "normal",
    "nothing",
    "outer",
    "permutation",
    "prelu",
    "relu6",
    "reversed_subtract",
    "threshold",
    "uniform",
    "where",
]


# -- handed on


def nothing(call: Call) -> Result:
    """Checks of the tracer's: they compute no tensor."""
    return None


def gradient_hook(call: Call) -> Result:
    """A hook of the user's, which only the backward sees."""
    return call.draft("Identity", [call["x"]])


def cast(call: Call) -> Result:
    """to, _to_copy, type_as, float, half: the native result's type decides."""
    return rows.cast(call, call["self"], call.type().dtype)


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


def relu6(call: Call) -> Result:
    """Between 0 and 6."""
    return rows.clip(call, call["self"], 0.0, 6.0)


def threshold(call: Call) -> Result:
    """threshold(x, 0, 0) is relu."""
    if call.number("threshold") == 0 and call.number("value") == 0:
        return call.draft("Relu", [call["self"]])
    raise Unsupported("a threshold that is not relu")


def gelu(call: Call) -> Result:
    """By erf, or by its tanh approximation."""
    return call.draft("Gelu", [call["self"]], {"approximate": call.get("approximate", "none")})


def prelu(call: Call) -> Result:
    """One slope, or one a channel."""
    return call.draft("PRelu", [call["self"], rows.slope(call, call["weight"])])


def negative(call: Call) -> Result:
    """neg."""
    return call.affine(call["self"], -1.0)


def reversed_subtract(call: Call) -> Result:
    """rsub(self, other) = other - alpha * self; `other` may be a number."""
    taken = (call["self"], -float(call.number("alpha", 1)))
    other = call.operand("other")
    if other is None:
        return rows.sum_of(call, [taken], call.number("other"))
    return rows.sum_of(call, [taken, (other, 1.0)], 0.0)


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
    weight = call.number("weight")
    if call.operand("weight") is not None:
        weight = call.scalar(call["weight"])
    if weight is None:
        raise Unsupported("lerp by a tensor")
    return rows.sum_of(call, [(call["self"], 1.0 - weight), (call["end"], weight)])


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


def conjugated_product(call: Call) -> Result:
    """vdot; of real vectors, where there is nothing to conjugate."""
    if call.builder.dtype(call["self"]).startswith("complex"):
        raise Unsupported("vdot of complex numbers conjugates its first operand")
    return matmul(call)


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


def einsum(call: Call) -> Result:
    """Two operands without repeated letters are a product of matrices."""
    return rows.einsum(call, call.get("equation"), call.tensors("tensors"))


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


# -- complex numbers


def complex_part(op: str) -> Row:
    """real, imag: nothing for a real tensor's real part."""

    def row(call: Call) -> Result:
        if call.builder.dtype(call["self"]).startswith("complex"):
            return call.draft(op, [call["self"]])
        return call.touch(call["self"])

    return row


def fourier(inverse: bool) -> Row:
    """fft_fftn, fft_ifftn over axes; over all of them where none is named."""

    def row(call: Call) -> Result:
        if call.numbers("s"):
            raise Unsupported("a transform that pads")
        rank = call.rank(call["self"])
        axes = sorted(int(axis) % rank for axis in call.numbers("dim")) or range(rank)
        attrs = {
            "axes": tuple(axes),
            "inverse": inverse,
            "normalization": call.get("norm") or "backward",
        }
        return call.draft("DFT", [call["self"]], attrs)

    return row


# -- random


def dropout(channelwise: bool) -> Row:
    """Nothing in evaluation and for ratio 0; of channels a coin for each, as Paddle writes it."""

    def row(call: Call) -> Result:
        edge = call.operand("input") or call["self"]
        ratio = float(call.number("p", 0.5))
        if not call.number("train", call.number("training", True)) or ratio == 0:
            return call.touch(edge)
        if not channelwise or ratio == 1:
            return call.draft("Dropout", [edge], {"ratio": ratio})
        shape = shape_of(edge)
        channels = TensorType((*shape[:2], *[1] * len(shape[2:])), call.type().dtype)
        coin = call.draft("Bernoulli", [], {"p": 1.0 - ratio}, channels)
        kept = call.draft("Mul", [edge, broadcast(coin, shape)])
        return call.affine(kept, 1.0 / (1.0 - ratio))

    return row


ALPHA = -1.7580993408473766
"""What a self-normalising network's units saturate at: torch's and Paddle's constant."""


def alpha_dropout(call: Call) -> Result:
    """a * (kept x, ALPHA where dropped) + b, with a and b that keep mean and deviation."""
    edge, ratio = call["input"], float(call.number("p", 0.5))
    if not call.number("train", True) or ratio == 0:
        return call.touch(edge)
    if ratio == 1:
        raise Unsupported("an alpha dropout that keeps nothing")
    coin = call.draft("Bernoulli", [], {"p": 1.0 - ratio})
    kept = call.draft("Mul", [edge, coin])
    filled = call.draft("Add", [kept, call.affine(coin, -ALPHA)])
    scale = ((ALPHA**2 * ratio + 1) * (1 - ratio)) ** -0.5
    return call.affine(filled, scale, scale * ALPHA * (1 - ratio))


def bernoulli(call: Call) -> Result:
    """bernoulli with a number, or with a constant tensor of probabilities."""
    probability = call.number("p")
    if probability is None:
        probability = call.scalar(call["self"])
    if probability is None:
        raise Unsupported("draws with a tensor of probabilities")
    return call.draft("Bernoulli", [], {"p": float(probability)})


def uniform(call: Call) -> Result:
    """rand, uniform_: the range is a factor and a shift."""
    low, high = float(call.number("from", 0.0)), float(call.number("to", 1.0))
    return call.affine(call.draft("RandomUniform", []), high - low, low)


def normal(call: Call) -> Result:
    """randn, normal_, normal of two numbers: these are a factor and a shift."""
    if any(call.operand(role) is not None for role in ("mean", "std")):
        raise Unsupported("draws with tensors of means or deviations")
    mean, deviation = call.number("mean", 0.0), call.number("std", 1.0)
    drawn = call.draft("RandomNormal", [])
    return call.affine(drawn, float(deviation), float(mean))


def integers(call: Call) -> Result:
    """randint, randint_like."""
    bounds = {"low": int(call.number("low", 0)), "high": int(call.number("high"))}
    return call.draft("RandomInteger", [], bounds)


def permutation(call: Call) -> Result:
    """randperm."""
    return call.draft("RandomPermutation", [], {"n": int(call.number("n"))})
