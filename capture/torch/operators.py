"""The table of ATen operators: native operator -> normal form.

Keys are operator names without "aten."; with the overload ("max.dim") where overloads differ in kind.
An in-place spelling ("relu_") uses the row of its plain one. Needs no torch: rows see names, roles, attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Row
from padiff_graph.capture.torch.aten_compute import (
    adaptive,
    add_matmul,
    add_products,
    attention,
    batch_norm,
    bernoulli,
    cast,
    clamp,
    col2im,
    complex_part,
    convolution,
    dropout,
    fourier,
    glu,
    grid_sample,
    group_norm,
    gru_cell,
    im2col,
    instance_norm,
    layer_norm,
    lerp,
    linear,
    lstm_cell,
    masked_fill,
    matmul,
    normal,
    one_hot,
    outer,
    pooling,
    recurrent,
    rms_norm,
    rnn_cell,
    threshold,
    uniform,
    upsample,
    weight_norm,
    where,
)
from padiff_graph.capture.torch.aten_movement import (
    argument,
    channel_shuffle,
    concat,
    copy,
    cumsum,
    detach,
    diff,
    einsum,
    embedding,
    expand_to,
    flip,
    gather_elements,
    index,
    index_put,
    index_select,
    meshgrid,
    move_axes,
    narrow,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    repeat,
    repeat_interleave,
    reversed_axes,
    roll,
    scatter,
    select,
    select_scatter,
    slice_,
    slice_scatter,
    sort,
    split,
    stack,
    top_k,
    transpose_pair,
    trilu,
    unbind,
    variance,
    vector_norm,
)

__all__ = ["CONSTANTS", "RANDOM", "ROWS", "row_of"]

NAMESPACE = "aten."


def row_of(op: str) -> Row | None:
    """The row of a native operator, None where the table has none."""
    if not op.startswith(NAMESPACE):
        return ROWS.get(op)
    packet, _, overload = op.removeprefix(NAMESPACE).partition(".")
    for name in (
        packet,
        packet[:-1] if packet.endswith("_") and not packet.endswith("__") else packet,
    ):
        found = ROWS.get(f"{name}.{overload}") or ROWS.get(name)
        if found is not None:
            return found
    return None


NOTHING = rows.identity("self")
FLAT = rows.reshaped("self")

ROWS: Mapping[str, Row] = {
    # nothing happens
    **dict.fromkeys(
        (
            "contiguous",
            "clone",
            "alias",
            "lift_fresh_copy",
            "lift_fresh",
            "lift",
            "positive",
            "requires_grad",
            "copy_to_host",
            "to.device",
        ),
        NOTHING,
    ),
    **dict.fromkeys(
        ("to", "_to_copy", "type_as", "float", "half", "double", "long", "int", "bool", "bfloat16"),
        cast,
    ),
    "detach": detach,
    "padiff_graph.gradient_hook.default": lambda call: call.draft("Identity", [call["x"]]),
    "_assert_tensor_metadata": lambda call: None,
    "_assert_async": lambda call: None,
    "sym_size": lambda call: None,
    "copy": copy,
    # movement
    **dict.fromkeys(
        (
            "reshape",
            "view",
            "_unsafe_view",
            "flatten",
            "unflatten",
            "reshape_as",
            "view_as",
            "unsqueeze",
            "squeeze",
            "_reshape_alias",
            "ravel",
        ),
        FLAT,
    ),
    **dict.fromkeys(
        ("transpose", "swapaxes", "swapdims", "t", "mT", "numpy_mT", "adjoint"), transpose_pair
    ),
    **dict.fromkeys(
        ("permute", "permute_copy"), lambda call: call.transpose(call["self"], call.numbers("dims"))
    ),
    "numpy_T": reversed_axes,
    **dict.fromkeys(("movedim", "moveaxis"), move_axes),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), expand_to),
    **dict.fromkeys(("repeat", "tile"), repeat),
    "repeat_interleave.self_int": repeat_interleave,
    "slice": slice_,
    "narrow": narrow,
    "select": select,
    **dict.fromkeys(
        (
            "chunk",
            "split",
            "split_with_sizes",
            "tensor_split",
            "unsafe_chunk",
            "unsafe_split",
            "hsplit",
            "vsplit",
        ),
        split,
    ),
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
    "rsub": lambda call: rows.sum_of(
        call,
        [(call["self"], -float(call.number("alpha", 1)))]
        + ([(call["other"], 1.0)] if call.operand("other") else []),
        0.0 if call.operand("other") else call.number("other"),
    ),
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
    "gelu": lambda call: call.draft(
        "Gelu", [call["self"]], {"approximate": call.get("approximate", "none")}
    ),
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
    **{
        name: rows.unary(op)
        for name, op in {
            "erf": "Erf",
            "exp": "Exp",
            "expm1": "Expm1",
            "log": "Log",
            "log1p": "Log1p",
            "abs": "Abs",
            "sign": "Sign",
            "sin": "Sin",
            "cos": "Cos",
            "tan": "Tan",
            "asin": "Asin",
            "acos": "Acos",
            "atan": "Atan",
            "sinh": "Sinh",
            "cosh": "Cosh",
            "floor": "Floor",
            "ceil": "Ceil",
            "trunc": "Trunc",
            "isnan": "IsNaN",
            "isinf": "IsInf",
            "softsign": "Softsign",
        }.items()
    },
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
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), convolution(transposed=True)
    ),
    # normalisation
    **dict.fromkeys(
        ("batch_norm", "_native_batch_norm_legit", "native_batch_norm", "cudnn_batch_norm"),
        batch_norm,
    ),
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
    **dict.fromkeys(
        ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), upsample("linear")
    ),
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
    "gru_cell": gru_cell,
    "rnn_tanh_cell": rnn_cell("Tanh"),
    "rnn_relu_cell": rnn_cell("Relu"),
    "lstm.input": recurrent("LSTM"),
    "gru.input": recurrent("GRU"),
    "rnn_tanh.input": recurrent("RNN", activation="tanh"),
    "rnn_relu.input": recurrent("RNN", activation="relu"),
    # random
    "dropout": dropout(False),
    "feature_dropout": dropout(True),
    "bernoulli": bernoulli,
    "rand": uniform,
    "rand_like": uniform,
    "uniform_": uniform,
    "randn": normal,
    "randn_like": normal,
    "normal_": normal,
}

RANDOM = frozenset(
    {
        "bernoulli",
        "bernoulli_",
        "rand",
        "rand_like",
        "uniform_",
        "randn",
        "randn_like",
        "normal_",
        "randint",
        "randperm",
        "multinomial",
    }
)
"""Operators that draw: never constants, whatever they read."""


def filled(value: float | None) -> Any:
    """A tensor of one number: the given one, or the call's fill_value."""

    def fold(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
        return np.full(
            kind.shape,
            call.number("fill_value", call.number("s", 0)) if value is None else value,
            "float32" if kind.dtype == "bfloat16" else kind.dtype,
        )

    return fold


def counted(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """arange."""
    return np.arange(call.number("start", 0), call.number("end"), call.number("step", 1)).astype(
        kind.dtype
    )


def unit(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """eye."""
    return np.eye(kind.shape[0], kind.shape[1]).astype(kind.dtype)


CONSTANTS: Mapping[str, Any] = {
    **dict.fromkeys(
        ("zeros", "zeros_like", "new_zeros", "empty", "empty_like", "new_empty"), filled(0)
    ),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), filled(1)),
    **dict.fromkeys(("full", "full_like", "new_full", "scalar_tensor"), filled(None)),
    "arange": counted,
    "eye": unit,
}
"""Operators whose result depends on shapes and attributes only: (call, type) -> value."""
