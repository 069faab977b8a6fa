"""The table of ATen operators: native operator -> normal form.

One row an operator: its name without "aten.", further names of the same operator after a space, and
the function that brings a call of it into the normal form. An overload is named ("max.other") where
overloads differ in kind; an in-place spelling ("relu_") uses the row of its plain one. Most rows
need no function of their own: `rows.unary("Erf")`, `rows.paired("Less")`, ... (`normal/lowering`)
say by the schema's argument names which operand and attribute goes where. Rows that do need one
take it from `aten_compute`, `aten_layers`, `aten_losses`, `aten_movement` or `aten_selection`. An
operator that draws at random stands in `RANDOM` too; one whose shape and attributes alone decide
its numbers has its row in `CONSTANTS` instead. Needs no torch: rows see names, roles, attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Row
from padiff_graph.capture.torch import aten_compute as compute
from padiff_graph.capture.torch import aten_layers as layers
from padiff_graph.capture.torch import aten_losses as losses
from padiff_graph.capture.torch import aten_movement as movement
from padiff_graph.capture.torch import aten_selection as selection

__all__ = ["CONSTANTS", "RANDOM", "ROWS", "row_of"]

NAMESPACE = "aten."

Entry = TypeVar("Entry")
Fill = Callable[[Call, TensorType], np.ndarray[Any, Any]]
"""Makes the numbers of a result whose attributes decide them: (call, type) -> value."""


def row_of(op: str) -> Row | None:
    """The row of a native operator, None where the table has none."""
    if not op.startswith(NAMESPACE):
        return ROWS.get(op)
    name, _, overload = op.removeprefix(NAMESPACE).partition(".")
    for spelling in (name, _out_of_place(name)):
        row = ROWS.get(f"{spelling}.{overload}") or ROWS.get(spelling)
        if row is not None:
            return row
    return None


def _out_of_place(name: str) -> str:
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1]
    return name


def _by_name(table: Sequence[tuple[str, Entry]]) -> dict[str, Entry]:
    """A table by single names.

    Raises:
        ValueError: a name that stands in two rows.
    """
    by_name: dict[str, Entry] = {}
    for names, entry in table:
        for name in names.split():
            if name in by_name:
                raise ValueError(f"{name} has two rows")
            by_name[name] = entry
    return by_name


def _for_axes(names: str, make: Callable[[int], Entry]) -> Iterator[tuple[str, Entry]]:
    """One row for each number of spatial axes N: "avg_pool{N}d" for 1, 2 and 3."""
    for count in (1, 2, 3):
        yield names.replace("{N}", str(count)), make(count)


HANDED_ON = [
    ("contiguous clone alias positive requires_grad copy_to_host", rows.identity("self")),
    ("lift lift_fresh lift_fresh_copy to.device", rows.identity("self")),
    ("to _to_copy type_as float half double long int bool bfloat16", compute.cast),
    ("detach", movement.detach),
    ("copy", movement.copy),
    ("fill", movement.fill),
    ("padiff_graph.gradient_hook.default", compute.gradient_hook),
    ("_assert_tensor_metadata _assert_async sym_size", compute.nothing),
]
"""What computes no other numbers."""

MOVEMENT = [
    ("reshape view _unsafe_view _reshape_alias reshape_as view_as", rows.reshaped("self")),
    ("flatten unflatten ravel unsqueeze squeeze", rows.reshaped("self")),
    ("transpose swapaxes swapdims t mT numpy_mT adjoint", movement.transpose_pair),
    ("permute permute_copy", movement.permute),
    ("numpy_T", movement.reversed_axes),
    ("movedim moveaxis", movement.move_axes),
    ("expand expand_as broadcast_to", movement.expand_to),
    ("repeat tile", movement.repeat),
    ("repeat_interleave.self_int", movement.repeat_interleave),
    ("slice", movement.slice_),
    ("narrow", movement.narrow),
    ("select", movement.select),
    ("chunk split split_with_sizes tensor_split hsplit vsplit", movement.split),
    ("unsafe_chunk unsafe_split", movement.split),
    ("unbind", movement.unbind),
    ("flip", movement.flip),
    ("roll", movement.roll),
    ("pixel_shuffle", movement.pixel_shuffle),
    ("pixel_unshuffle", movement.pixel_unshuffle),
    ("channel_shuffle", movement.channel_shuffle),
    ("cat concat concatenate", movement.concat),
    ("stack", movement.stack),
    ("meshgrid", movement.meshgrid),
    ("broadcast_tensors", movement.broadcast_tensors),
    ("pad constant_pad_nd", movement.pad),
]
"""What puts the same numbers elsewhere."""

TWO_OPERANDS = [
    ("add __add__", rows.combine()),
    ("sub subtract __sub__", rows.combine(sign=-1.0)),
    ("rsub", compute.reversed_subtract),
    ("mul multiply __mul__", rows.multiply()),
    ("div divide true_divide", rows.divide()),
    ("pow", rows.power()),
    ("minimum min.other fmin", rows.paired("Min")),
    ("maximum max.other fmax", rows.paired("Max")),
    ("floor_divide", rows.paired("FloorDiv")),
    ("remainder", rows.paired("Mod")),
    ("eq", rows.paired("Equal")),
    ("ne", rows.paired("NotEqual")),
    ("lt less", rows.paired("Less")),
    ("le less_equal", rows.paired("LessOrEqual")),
    ("gt greater", rows.paired("Greater")),
    ("ge greater_equal", rows.paired("GreaterOrEqual")),
    ("logical_and", rows.paired("And")),
    ("logical_or", rows.paired("Or")),
    ("logical_xor", rows.paired("Xor")),
    ("bitwise_and __and__", rows.boolean("And", "self other")),
    ("bitwise_or __or__", rows.boolean("Or", "self other")),
    ("bitwise_xor __xor__", rows.boolean("Xor", "self other")),
    ("where", compute.where),
    ("masked_fill", compute.masked_fill),
    ("addcmul", compute.add_products(1.0, False)),
    ("addcdiv", compute.add_products(1.0, True)),
    ("lerp", compute.lerp),
]
"""Element-wise, several operands."""

ONE_OPERAND = [
    ("abs", rows.unary("Abs")),
    ("acos", rows.unary("Acos")),
    ("asin", rows.unary("Asin")),
    ("atan", rows.unary("Atan")),
    ("bitwise_not", rows.boolean("Not", "self")),
    ("ceil", rows.unary("Ceil")),
    ("celu", rows.unary("Celu", alpha="alpha")),
    ("clamp clip clamp_min clamp_max hardtanh", compute.clamp),
    ("cos", rows.unary("Cos")),
    ("cosh", rows.unary("Cosh")),
    ("elu", rows.unary("Elu", alpha="alpha")),
    ("erf", rows.unary("Erf")),
    ("exp", rows.unary("Exp")),
    ("expm1", rows.unary("Expm1")),
    ("floor", rows.unary("Floor")),
    ("gelu", compute.gelu),
    ("glu", compute.glu),
    ("hardsigmoid", rows.unary("HardSigmoid", alpha=1.0 / 6.0, beta=0.5)),
    ("hardswish", rows.unary("HardSwish")),
    ("isinf", rows.unary("IsInf")),
    ("isnan", rows.unary("IsNaN")),
    ("leaky_relu", rows.unary("LeakyRelu", alpha="negative_slope")),
    ("rrelu", rows.mean_slope()),
    ("log", rows.unary("Log")),
    ("log1p", rows.unary("Log1p")),
    ("log_sigmoid", rows.unary("LogSigmoid")),
    ("logical_not", rows.unary("Not")),
    ("mish", rows.unary("Mish")),
    ("neg negative", compute.negative),
    ("prelu", compute.prelu),
    ("reciprocal", rows.raised(-1.0)),
    ("relu", rows.unary("Relu")),
    ("relu6", compute.relu6),
    ("round", rows.unary("Round")),
    ("rsqrt", rows.raised(-0.5)),
    # the constants of `torch.nn.SELU`'s documentation
    ("selu", rows.unary("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805)),
    ("sigmoid", rows.unary("Sigmoid")),
    ("sign", rows.unary("Sign")),
    ("silu", rows.unary("Swish", alpha=1.0)),
    ("sin", rows.unary("Sin")),
    ("sinh", rows.unary("Sinh")),
    ("softplus", rows.unary("Softplus", beta="beta", threshold="threshold")),
    ("softsign", rows.unary("Softsign")),
    ("sqrt", rows.raised(0.5)),
    ("square", rows.raised(2.0)),
    ("tan", rows.unary("Tan")),
    ("tanh", rows.unary("Tanh")),
    ("threshold", compute.threshold),
    ("trunc", rows.unary("Trunc")),
    # complex
    ("real", compute.complex_part("Real")),
    ("imag", compute.complex_part("Imag")),
    ("fft_fftn", compute.fourier(False)),
    ("fft_ifftn", compute.fourier(True)),
]
"""Element-wise, one operand, by name; complex numbers."""

PRODUCTS = [
    ("linear", compute.linear),
    ("matmul mm bmm mv dot __matmul__", compute.matmul),
    ("vdot", compute.conjugated_product),
    ("addmm", compute.add_matmul("mat1", "mat2")),
    ("baddbmm", compute.add_matmul("batch1", "batch2")),
    ("addmv", compute.add_matmul("mat", "vec")),
    ("outer", compute.outer),
    ("einsum", compute.einsum),
    ("scaled_dot_product_attention", compute.attention),
]

LAYERS = [
    # convolution
    ("conv1d conv2d conv3d convolution _convolution", layers.convolution()),
    ("conv_transpose1d conv_transpose2d conv_transpose3d", layers.convolution(transposed=True)),
    # normalisation
    ("batch_norm native_batch_norm cudnn_batch_norm", layers.batch_norm),
    ("_native_batch_norm_legit", layers.batch_norm),
    ("instance_norm", layers.instance_norm),
    ("group_norm", layers.group_norm),
    ("layer_norm native_layer_norm", layers.layer_norm),
    ("rms_norm", layers.rms_norm),
    ("_weight_norm", layers.weight_norm),
    # pooling and sampling
    *_for_axes("avg_pool{N}d", lambda count: layers.pooling("AveragePool", count)),
    *_for_axes("max_pool{N}d", lambda count: layers.pooling("MaxPool", count)),
    *_for_axes("max_pool{N}d_with_indices", lambda count: layers.pooling("MaxPool", count, 2)),
    *_for_axes("adaptive_avg_pool{N}d", lambda count: layers.adaptive("AveragePool", count)),
    ("_adaptive_avg_pool2d", layers.adaptive("AveragePool", 2)),
    ("_adaptive_avg_pool3d", layers.adaptive("AveragePool", 3)),
    *_for_axes("adaptive_max_pool{N}d", lambda count: layers.adaptive("MaxPool", count, 2)),
    ("upsample_nearest1d upsample_nearest2d upsample_nearest3d", layers.upsample("nearest")),
    *_for_axes("_upsample_nearest_exact{N}d", lambda _: layers.upsample("nearest", exact=True)),
    ("upsample_linear1d upsample_bilinear2d upsample_trilinear3d", layers.upsample("linear")),
    ("upsample_bicubic2d", layers.upsample("cubic")),
    ("affine_grid_generator", layers.affine_grid),
    ("grid_sampler grid_sampler_2d grid_sampler_3d", layers.grid_sample),
    ("im2col", layers.im2col),
    ("col2im", layers.col2im),
    # recurrent
    ("lstm_cell", layers.lstm_cell),
    ("gru_cell", layers.gru_cell),
    ("rnn_tanh_cell", layers.rnn_cell("Tanh")),
    ("rnn_relu_cell", layers.rnn_cell("Relu")),
    ("lstm.input", layers.recurrent("LSTM")),
    ("gru.input", layers.recurrent("GRU")),
    ("rnn_tanh.input", layers.recurrent("RNN", activation="tanh")),
    ("rnn_relu.input", layers.recurrent("RNN", activation="relu")),
]
"""What a neural network's layer is made of."""

