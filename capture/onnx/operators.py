"""The table of ONNX operators: native operator -> normal form.

One row an operator: its name in the default domain, and the function that brings a call of it into
the normal form. The normal form speaks ONNX already, so that most rows only bring constant operands
(axes, pads, bounds) into attributes and spell fused operators out: `rows.unary("Erf", "input")`,
`rows.paired("Less", "A", "B")`, ... (`normal/lowering`) say by the schema's names which operand and
attribute goes where. Rows that need a function of their own take it from `onnx_compute`,
`onnx_recurrent` or `onnx_movement`. An operator that draws at random stands in `RANDOM` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Row
from padiff_graph.capture.onnx import onnx_compute as compute
from padiff_graph.capture.onnx import onnx_movement as movement
from padiff_graph.capture.onnx import onnx_recurrent as recurrent

__all__ = ["CONSTANTS", "RANDOM", "ROWS", "SHAPES", "row_of"]

NAMESPACE = "onnx."


def row_of(op: str) -> Row | None:
    """The row of a native operator, None where the table has none."""
    return ROWS.get(op.removeprefix(NAMESPACE))


ROWS: Mapping[str, Row] = {
    "Identity": rows.identity("input"),
    "Cast": compute.cast,
    "CastLike": compute.cast,
    "Dropout": compute.dropout,
    # element-wise, several operands
    "Add": rows.combine("A", "B"),
    "Sub": rows.combine("A", "B", -1.0),
    "Mul": rows.multiply("A", "B"),
    "Div": rows.divide("A", "B"),
    "Pow": rows.power("X", "Y"),
    "Sum": compute.total,
    "Mean": compute.mean_of,
    "Min": compute.extreme("Min"),
    "Max": compute.extreme("Max"),
    "Mod": compute.modulo,
    "Where": compute.where,
    "Equal": rows.paired("Equal", "A", "B"),
    "Less": rows.paired("Less", "A", "B"),
    "LessOrEqual": rows.paired("LessOrEqual", "A", "B"),
    "Greater": rows.paired("Greater", "A", "B"),
    "GreaterOrEqual": rows.paired("GreaterOrEqual", "A", "B"),
    "And": rows.paired("And", "A", "B"),
    "Or": rows.paired("Or", "A", "B"),
    "Xor": rows.paired("Xor", "A", "B"),
    # element-wise, one operand
    "Neg": compute.negative,
    "Sqrt": rows.raised(0.5, "X"),
    "Reciprocal": rows.raised(-1.0, "X"),
    "Abs": rows.unary("Abs", "X"),
    "Acos": rows.unary("Acos", "input"),
    "Asin": rows.unary("Asin", "input"),
    "Atan": rows.unary("Atan", "input"),
    "Ceil": rows.unary("Ceil", "X"),
    "Cos": rows.unary("Cos", "input"),
    "Cosh": rows.unary("Cosh", "input"),
    "Erf": rows.unary("Erf", "input"),
    "Exp": rows.unary("Exp", "input"),
    "Floor": rows.unary("Floor", "X"),
    "IsInf": rows.unary("IsInf", "X"),
    "IsNaN": rows.unary("IsNaN", "X"),
    "Log": rows.unary("Log", "input"),
    "Not": rows.unary("Not", "X"),
    "Round": rows.unary("Round", "X"),
    "Sign": rows.unary("Sign", "input"),
    "Sin": rows.unary("Sin", "input"),
    "Sinh": rows.unary("Sinh", "input"),
    "Tan": rows.unary("Tan", "input"),
    "Tanh": rows.unary("Tanh", "input"),
    "Clip": compute.clip,
    # activations
    "Celu": rows.unary("Celu", "X", alpha="alpha"),
    "Elu": rows.unary("Elu", "X", alpha="alpha"),
    "Gelu": rows.unary("Gelu", "X", approximate="approximate"),
    "HardSigmoid": rows.unary("HardSigmoid", "X", alpha="alpha", beta="beta"),
    "HardSwish": rows.unary("HardSwish", "X"),
    "LeakyRelu": rows.unary("LeakyRelu", "X", alpha="alpha"),
    "Mish": rows.unary("Mish", "X"),
    "PRelu": compute.prelu,
    "Relu": rows.unary("Relu", "X"),
    "Selu": rows.unary("Selu", "X", alpha="alpha", gamma="gamma"),
    "Sigmoid": rows.unary("Sigmoid", "X"),
    # torch's and Paddle's threshold, beyond which their softplus is the identity; ONNX has none
    "Softplus": rows.unary("Softplus", "X", beta=1.0, threshold=20.0),
    "Softsign": rows.unary("Softsign", "X"),
    "Swish": rows.unary("Swish", "X", alpha="alpha"),
    # products
    "Gemm": compute.gemm,
    "MatMul": compute.matmul,
    "Conv": compute.convolution(False),
    "ConvTranspose": compute.convolution(True),
    "Einsum": compute.einsum,
    "Attention": compute.attention,
    # normalisation
    "BatchNormalization": compute.batch_norm,
    "InstanceNormalization": compute.instance_norm,
    "GroupNormalization": compute.group_norm,
    "LayerNormalization": compute.layer_norm("LayerNormalization", "Scale", "B", correction=0.0),
    "RMSNormalization": compute.layer_norm("RMSNormalization", "scale"),
    # pooling and sampling
    "MaxPool": compute.pool("MaxPool"),
    "AveragePool": compute.pool("AveragePool"),
    "GlobalAveragePool": compute.global_pool("ReduceMean"),
    "GlobalMaxPool": compute.global_pool("ReduceMax"),
    "Resize": compute.resize,
    # along axes
    "ReduceMean": compute.reduction("ReduceMean"),
    "ReduceSum": compute.reduction("ReduceSum"),
    "ReduceMax": compute.reduction("ReduceMax"),
    "ReduceMin": compute.reduction("ReduceMin"),
    "ReduceProd": compute.reduction("ReduceProd"),
    "ReduceLogSumExp": compute.reduction("ReduceLogSumExp"),
    "ReduceSumSquare": compute.reduction("ReduceSum", 2.0),
    "ReduceL2": compute.reduction("ReduceSum", 2.0, 0.5),
    "Softmax": compute.along("Softmax", "input", -1),
    "LogSoftmax": compute.along("LogSoftmax", "input", -1),
    "ArgMax": compute.argument("ArgMax"),
    "ArgMin": compute.argument("ArgMin"),
    "CumSum": compute.cumsum,
    "TopK": compute.top_k,
    # recurrent
    "LSTM": recurrent.recurrent("LSTM"),
    "GRU": recurrent.recurrent("GRU"),
    "RNN": recurrent.recurrent("RNN"),
    # movement
    "Reshape": movement.flat("data"),
    "Flatten": movement.flat("input"),
    "Squeeze": movement.flat("data"),
    "Unsqueeze": movement.flat("data"),
    "Transpose": movement.permute,
    "Slice": movement.slices,
    "Split": movement.split,
    "Concat": movement.concat,
    "Expand": movement.expand_to,
    "Tile": movement.tile,
    "Pad": movement.pad,
    "DepthToSpace": movement.depth_to_space,
    "SpaceToDepth": movement.space_to_depth,
    # selection
    "Gather": movement.gather,
    "GatherElements": movement.gather_elements,
    "GatherND": movement.gather_nd,
    "ScatterND": movement.scatter_nd,
    "ScatterElements": movement.scatter_elements,
    "Trilu": movement.trilu,
    # shapes
    "Shape": movement.shape_of_operand,
    "Size": movement.size_of_operand,
}

RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    }
)
"""Operators that draw: never constants, whatever they read."""

SHAPES = frozenset({"Shape", "Size"})
"""Operators that answer the shape of their operand, a constant in a captured graph."""

CONSTANTS: Mapping[str, Any] = {}
"""Operators whose result attributes alone decide: capture has run them already."""
