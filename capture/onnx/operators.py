"""The table of ONNX operators: native operator -> normal form.

Keys are operator names of the default domain. The normal form speaks ONNX already, so that most rows
only bring constant operands (axes, pads, bounds) into attributes and spell fused operators out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import broadcast, reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = ["CONSTANTS", "RANDOM", "ROWS", "row_of"]

NAMESPACE = "onnx."


def row_of(op: str) -> Row | None:
    """The row of a native operator, None where the table has none."""
    return ROWS.get(op.removeprefix(NAMESPACE))


# -- element-wise


def clip(call: Call) -> Result:
    """Bounds that the graph computes stay Min and Max."""
    edge = call["input"]
    if all(
        call.operand(role) is None or call.scalar(call.operand(role)) is not None
        for role in ("min", "max")
    ):
        return rows.clip(call, edge, call.number("min"), call.number("max"))
    for op, role in (("Max", "min"), ("Min", "max")):
        bound = call.operand(role)
        if bound is not None:
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
        found = broadcast(first, call.shape)
        for edge in rest:
            found = call.draft(op, [found, broadcast(edge, call.shape)])
        return found

    return row


def modulo(call: Call) -> Result:
    """Python's modulo; C's stays opaque."""
    if call.number("fmod", 0):
        raise Unsupported("fmod")
    return rows.paired("Mod", "A", "B")(call)


def cast(call: Call) -> Result:
    """Cast, CastLike: the native result's type decides."""
    return rows.cast(call, call["input"], call.type().dtype)


def where(call: Call) -> Result:
    """Where."""
    return rows.where(call, call["condition"], call["X"], call["Y"])


# -- products


def gemm(call: Call) -> Result:
    """alpha * A @ B + beta * C, either matrix transposed."""
    a, b, c = call["A"], call["B"], call.operand("C")
    a = call.swap(a) if call.number("transA", 0) else a
    b = call.swap(b) if call.number("transB", 0) else b
    alpha, beta = float(call.number("alpha", 1.0)), float(call.number("beta", 1.0))
    if alpha == 1.0 and beta == 1.0:
        return rows.linear(call, a, b, c)
    product = rows.matmul(call, a, b)
    return rows.sum_of(call, [(product, alpha), *([] if c is None else [(c, beta)])])


def matmul(call: Call) -> Result:
    """numpy.matmul."""
    return rows.matmul(call, call["A"], call["B"])


def convolution(transposed: bool) -> Row:
    """Conv, ConvTranspose."""

    def row(call: Call) -> Result:
        count = len(shape_of(call["W"])) - 2
        automatic = call.get("auto_pad") or "NOTSET"
        pads: Any = call.numbers("pads") or (0,) * (2 * count)
        if automatic == "SAME_UPPER":
            pads = "SAME"
        elif automatic == "VALID":
            pads = "VALID"
        elif automatic != "NOTSET":
            raise Unsupported(f"auto_pad {automatic}")
        elif len(pads) == 2 * count:
            # rows read begin and end of one axis after the other
            pads = tuple(
                pad for pair in zip(pads[:count], pads[count:], strict=True) for pad in pair
            )
        return rows.convolution(
            call,
            call["X"],
            call["W"],
            call.operand("B"),
            strides=call.get("strides") or 1,
            pads=pads,
            dilations=call.get("dilations") or 1,
            group=call.number("group", 1),
            transposed=transposed,
        )

    return row


def attention(call: Call) -> Result:
    """Attention (opset 23) over [batch, heads, length, width], without caches or soft caps."""
    if (
        call.rank(call["Q"]) != 4
        or call.operand("past_key") is not None
        or call.number("softcap", 0.0)
        or len(call.record.outputs) > 1
    ):
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


# -- normalisation


