"""The vocabulary of the normal form: its operators, their operands in order, their attributes.

Names and operand order are ONNX's where ONNX has the operator. Attributes are a schema of our own: what
ONNX passes as constant inputs (axes, pads, bounds) is an attribute here, and both frameworks' tables fill
in every attribute, defaults too, so that two nodes of one operator always carry the same keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["INFORMATIVE", "SCHEMA", "Operator", "attributes_equal", "differing_attributes"]


class Operator(NamedTuple):
    """Operand names in order ("*" ends a list of any length) and attribute names."""

    operands: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    about: str = ""
    trailing: bool = False
    """Whether it works along trailing axes that the operand's view puts there."""


def _unary(*attributes: str, about: str = "") -> Operator:
    return Operator(("X",), attributes, about)


def _pool(*attributes: str) -> Operator:
    return _unary(
        "kernel_shape",
        "strides",
        "pads",
        "ceil_mode",
        *attributes,
        about="pads: all beginnings, then all ends",
    )


def _along(*attributes: str) -> Operator:
    return Operator(
        ("X",),
        ("axis", *attributes),
        "runs along the last axis: the operand's view puts it there; `axis` tells the native one",
        True,
    )


def _reduce(*attributes: str, about: str = "") -> Operator:
    return Operator(
        ("X",),
        ("axes", *attributes),
        "reads [..., n], yields [...]: the operand's view puts the reduced axes last; `axes` tells the native ones"
        + about,
        True,
    )