ALONG_AXES = [
    ("softmax _softmax", rows.along_last("Softmax")),
    ("log_softmax _log_softmax", rows.along_last("LogSoftmax")),
    ("cumsum", selection.cumsum),
    ("cumprod", rows.along_last("CumProd")),
    ("diff", selection.diff),
    ("argmax", selection.argument("ArgMax")),
    ("argmin", selection.argument("ArgMin")),
    ("topk", selection.top_k),
    ("sort", selection.sort),
    ("argsort", selection.arg_sort),
    ("mean", rows.reduction("ReduceMean")),
    ("sum", rows.reduction("ReduceSum")),
    ("prod", rows.reduction("ReduceProd")),
    ("max amax", rows.reduction("ReduceMax")),
    ("min amin", rows.reduction("ReduceMin")),
    ("logsumexp", rows.reduction("ReduceLogSumExp")),
    ("any", rows.reduction("ReduceAny")),
    ("all", rows.reduction("ReduceAll")),
    ("var", selection.variance),
    ("var_mean", selection.variance_and_mean),
    ("norm linalg_vector_norm", selection.vector_norm),
    ("linalg_norm", selection.norm),
]
"""Along axes: running, ordering, reducing."""

SELECTION = [
    ("embedding", selection.embedding),
    ("index_select", selection.index_select),
    ("index", selection.index),
    ("gather take_along_dim", selection.gather_elements),
    ("scatter", selection.scatter("none")),
    ("scatter_add", selection.scatter("add")),
    ("index_put", selection.index_put),
    ("slice_scatter", selection.slice_scatter),
    ("select_scatter", selection.select_scatter),
    ("tril", selection.trilu(False)),
    ("triu", selection.trilu(True)),
    ("one_hot", selection.one_hot),
    ("nonzero", rows.unary("NonZero")),
]
"""What chooses by index, and writes there."""

