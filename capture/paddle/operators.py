"""The table of PIR operators: native operator -> normal form, one row an operator.

How a row is written: the key is the operator's name without "pd_op."; an in-place spelling
("relu_") uses the row of its plain one. The value is a function of the `Call` (see
`padiff_graph.capture.normal.call`) that answers the edge of its result, or a list of edges, None
for a result that nobody has a use for:

- most operators are one of the shared rows of `padiff_graph.capture.normal.lowering`, given the
  names that PIR has for operands and attributes: `rows.unary("Relu", "x")`;
- others have a function in `pir_compute`, `pir_movement` or `pir_sampling`, which drafts
  operators of the vocabulary: `call.draft("Swish", [call["x"]], {"alpha": 1.0})`;
- what cannot be said in the vocabulary raises `Unsupported` with the reason.

`call["x"]` is an operand and `call.operand("x")` one that may be absent; `call.get`, `call.number`
and `call.numbers` answer attributes and constant operands alike, for PIR holds many attributes
(axes, shapes, bounds) as operands. Names are those of `paddle/phi/ops/yaml`, 3.3.1. Needs no
Paddle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Row
from padiff_graph.capture.paddle.pir_compute import (
    add_all,
    add_matmul,
    batch_norm,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cast,
    clip,
    convolution,
    efficient_attention,
    flash_attention,
    frobenius_norm,
    fused_linear,
    gelu,
    group_norm,
    hard_tanh,
    instance_norm,
    layer_norm,
    lerp,
    log_sum_exp,
    masked_fill,
    matmul,
    p_norm,
    pair_products,
    prelu,
    relu6,
    rms_norm,
    scale,
    squared_norm,
    swiglu,
    where,
)
from padiff_graph.capture.paddle.pir_movement import (
    along_axis,
    arg_sort,
    argument,
    assign_out,
    assign_value,
    broadcast_tensors,
    channel_shuffle,
    concat,
    cumsum,
    detach,
    einsum,
    embedding,
    expand_to,
    flip,
    gather,
    gather_nd,
    index_add,
    index_put,
    meshgrid,
    one_hot,
    pad,
    pad3d,
    permuted,
    put_along_axis,
    repeat_interleave,
    roll,
    set_value,
    shuffle,
    slice_,
    split,
    stack,
    strided_slice,
    tile,
    top_k,
    trilu,
    unbind,
)
from padiff_graph.capture.paddle.pir_sampling import (
    affine_grid,
    bernoulli,
    complex_part,
    dropout,
    folded,
    fourier,
    grid_sample,
    integers,
    interpolation,
    normal,
    permutation,
    pooling,
    recurrent,
    unfolded,
    uniform,
)

__all__ = ["CONSTANTS", "RANDOM", "ROWS", "SHAPES", "row_of"]

NAMESPACE = "pd_op."


def row_of(op: str) -> Row | None:
    """The row of a native operator, None where the table has none."""
    name = op.removeprefix(NAMESPACE)
    return ROWS.get(name) or (ROWS.get(name[:-1]) if name.endswith("_") else None)


NOTHING = rows.identity("x")
"""Rows of operators that hand on their operand."""
FLAT = rows.reshaped("x")
"""Rows of operators whose result has the same numbers in the same order."""
AXIS = {"operand": "x", "axes": "axis"}
"""What reductions call their operand and their axes."""
UNARY = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
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
    "round": "Round",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "softsign": "Softsign",
    "logsigmoid": "LogSigmoid",
    "logical_not": "Not",
    "mish": "Mish",
}
"""Element-wise operators of one operand, named x, without attributes."""
COMPARISONS = {
    "equal": "Equal",
    "not_equal": "NotEqual",
    "less_than": "Less",
    "less_equal": "LessOrEqual",
    "greater_than": "Greater",
    "greater_equal": "GreaterOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "minimum": "Min",
    "maximum": "Max",
    "fmin": "Min",
    "fmax": "Max",
    "floor_divide": "FloorDiv",
    "remainder": "Mod",
}
"""Element-wise operators of two operands, named x and y, without attributes."""

ROWS: Mapping[str, Row] = {
    # nothing happens
    **dict.fromkeys(
        (
            "assign",
            "memcpy",
            "memcpy_d2h",
            "memcpy_h2d",
            "share_data",
            "share_var",
            "print",
            "copy_to",
        ),
        NOTHING,
    ),
    "share_data_": detach,
    "assign_out_": assign_out,
    "cast": cast,
    # movement
    **dict.fromkeys(("reshape", "flatten", "squeeze", "unsqueeze", "squeeze2", "unsqueeze2"), FLAT),
    "view_shape": rows.reshaped("input"),
    "transpose": permuted,
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
    "relu6": relu6,
    "hardtanh": hard_tanh,
    "leaky_relu": rows.unary("LeakyRelu", "x", alpha="negative_slope"),
    "rrelu": rows.mean_slope("x"),
    "prelu": prelu,
    "bce_loss": binary_cross_entropy,
    "sigmoid_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "elu": rows.unary("Elu", "x", alpha="alpha"),
    "selu": rows.unary("Selu", "x", alpha="alpha", gamma="scale"),
    "celu": rows.unary("Celu", "x", alpha="alpha"),
    "gelu": gelu,
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
    **dict.fromkeys(
        ("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose"),
        convolution(transposed=True),
    ),
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
    "affine_grid": affine_grid,
    "grid_sample": grid_sample,
    "unfold": unfolded,
    "fold": folded,
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
    "randint": integers,
    "randperm": permutation,
}

RANDOM = frozenset(
    {
        "bernoulli",
        "uniform",
        "gaussian",
        "randint",
        "randperm",
        "multinomial",
        "truncated_gaussian_random",
        "uniform_inplace",
        "gaussian_inplace",
    }
)
"""Operators that draw: never constants, whatever they read."""


def filled(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """full, full_like, full_with_tensor, empty: one number."""
    value = call.number("value", 0)
    exact = int(value) if kind.dtype in ("int64", "int32", "bool") else float(value)
    return np.full(kind.shape, exact, dtype_of(kind))


def listed(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """full_int_array."""
    numbers = np.asarray(call.numbers("value")).astype(dtype_of(kind))
    return numbers.reshape(kind.shape) if math.prod(kind.shape) == numbers.size else numbers


def counted(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """arange: bounds are operands."""
    bounds = (call.number(name) for name in ("start", "end", "step"))
    return np.arange(*bounds).astype(dtype_of(kind))


def unit(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """eye."""
    return np.eye(kind.shape[0], kind.shape[1]).astype(dtype_of(kind))


def dtype_of(kind: TensorType) -> np.dtype[Any]:
    """numpy's type for a native one."""
    return np.dtype("float32" if kind.dtype == "bfloat16" else kind.dtype)


CONSTANTS: Mapping[str, Any] = {
    **dict.fromkeys(
        ("full", "full_like", "full_with_tensor", "full_batch_size_like", "empty", "empty_like"),
        filled,
    ),
    "full_int_array": listed,
    "arange": counted,
    "eye": unit,
}
"""Operators whose result depends on shapes and attributes only: (call, type) -> value."""
SHAPES = frozenset({"shape64", "shape", "numel"})
"""Operators that answer the shape of their operand, a constant in a captured graph."""