SCHEMA: Mapping[str, Operator] = {
    # leaves
    "Input": Operator(()),
    "Parameter": Operator((), (), "a parameter or buffer, by name"),
    "Constant": Operator((), (), "known when the model was captured; compare by value"),
    # products
    "Linear": Operator(
        ("X", "W", "B"), (), "X @ W + B; W depends on parameters only, its view is [in, out]"
    ),
    "MatMul": Operator(("A", "B")),
    "Conv": Operator(
        ("X", "W", "B"), ("strides", "pads", "dilations", "group"), "W is [out, in / group, ...]"
    ),
    "ConvTranspose": Operator(
        ("X", "W", "B"),
        ("strides", "pads", "dilations", "group", "output_padding"),
        "W is [in, out / group, ...]",
    ),
    "Einsum": Operator(("*",), ("equation",)),
    # element-wise, of any number of operands and commutative
    "Add": Operator(("*",), (), "x - y is x + -1 * y"),
    "Mul": Operator(("*",), (), "x / y is x * Pow(y, -1)"),
    # element-wise
    "Pow": _unary(
        "exponent",
        about="constant exponent: sqrt 0.5, rsqrt -0.5, reciprocal -1, square 2; None: the second operand",
    ),
    "Relu": _unary(),
    "LeakyRelu": _unary("alpha"),
    "PRelu": Operator(("X", "slope")),
    "Elu": _unary("alpha"),
    "Selu": _unary("alpha", "gamma"),
    "Celu": _unary("alpha"),
    "Gelu": _unary("approximate"),
    "Swish": _unary("alpha", about="x * sigmoid(alpha * x); SiLU has alpha 1"),
    "Mish": _unary(),
    "Sigmoid": _unary(),
    "LogSigmoid": _unary(),
    "Softplus": _unary("beta", "threshold"),
    "Softsign": _unary(),
    "Tanh": _unary(),
    "Clip": _unary("min", "max", about="also relu6 and hardtanh"),
    "HardSigmoid": _unary(
        "alpha", "beta", about="clip(alpha * x + beta, 0, 1); relu6(x + 3) is 6 of it"
    ),
    "HardSwish": _unary(about="x * HardSigmoid(x) with slope 1/6"),
    "Erf": _unary(),
    "Exp": _unary(),
    "Expm1": _unary(),
    "Log": _unary(),
    "Log1p": _unary(),
    "Abs": _unary(),
    "Sign": _unary(),
    "Sin": _unary(),
    "Cos": _unary(),
    "Tan": _unary(),
    "Asin": _unary(),
    "Acos": _unary(),
    "Atan": _unary(),
    "Sinh": _unary(),
    "Cosh": _unary(),
    "Floor": _unary(),
    "Ceil": _unary(),
    "Round": _unary(),
    "Trunc": _unary(),
    "IsNaN": _unary(),
    "IsInf": _unary(),
    "Not": _unary(),
    "Cast": _unary(
        "to", about="only where values can change: to a smaller float, to integers, to bool"
    ),
    "Detach": _unary(about="no gradient passes; only where one otherwise would"),
    "Identity": _unary(about="a copy that carries marks, such as a gradient hook"),
    "Min": Operator(("A", "B")),
    "Max": Operator(("A", "B")),
    "Equal": Operator(("A", "B")),
    "NotEqual": Operator(("A", "B")),
    "Less": Operator(("A", "B")),
    "LessOrEqual": Operator(("A", "B")),
    "Greater": Operator(("A", "B")),
    "GreaterOrEqual": Operator(("A", "B")),
    "And": Operator(("A", "B")),
    "Or": Operator(("A", "B")),
    "Xor": Operator(("A", "B")),
    "FloorDiv": Operator(("A", "B")),
    "Mod": Operator(("A", "B")),
    "Where": Operator(("condition", "X", "Y")),
    # normalisation
    "BatchNormalization": Operator(
        ("X", "scale", "B", "mean", "var"),
        ("epsilon", "momentum", "training"),
        "momentum as torch's (weight of the new value); None outside training",
    ),
    "InstanceNormalization": Operator(("X", "scale", "B"), ("epsilon",)),
    "GroupNormalization": Operator(("X", "scale", "B"), ("epsilon", "num_groups")),
    "LayerNormalization": Operator(
        ("X", "scale", "B"),
        ("epsilon", "axis", "correction"),
        "axis counts from the end: -1 normalises the last axis; correction: 1 where the variance is the unbiased one",
    ),
    "RMSNormalization": Operator(("X", "scale"), ("epsilon", "axis")),
    "LpNormalization": _unary("axis", "p", "epsilon"),
    "LRN": _unary("alpha", "beta", "bias", "size"),
    # along an axis
    "Softmax": Operator(
        ("X", "mask", "mask"),
        ("axis",),
        "runs along the last axis; masks that no gradient passes stand as further operands: added, or boolean",
        True,
    ),
    "LogSoftmax": _along(),
    "CumSum": _along("exclusive", "reverse"),
    "CumProd": _along(),
    "ArgMax": _along(),
    "ArgMin": _along(),
    "TopK": _along("k", "largest"),
    "Sort": _along("descending"),
    "ReduceMean": _reduce(),
    "ReduceSum": _reduce(),
    "ReduceMax": _reduce(about="; second result the indices, where asked for"),
    "ReduceMin": _reduce(about="; second result the indices, where asked for"),
    "ReduceProd": _reduce(),
    "ReduceLogSumExp": _reduce(),
    "ReduceAny": _reduce(),
    "ReduceAll": _reduce(),
    "ReduceLp": _reduce("p"),
    "ReduceVariance": _reduce("correction"),
    # pooling and sampling
    "MaxPool": _pool("dilations"),
    "AveragePool": _pool("count_include_pad", "divisor"),
    "AdaptiveAveragePool": _unary(
        "output_size", about="where the output does not divide the input"
    ),
    "AdaptiveMaxPool": _unary("output_size"),
    "Resize": _unary(
        "mode",
        "coordinates",
        "sizes",
        "scales",
        about="scales only where they are not output / input",
    ),
    "GridSample": Operator(("X", "grid"), ("mode", "padding_mode", "align_corners")),
    "Im2Col": _unary("kernel_shape", "strides", "pads", "dilations"),
    "Col2Im": _unary("output_size", "kernel_shape", "strides", "pads", "dilations"),
    "Pad": _unary(
        "mode", "pads", "value", about="zero padding stands in the view of the reader where it can"
    ),
    # selection
    "Concat": Operator(("*",), ("axis",)),
    "Gather": Operator(
        ("data", "indices"),
        ("axis", "padding_idx"),
        "padding_idx: whose row gets no gradient; -1 for none",
    ),
    "GatherElements": Operator(("data", "indices"), ("axis",)),
    "GatherND": Operator(("data", "indices")),
    "ScatterElements": Operator(("data", "indices", "updates"), ("axis", "reduction")),
    "ScatterND": Operator(("data", "indices", "updates"), ("reduction",)),
    "Index": Operator(("data", "*"), ("axes",), "one index tensor for each of `axes`"),
    "IndexPut": Operator(("data", "values", "*"), ("axes", "accumulate")),
    "Trilu": _unary("upper", "diagonal"),
    "OneHot": _unary("depth"),
    "NonZero": _unary(),
    "DFT": _unary("axes", "inverse", "normalization", about="over axes, two-sided"),
    "Real": _unary(),
    "Imag": _unary(),
    # recurrent: weights for each layer and direction as w_ih, w_hh, b_ih, b_hh; time first
    "LSTM": Operator(
        ("X", "initial_h", "initial_c", "*"),
        ("hidden_size", "num_layers", "bidirectional", "dropout"),
    ),
    "GRU": Operator(
        ("X", "initial_h", "*"), ("hidden_size", "num_layers", "bidirectional", "dropout")
    ),
    "RNN": Operator(
        ("X", "initial_h", "*"),
        ("hidden_size", "num_layers", "bidirectional", "dropout", "activation"),
    ),
    # random
    "Dropout": _unary("ratio", "channelwise", about="kept elements are scaled by 1 / (1 - ratio)"),
    "Bernoulli": Operator((), ("p",), "ones with probability p"),
    "RandomUniform": Operator((), ("low", "high")),
    "RandomNormal": Operator((), ("mean", "scale")),
}