LOSSES = [
    ("mse_loss", losses.squared_distance),
    ("l1_loss", losses.absolute_distance),
    ("binary_cross_entropy", losses.binary_cross_entropy),
    ("binary_cross_entropy_with_logits", losses.binary_cross_entropy_with_logits),
]
"""Whole losses."""

DRAWN = [
    ("dropout", compute.dropout(False)),
    ("feature_dropout", compute.dropout(True)),
    ("alpha_dropout", compute.alpha_dropout),
    ("bernoulli", compute.bernoulli),
    ("rand rand_like uniform uniform_", compute.uniform),
    ("randn randn_like normal normal_ normal_functional", compute.normal),
    ("randint randint_like", compute.integers),
    ("randperm", compute.permutation),
]
"""What draws at random."""

ROWS: Mapping[str, Row] = _by_name(
    [
        *HANDED_ON,
        *MOVEMENT,
        *TWO_OPERANDS,
        *ONE_OPERAND,
        *PRODUCTS,
        *LAYERS,
        *ALONG_AXES,
        *SELECTION,
        *LOSSES,
        *DRAWN,
    ]
)

RANDOM = frozenset(
    {
        "bernoulli",
        "bernoulli_",
        "rand",
        "rand_like",
        "uniform",
        "uniform_",
        "randn",
        "randn_like",
        "normal",
        "normal_",
        "normal_functional",
        "randint",
        "randint_like",
        "randperm",
        "multinomial",
    }
)
"""Operators that draw: never constants, whatever they read."""


