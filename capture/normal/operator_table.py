"""The operators of the normal form, one row each: everything that is known of them.

Names and operand order are ONNX's where ONNX has the operator. Attributes are a schema of our own:
what ONNX passes as constant inputs (axes, pads, bounds) is an attribute here, and all backends'
tables fill in every attribute, defaults too, so that two nodes of one operator always carry the
same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from padiff_graph.capture.normal import numpy_functions as compute
from padiff_graph.capture.normal.operator_traits import Layout, Operator, Scale

__all__ = ["OPERATORS"]

# -- kinds of operators: rows with the same traits

_elementwise = partial(Operator, operands=("X",), layout=Layout.ELEMENTWISE)
_activation = partial(_elementwise, family="activation")
_paired = partial(_elementwise, operands=("A", "B"))
_symmetric = partial(_paired, commutative=True)
_compared = partial(_paired, family="compare")
_channel_norm = partial(
    Operator, operands=("X", "scale", "bias"), layout=Layout.CHANNELS, family="normalization"
)
_row_norm = partial(_channel_norm, layout=Layout.ROWS)
_along = partial(
    Operator,
    operands=("X",),
    attributes=("axis",),
    layout=Layout.TRAILING,
    about="runs along the last axis: the operand's view puts it there; `axis` tells the native one",
)
_sequential = partial(_along, ordered=True)
_reduction = partial(
    Operator,
    operands=("X",),
    attributes=("axes",),
    layout=Layout.TRAILING,
    about=(
        "reads [..., n], yields [...]: the operand's view puts the reduced axes last; "
        "`axes` tells the native ones"
    ),
)
_statistic = partial(_reduction, family="reduce")
_sampling = partial(Operator, operands=("X",), layout=Layout.SPACE)
_pool = partial(
    _sampling, family="pool", about="pads: all beginnings, then all ends; as in convolutions"
)
_recurrent = partial(
    Operator,
    operands=("X", "initial_h", "*"),
    attributes=("hidden_size", "num_layers", "bidirectional", "dropout"),
    layout=Layout.RECURRENT,
    family="recurrent",
    about="weights for each layer and direction as w_ih, w_hh, b_ih, b_hh; time first",
)

_LEAVES: Mapping[str, Operator] = {
    "Input": Operator(leaf=True),
    "Parameter": Operator(leaf=True, about="a parameter or buffer, by name"),
    "Constant": Operator(leaf=True, about="known when the model was captured; compare by value"),
}

_PRODUCTS: Mapping[str, Operator] = {
    "Linear": Operator(
        operands=("X", "W", "bias"),
        layout=Layout.LINEAR,
        scale=Scale.EACH,
        about="X @ W + bias; W depends on parameters only, its view is [in, out]",
    ),
    "MatMul": Operator(
        operands=("A", "B"), layout=Layout.MATMUL, scale=Scale.EACH, numpy=np.matmul
    ),
    "Conv": Operator(
        operands=("X", "W", "bias"),
        attributes=("strides", "pads", "dilations", "group"),
        layout=Layout.CONVOLUTION,
        scale=Scale.EACH,
        features=1,
        about="W is [out, in / group, ...]",
    ),
    "ConvTranspose": Operator(
        operands=("X", "W", "bias"),
        attributes=("strides", "pads", "dilations", "group", "output_padding"),
        layout=Layout.CONVOLUTION,
        scale=Scale.EACH,
        features=1,
        about="W is [in, out / group, ...]",
    ),
    "Einsum": Operator(operands=("*",), attributes=("equation",)),
}

_ARITHMETIC: Mapping[str, Operator] = {
    "Add": _elementwise(
        operands=("*",),
        commutative=True,
        scale=Scale.SHARED,
        neutral="bias",
        family="combine",
        numpy=compute.total,
        about="x - y is x + -1 * y",
    ),
    "Mul": _elementwise(
        operands=("*",),
        commutative=True,
        scale=Scale.EACH,
        neutral="scale",
        family="combine",
        numpy=compute.product,
        about="x / y is x * Pow(y, -1)",
    ),
    "Pow": _elementwise(
        operands=("X", "Y"),
        attributes=("exponent",),
        numpy=compute.power,
        about=(
            "constant exponent: sqrt 0.5, rsqrt -0.5, reciprocal -1, square 2; "
            "None: the second operand"
        ),
    ),
    "Min": _symmetric(family="combine", numpy=np.minimum),
    "Max": _symmetric(family="combine", numpy=np.maximum),
    "Equal": _compared(commutative=True, numpy=np.equal),
    "NotEqual": _compared(commutative=True, numpy=np.not_equal),
    "Less": _compared(numpy=np.less),
    "LessOrEqual": _compared(numpy=np.less_equal),
    "Greater": _compared(numpy=np.greater),
    "GreaterOrEqual": _compared(numpy=np.greater_equal),
    "And": _symmetric(numpy=np.logical_and),
    "Or": _symmetric(numpy=np.logical_or),
    "Xor": _symmetric(),
    "FloorDiv": _paired(numpy=np.floor_divide),
    "Mod": _paired(numpy=np.mod),
    "Where": _elementwise(operands=("condition", "X", "Y"), numpy=np.where),
    "BinaryCrossEntropy": _elementwise(
        operands=("X", "target"), about="of probabilities, each element's own"
    ),
    "BinaryCrossEntropyWithLogits": _elementwise(
        operands=("X", "target", "positive_weight"), about="of logits, each element's own"
    ),
}

_FUNCTIONS: Mapping[str, Operator] = {
    "Relu": _activation(scale=Scale.POSITIVE, numpy=compute.relu),
    "LeakyRelu": _activation(attributes=("alpha",), scale=Scale.POSITIVE),
    "PRelu": _activation(operands=("X", "slope")),
    "Elu": _activation(attributes=("alpha",)),
    "Selu": _activation(attributes=("alpha", "gamma")),
    "Celu": _activation(attributes=("alpha",)),
    "Gelu": _activation(attributes=("approximate",)),
    "Swish": _activation(
        attributes=("alpha",),
        numpy=compute.swish,
        about="x * sigmoid(alpha * x); SiLU has alpha 1",
    ),
    "Mish": _activation(),
    "Sigmoid": _activation(numpy=compute.sigmoid),
    "LogSigmoid": _activation(),
    "Softplus": _activation(attributes=("beta", "threshold")),
    "Softsign": _activation(),
    "Tanh": _activation(numpy=np.tanh),
    "Clip": _activation(
        attributes=("min", "max"),
        scale=Scale.SHARED,
        numpy=compute.clip,
        about="also relu6 and hardtanh",
    ),
    "HardSigmoid": _elementwise(
        attributes=("alpha", "beta"),
        about="clip(alpha * x + beta, 0, 1); relu6(x + 3) is 6 of it",
    ),
    "HardSwish": _elementwise(about="x * HardSigmoid(x) with slope 1/6"),
    "Erf": _activation(),
    "Exp": _elementwise(numpy=np.exp),
    "Expm1": _elementwise(),
    "Log": _elementwise(numpy=np.log),
    "Log1p": _elementwise(),
    "Abs": _elementwise(numpy=np.abs),
    "Sign": _elementwise(numpy=np.sign),
    "Sin": _elementwise(numpy=np.sin),
    "Cos": _elementwise(numpy=np.cos),
    "Tan": _elementwise(),
    "Asin": _elementwise(),
    "Acos": _elementwise(),
    "Atan": _elementwise(),
    "Sinh": _elementwise(),
    "Cosh": _elementwise(),
    "Floor": _elementwise(numpy=np.floor),
    "Ceil": _elementwise(),
    "Round": _elementwise(),
    "Trunc": _elementwise(),
    "IsNaN": _elementwise(),
    "IsInf": _elementwise(),
    "Not": _elementwise(numpy=np.logical_not),
    "Cast": _elementwise(
        attributes=("to",),
        numpy=compute.cast,
        about="only where values can change: to a smaller float, to integers, to bool",
    ),
    "Detach": _elementwise(passes=True, about="no gradient passes; only where one otherwise would"),
    "Identity": _activation(
        passes=True,
        scale=Scale.SHARED,
        about=(
            "a copy that carries marks, such as a gradient hook; "
            "stands in for an activation that a port left out"
        ),
    ),
}

_NORMALISATION: Mapping[str, Operator] = {
    "BatchNormalization": _channel_norm(
        operands=("X", "scale", "bias", "mean", "var"),
        attributes=("epsilon", "momentum", "training"),
        about="momentum as torch's (weight of the new value); None outside training",
    ),
    "InstanceNormalization": _channel_norm(attributes=("epsilon",)),
    "GroupNormalization": _channel_norm(attributes=("epsilon", "num_groups")),
    "LayerNormalization": _row_norm(
        attributes=("epsilon", "axis", "correction"),
        about=(
            "axis counts from the end: -1 normalises the last axis; "
            "correction: 1 where the variance is the unbiased one"
        ),
    ),
    "RMSNormalization": _row_norm(operands=("X", "scale"), attributes=("epsilon", "axis")),
}

_ALONG_AN_AXIS: Mapping[str, Operator] = {
    "Softmax": _along(
        operands=("X", "mask", "mask"),
        family="softmax",
        shift_free=True,
        about=(
            "runs along the last axis; masks that no gradient passes stand as further operands: "
            "added, or boolean"
        ),
    ),
    "LogSoftmax": _along(family="softmax", shift_free=True),
    "CumSum": _sequential(
        attributes=("axis", "exclusive", "reverse"), numpy=compute.cumulative_sum
    ),
    "CumProd": _sequential(),
    "ArgMax": _sequential(),
    "ArgMin": _sequential(),
    "TopK": _sequential(attributes=("axis", "k", "largest")),
    "Sort": _sequential(attributes=("axis", "descending")),
    "ReduceMean": _statistic(scale=Scale.ANY, keeps_one=True, numpy=compute.reducing(np.mean)),
    "ReduceSum": _statistic(scale=Scale.ANY, keeps_one=True, numpy=compute.reducing(np.sum)),
    "ReduceMax": _statistic(
        scale=Scale.POSITIVE,
        keeps_one=True,
        numpy=compute.reducing(np.max),
        about="second result the indices, where asked for",
    ),
    "ReduceMin": _statistic(
        scale=Scale.POSITIVE,
        keeps_one=True,
        numpy=compute.reducing(np.min),
        about="second result the indices, where asked for",
    ),
    "ReduceProd": _statistic(keeps_one=True),
    "ReduceLogSumExp": _statistic(keeps_one=True),
    "ReduceAny": _reduction(numpy=compute.reducing(np.any)),
    "ReduceAll": _reduction(numpy=compute.reducing(np.all)),
    "ReduceLp": _statistic(attributes=("axes", "p")),
    "ReduceVariance": _statistic(attributes=("axes", "correction")),
}

_WINDOWS: Mapping[str, Operator] = {
    "MaxPool": _pool(
        attributes=("kernel_shape", "strides", "pads", "ceil_mode", "dilations"),
        scale=Scale.POSITIVE,
    ),
    "AveragePool": _pool(
        attributes=("kernel_shape", "strides", "pads", "ceil_mode", "count_include_pad", "divisor"),
        scale=Scale.ANY,
    ),
    "AdaptiveAveragePool": _pool(
        attributes=("output_size",), about="where the output does not divide the input"
    ),
    "AdaptiveMaxPool": _pool(attributes=("output_size",)),
    "Resize": _sampling(
        attributes=("mode", "coordinates", "sizes", "scales"),
        about="scales only where they are not output / input",
    ),
    "AffineGrid": Operator(operands=("theta",), attributes=("align_corners", "size")),
    "GridSample": Operator(
        operands=("X", "grid"), attributes=("mode", "padding_mode", "align_corners")
    ),
    "Im2Col": Operator(
        operands=("X",), attributes=("kernel_shape", "strides", "pads", "dilations")
    ),
    "Col2Im": Operator(
        operands=("X",),
        attributes=("output_size", "kernel_shape", "strides", "pads", "dilations"),
    ),
    "Pad": Operator(
        operands=("X",),
        attributes=("mode", "pads", "value"),
        about="zero padding stands in the view of the reader where it can",
    ),
}

_SELECTION: Mapping[str, Operator] = {
    "Concat": Operator(
        operands=("*",),
        attributes=("axis",),
        layout=Layout.CONCAT,
        family="combine",
        numpy=compute.concat,
    ),
    "Gather": Operator(
        operands=("data", "indices"),
        attributes=("axis", "padding_idx", "scale_grad_by_freq"),
        layout=Layout.GATHER,
        selects=True,
        numpy=compute.gather,
        about="padding_idx: whose row gets no gradient; -1 for none. scale_grad_by_freq: whether a "
        "row's gradient is divided by how often it is read",
    ),
    "GatherElements": Operator(
        operands=("data", "indices"),
        attributes=("axis",),
        selects=True,
        numpy=compute.gather_elements,
    ),
    "GatherND": Operator(operands=("data", "indices"), selects=True),
    "ScatterElements": Operator(
        operands=("data", "indices", "updates"), attributes=("axis", "reduction")
    ),
    "ScatterND": Operator(operands=("data", "indices", "updates"), attributes=("reduction",)),
    "Index": Operator(
        operands=("data", "*"),
        attributes=("axes",),
        selects=True,
        about="one index tensor for each of `axes`",
    ),
    "IndexPut": Operator(operands=("data", "values", "*"), attributes=("axes", "accumulate")),
    "Trilu": Operator(operands=("X",), attributes=("upper", "diagonal"), numpy=compute.triangle),
    "OneHot": Operator(operands=("X",), attributes=("depth",)),
    "NonZero": Operator(operands=("X",)),
}

_SPECTRA: Mapping[str, Operator] = {
    "DFT": Operator(
        operands=("X",),
        attributes=("axes", "inverse", "normalization"),
        about="over axes, two-sided",
    ),
    "Real": Operator(operands=("X",)),
    "Imag": Operator(operands=("X",)),
}

_RECURRENT: Mapping[str, Operator] = {
    "LSTM": _recurrent(operands=("X", "initial_h", "initial_c", "*")),
    "GRU": _recurrent(),
    "RNN": _recurrent(
        attributes=("hidden_size", "num_layers", "bidirectional", "dropout", "activation")
    ),
}

_RANDOM: Mapping[str, Operator] = {
    "Dropout": _elementwise(
        attributes=("ratio",),
        scale=Scale.ANY,
        about="kept elements are scaled by 1 / (1 - ratio)",
    ),
    "Bernoulli": Operator(attributes=("p",), about="ones with probability p"),
    "RandomUniform": Operator(about="in [0, 1); a range is a factor and a shift on its edge"),
    "RandomNormal": Operator(about="mean 0, deviation 1; others are on its edge"),
    "RandomInteger": Operator(attributes=("low", "high"), about="high is left out"),
    "RandomPermutation": Operator(attributes=("n",), about="the numbers below n in any order"),
}

OPERATORS: Mapping[str, Operator] = {
    **_LEAVES,
    **_PRODUCTS,
    **_ARITHMETIC,
    **_FUNCTIONS,
    **_NORMALISATION,
    **_ALONG_AN_AXIS,
    **_WINDOWS,
    **_SELECTION,
    **_SPECTRA,
    **_RECURRENT,
    **_RANDOM,
}
"""All rows by name."""