INFORMATIVE = frozenset({"axis", "axes"})
"""Attributes told for the reader where the operand's view already says them (see `told_by_view`)."""


def told_by_view(op: str, attribute: str) -> bool:
    """Whether the attribute is only for the reader: the operand's view puts the axes in one place."""
    return attribute in INFORMATIVE and op in SCHEMA and SCHEMA[op].trailing


def attributes_equal(a: Any, b: Any) -> bool:
    """Whether two attribute values are the same number, tuple, string or array.

    Floats to five digits: frameworks hold some of them in float32 (0.8999999761581421 is 0.9), while
    1e-5 and 1e-6 differ. A number equals its other spelling (1, 1.0), a bool only a bool.
    """
    if isinstance(a, bool) or isinstance(b, bool):
        return (
            isinstance(a, (bool, np.bool_))
            and isinstance(b, (bool, np.bool_))
            and bool(a) == bool(b)
        )
    if isinstance(a, (int, float, np.number)) and isinstance(b, (int, float, np.number)):
        return math.isclose(a, b, rel_tol=1e-5) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(attributes_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return False
        if a.dtype.kind in "OUSV" or b.dtype.kind in "OUSV":
            return bool(np.array_equal(a, b))
        return bool(np.allclose(a, b, rtol=1e-5, atol=0.0, equal_nan=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(attributes_equal(a[key], b[key]) for key in a)
    return bool(a == b)


def differing_attributes(
    op: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> tuple[str, ...]:
    """Names of the attributes that differ between two nodes of one operator, the informative ones left out."""
    names = dict.fromkeys((*first, *second))
    return tuple(
        name
        for name in names
        if not told_by_view(op, name)
        and (
            name not in first
            or name not in second
            or not attributes_equal(first[name], second[name])
        )
    )