def batch_norm(call: Call) -> Result:
    """ONNX's momentum is the weight of the old value."""
    training = bool(call.number("training_mode", 0))
    statistics = [call.operand(role) or call.operand(f"input_{role}") for role in ("mean", "var")]
    inputs = [call["X"], call["scale"], call["B"], *statistics]
    attrs = {
        "epsilon": call.number("epsilon"),
        "momentum": 1.0 - call.number("momentum") if training else None,
        "training": training,
    }
    types = [kind for kind in call.record.outputs if kind is not None]
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
        rank = call.rank(call["X"])
        axis = call.number("axis", -1)
        return call.draft(
            op,
            [call["X"], *(call.operand(role) for role in operands)],
            {
                "epsilon": call.number("epsilon"),
                "axis": axis - rank if axis >= 0 else axis,
                **attributes,
            },
        )

    return row


# -- pooling


def pool(kind: str) -> Row:
    """MaxPool, AveragePool."""

    def row(call: Call) -> Result:
        kernel = call.numbers("kernel_shape")
        count = len(kernel)
        automatic = call.get("auto_pad") or "NOTSET"
        pads: Any = call.numbers("pads") or (0,) * (2 * count)
        if automatic in ("SAME_UPPER", "VALID"):
            pads = automatic.removesuffix("_UPPER")
        elif automatic != "NOTSET":
            raise Unsupported(f"auto_pad {automatic}")
        else:
            pads = tuple(
                pad for pair in zip(pads[:count], pads[count:], strict=True) for pad in pair
            )
        return rows.pool(
            call,
            call["X"],
            kind,
            kernel=kernel,
            strides=call.numbers("strides") or (1,) * count,
            pads=pads,
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
    """Resize of the spatial axes; nearest as floor of asymmetric coordinates is torch's and Paddle's."""
    mode, coordinates = (
        str(call.get("mode", "nearest")),
        str(call.get("coordinate_transformation_mode", "half_pixel")),
    )
    mode = {"linear": "linear", "cubic": "cubic", "nearest": "nearest"}.get(mode, mode)
    coordinates = "half_pixel" if coordinates == "pytorch_half_pixel" else coordinates
    if mode == "nearest" and (coordinates, call.get("nearest_mode")) != ("asymmetric", "floor"):
        raise Unsupported("another rounding of coordinates")
    scales = call.numbers("scales")
    return rows.resize(call, call["X"], mode, coordinates, scales[2:] or None)


# -- reductions


def reduction(op: str, prepare: float | None = None, finish: float | None = None) -> Row:
    """Reductions; `axes` is an attribute or an operand; powers before and after spell L2 and the like."""

    def row(call: Call) -> Result:
        edge = call["data"]
        axes = call.numbers("axes")
        if not axes and call.number("noop_with_empty_axes", 0):
            return call.touch(edge)
        if prepare is not None:
            edge = rows.fixed_power(call, edge, prepare)
        found = rows.reduce_over(call, op, edge, axes, {})
        if finish is None or not isinstance(found, list) or found[0] is None:
            return found
        return rows.fixed_power(call, found[0], finish)

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
    return rows.on_axis(
        call,
        "CumSum",
        call["x"],
        call.number("axis"),
        {
            "exclusive": bool(call.number("exclusive", 0)),
            "reverse": bool(call.number("reverse", 0)),
        },
    )


def top_k(call: Call) -> Result:
    """Largest or smallest values and where they stand."""
    return rows.on_axis(
        call,
        "TopK",
        call["X"],
        call.number("axis", -1),
        {"k": call.number("K"), "largest": bool(call.number("largest", 1))},
        2,
    )


# -- movement


def flat(operand: str) -> Row:
    """Reshape, Flatten, Squeeze, Unsqueeze: the native result's shape decides."""

    def row(call: Call) -> Result:
        return call.reshape(call[operand], call.shape)

    return row


def permute(call: Call) -> Result:
    """Transpose; without an order all axes reversed."""
    edge = call["data"]
    return call.transpose(edge, call.numbers("perm") or tuple(range(call.rank(edge)))[::-1])


def slices(call: Call) -> Result:
    """Slice; attributes before opset 10."""
    edge = call["data"]
    starts, ends = call.numbers("starts"), call.numbers("ends")
    axes = call.numbers("axes") or tuple(range(len(starts)))
    steps = call.numbers("steps") or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        extent = shape_of(edge)[axis]
        edge = call.take(
            edge,
            axis % call.rank(edge),
            range(extent)[
                slice(int(start), None if step < 0 and end < -extent else int(end), int(step))
            ],
        )
    return edge


def split(call: Call) -> Result:
    """Split: sizes are those of the native results."""
    axis = call.number("axis", 0) % call.rank(call["input"])
    return rows.pieces(
        call,
        call["input"],
        axis,
        [call.type(output).shape[axis] for output in range(len(call.record.outputs))],
    )


def concat(call: Call) -> Result:
    """Concat."""
    return rows.concat(call, call.tensors("inputs"), call.number("axis"))


def expand_to(call: Call) -> Result:
    """Expand: the native result's shape decides."""
    return call.expand(call["input"], call.shape)


def tile(call: Call) -> Result:
    """Whole copies along each axis."""
    return rows.tiled(call, call["input"], call.numbers("repeats"))


def pad(call: Call) -> Result:
    """All beginnings, then all ends; of the named axes only, where some are named."""
    edge = call["data"]
    rank = call.rank(edge)
    pads = [int(width) for width in call.numbers("pads")]
    axes = [int(axis) % rank for axis in call.numbers("axes")] or list(range(rank))
    widths = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        widths[axis] = (pads[place], pads[place + len(axes)])
    mode = {"edge": "replicate", "wrap": "circular"}.get(
        str(call.get("mode", "constant")), str(call.get("mode", "constant"))
    )
    return rows.pad(
        call,
        edge,
        widths,
        mode,
        float(call.number("constant_value", call.number("value", 0.0)) or 0.0),
    )


def depth_to_space(call: Call) -> Result:
    """DepthToSpace: DCR blocks stand before channels, CRD behind them."""
    edge, r = call["input"], call.number("blocksize")
    n, c, h, w = shape_of(edge)
    if call.get("mode", "DCR") == "DCR":
        return call.reshape(
            transpose(reshape(edge, [n, r, r, c // (r * r), h, w]), [0, 3, 4, 1, 5, 2]), call.shape
        )
    return call.reshape(
        transpose(reshape(edge, [n, c // (r * r), r, r, h, w]), [0, 1, 4, 2, 5, 3]), call.shape
    )


def space_to_depth(call: Call) -> Result:
    """SpaceToDepth: blocks stand before channels."""
    edge, r = call["input"], call.number("blocksize")
    n, c, h, w = shape_of(edge)
    return call.reshape(
        transpose(reshape(edge, [n, c, h // r, r, w // r, r]), [0, 3, 5, 1, 2, 4]), call.shape
    )


# -- selection


def gather(call: Call) -> Result:
    """Rows of an axis."""
    return rows.gather(call, call["data"], call["indices"], call.number("axis", 0))


def gather_elements(call: Call) -> Result:
    """GatherElements."""
    axis = call.number("axis", 0) % call.rank(call["data"])
    return call.draft("GatherElements", [call["data"], call["indices"]], {"axis": axis})


def gather_nd(call: Call) -> Result:
    """GatherND without batch axes."""
    if call.number("batch_dims", 0):
        raise Unsupported("batch_dims")
    return call.draft("GatherND", [call["data"], call["indices"]])


def scatter_nd(call: Call) -> Result:
    """ScatterND."""
    return call.draft(
        "ScatterND",
        [call["data"], call["indices"], call["updates"]],
        {"reduction": call.get("reduction", "none")},
    )


def scatter_elements(call: Call) -> Result:
    """ScatterElements."""
    return call.draft(
        "ScatterElements",
        [call["data"], call["indices"], call["updates"]],
        {
            "axis": call.number("axis", 0) % call.rank(call["data"]),
            "reduction": call.get("reduction", "none"),
        },
    )


def trilu(call: Call) -> Result:
    """Trilu."""
    return call.draft(
        "Trilu",
        [call["input"]],
        {"upper": bool(call.number("upper", 1)), "diagonal": int(call.number("k", 0) or 0)},
    )


def einsum(call: Call) -> Result:
    """Einsum."""
    return rows.einsum(call, call.get("equation"), call.tensors("Inputs"))


# -- recurrent

GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where torch's gates stand in ONNX's order: LSTM i f g o in i o f c; GRU r z n in z r h."""


def recurrent(op: str) -> Row:
    """LSTM, GRU, RNN of one layer, both directions, weights brought into torch's order of gates.

    GRU only with `linear_before_reset`, which torch and Paddle have.
    """

    def row(call: Call) -> Result:
        if (
            call.operand("sequence_lens") is not None
            or call.operand("P") is not None
            or call.number("layout", 0)
            or call.get("clip")
        ):
            raise Unsupported(f"this form of {op}")
        if op == "GRU" and not call.number("linear_before_reset", 0):
            raise Unsupported("a GRU that resets before the product")
        x, w, r, b = call["X"], call["W"], call["R"], call.operand("B")
        directions, hidden = shape_of(w)[0], call.number("hidden_size")
        gates = GATES[op]
        order = [gate * hidden + at for gate in gates for at in range(hidden)]
        weights: list[Edge | None] = []
        for direction in range(directions):
            for matrix in (w, r):
                own = reshape(
                    call.take(matrix, 0, range(direction, direction + 1)), shape_of(matrix)[1:]
                )
                weights.append(call.take(own, 0, order))
            for half in range(2):
                if b is None:
                    weights.append(call.constant(np.zeros(len(order), np.float32)))
                    continue
                own = reshape(call.take(b, 0, range(direction, direction + 1)), shape_of(b)[1:])
                weights.append(call.take(own, 0, [half * len(order) + at for at in order]))
        x_shape = shape_of(x)
        states: list[Edge] = []
        for role in ("initial_h", "initial_c")[: 2 if op == "LSTM" else 1]:
            state = call.operand(role)
            states.append(
                call.constant(np.zeros((directions, x_shape[1], hidden), np.float32))
                if state is None
                else state
            )
        attrs: dict[str, Any] = {
            "hidden_size": hidden,
            "num_layers": 1,
            "bidirectional": directions == 2,
            "dropout": 0.0,
        }
        if op == "RNN":
            attrs["activation"] = str((call.get("activations") or ("Tanh",))[0]).lower()
        dtype = call.builder.dtype(x)
        y = TensorType((x_shape[0], x_shape[1], directions * hidden), dtype)
        state_type = TensorType((directions, x_shape[1], hidden), dtype)
        found = call.results(op, [x, *states, *weights], attrs, y, *[state_type] * len(states))
        spread = transpose(
            reshape(found[0], [x_shape[0], x_shape[1], directions, hidden]), [0, 2, 1, 3]
        )
        return [spread, *found[1:]][: max(1, len(call.record.outputs))]

    return row


# -- random


def dropout(call: Call) -> Result:
    """Nothing outside training."""
    edge = call["data"]
    if not call.number("training_mode", 0):
        return [call.touch(edge)]
    ratio = call.number("ratio", 0.5)
    return (
        [call.draft("Dropout", [edge], {"ratio": float(ratio), "channelwise": False})]
        if ratio
        else [call.touch(edge)]
    )


def size_of(call: Call) -> Result:
    """Shape, Size: what the operand's type says."""
    shape = shape_of(call["data"])
    if call.record.op.endswith("Size"):
        return call.constant(np.asarray(math.prod(shape), np.int64))
    return call.constant(
        np.asarray(shape[call.number("start", 0) or 0 : call.get("end")], np.int64)
    )


BINARY = {
    "Equal": "Equal",
    "Less": "Less",
    "LessOrEqual": "LessOrEqual",
    "Greater": "Greater",
    "GreaterOrEqual": "GreaterOrEqual",
    "And": "And",
    "Or": "Or",
    "Xor": "Xor",
}
UNARY = {
    "X": ("Relu", "Sigmoid", "Mish", "Softsign", "IsInf", "IsNaN"),
    "input": (
        "Tanh",
        "Erf",
        "Exp",
        "Log",
        "Sign",
        "Sin",
        "Cos",
        "Tan",
        "Asin",
        "Acos",
        "Atan",
        "Sinh",
        "Cosh",
    ),
}

ROWS: Mapping[str, Row] = {
    "Identity": rows.identity("input"),
    "Cast": cast,
    "CastLike": cast,
    "Dropout": dropout,
    # element-wise
    "Add": rows.combine("A", "B"),
    "Sub": rows.combine("A", "B", -1.0),
    "Mul": rows.multiply("A", "B"),
    "Div": rows.divide("A", "B"),
    "Pow": rows.power("X", "Y"),
    "Sum": total,
    "Mean": mean_of,
    "Min": extreme("Min"),
    "Max": extreme("Max"),
    "Mod": modulo,
    "Neg": lambda call: call.affine(call["X"], -1.0),
    "Sqrt": rows.raised(0.5, "X"),
    "Reciprocal": rows.raised(-1.0, "X"),
    **{op: rows.unary(op, operand) for operand, names in UNARY.items() for op in names},
    "Abs": rows.unary("Abs", "X"),
    "Floor": rows.unary("Floor", "X"),
    "Ceil": rows.unary("Ceil", "X"),
    "Round": rows.unary("Round", "X"),
    "Not": rows.unary("Not", "X"),
    "LeakyRelu": rows.unary("LeakyRelu", "X", alpha="alpha"),
    "Elu": rows.unary("Elu", "X", alpha="alpha"),
    "Celu": rows.unary("Celu", "X", alpha="alpha"),
    "Selu": rows.unary("Selu", "X", alpha="alpha", gamma="gamma"),
    "Gelu": rows.unary("Gelu", "X", approximate="approximate"),
    "Swish": rows.unary("Swish", "X", alpha="alpha"),
    "Softplus": rows.unary("Softplus", "X", beta=1.0, threshold=20.0),
    "PRelu": lambda call: call.draft("PRelu", [call["X"], broadcast(call["slope"], call.shape)]),
    "HardSigmoid": rows.unary("HardSigmoid", "X", alpha="alpha", beta="beta"),
    "HardSwish": rows.unary("HardSwish", "X"),
    "Clip": clip,
    "Where": where,
    **{op: rows.paired(name, "A", "B") for op, name in BINARY.items()},
    # products
    "Gemm": gemm,
    "MatMul": matmul,
    "Conv": convolution(False),
    "ConvTranspose": convolution(True),
    "Einsum": einsum,
    "Attention": attention,
    # normalisation
    "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "LayerNormalization": layer_norm("LayerNormalization", "Scale", "B", correction=0.0),
    "RMSNormalization": layer_norm("RMSNormalization", "scale"),
    # pooling
    "MaxPool": pool("MaxPool"),
    "AveragePool": pool("AveragePool"),
    "GlobalAveragePool": global_pool("ReduceMean"),
    "GlobalMaxPool": global_pool("ReduceMax"),
    "Resize": resize,
    # reductions
    "ReduceMean": reduction("ReduceMean"),
    "ReduceSum": reduction("ReduceSum"),
    "ReduceMax": reduction("ReduceMax"),
    "ReduceMin": reduction("ReduceMin"),
    "ReduceProd": reduction("ReduceProd"),
    "ReduceLogSumExp": reduction("ReduceLogSumExp"),
    "ReduceSumSquare": reduction("ReduceSum", 2.0),
    "ReduceL2": reduction("ReduceSum", 2.0, 0.5),
    "Softmax": along("Softmax", "input", -1),
    "LogSoftmax": along("LogSoftmax", "input", -1),
    "ArgMax": argument("ArgMax"),
    "ArgMin": argument("ArgMin"),
    "CumSum": cumsum,
    "TopK": top_k,
    # movement
    "Reshape": flat("data"),
    "Flatten": flat("input"),
    "Squeeze": flat("data"),
    "Unsqueeze": flat("data"),
    "Transpose": permute,
    "Slice": slices,
    "Split": split,
    "Concat": concat,
    "Expand": expand_to,
    "Tile": tile,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    # selection
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterND": scatter_nd,
    "ScatterElements": scatter_elements,
    "Trilu": trilu,
    # recurrent
    "LSTM": recurrent("LSTM"),
    "GRU": recurrent("GRU"),
    "RNN": recurrent("RNN"),
    # shapes
    "Shape": size_of,
    "Size": size_of,
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

CONSTANTS: Mapping[str, Any] = {}
"""Operators whose result attributes alone decide: capture has run them already."""