def _of_number(kind: TensorType, number: float) -> np.ndarray[Any, Any]:
    """A tensor of one number; numpy lacks bfloat16."""
    dtype = "float32" if kind.dtype == "bfloat16" else kind.dtype
    return np.full(kind.shape, number, dtype)


def zeros(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """zeros, and what is empty as zeros."""
    return _of_number(kind, 0)


def ones(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """ones."""
    return _of_number(kind, 1)


def full(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """full, scalar_tensor: the call's own number."""
    return _of_number(kind, call.number("fill_value", call.number("s", 0)))


def arange(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """arange."""
    start, end, step = call.number("start", 0), call.number("end"), call.number("step", 1)
    return np.arange(start, end, step).astype(kind.dtype)


def eye(call: Call, kind: TensorType) -> np.ndarray[Any, Any]:
    """eye."""
    return np.eye(kind.shape[0], kind.shape[1]).astype(kind.dtype)


CONSTANTS: Mapping[str, Fill] = _by_name(
    [
        ("zero zeros zeros_like new_zeros empty empty_like new_empty", zeros),
        ("ones ones_like new_ones", ones),
        ("full full_like new_full scalar_tensor", full),
        ("arange", arange),
        ("eye", eye),
    ]
)
"""Operators whose result depends on shapes and attributes only."""
