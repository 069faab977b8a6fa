"""Each rule by itself, before -> after on a graph made of drafts; and where it refuses.

Graphs are shown as formulas: `2 * Relu(x) + 1`, `view(x)` for movement, attributes behind operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from padiff_graph.capture.graph import ComputationGraph, TensorType
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.edges import affine, expand, reshape, shape_of, take, transpose
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites import FIRST, SECOND
from padiff_graph.capture.normal.rewrites.rule import Rule, sweep
from padiff_graph.capture.normal.traits import traits

F = "float32"


class Drafts:
    """A graph under construction in the normal form's own words."""

    def __init__(self) -> None:
        self.builder = Builder(ComputationGraph.build("torch", [], training=False, parameters={}))

    def input(self, name: str, *shape: int, dtype: str = F) -> Edge:
        return self._leaf("Input", name, shape, dtype)

    def parameter(self, name: str, *shape: int) -> Edge:
        return self._leaf("Parameter", name, shape, F)

    def _leaf(self, op: str, name: str, shape: Sequence[int], dtype: str) -> Edge:
        draft = self.builder.add(op, (), None, (TensorType(tuple(shape), dtype),))
        draft.name, draft.varies = name, op == "Input"
        draft.gradient = dtype == F
        return self.builder.read(draft)

    def constant(self, value: Any) -> Edge:
        array = np.asarray(value)
        return self.builder.constant(array, array.dtype.name, ())

    def op(self, op: str, *operands: Edge | None, shape: Sequence[int] = (), **attrs: Any) -> Edge:
        whole = tuple(shape) or next(shape_of(edge) for edge in operands if edge is not None)
        attrs = {**dict.fromkeys(traits(op).attributes), **attrs}
        return self.builder.read(self.builder.add(op, operands, attrs, (TensorType(whole, F),)))

    def formula(self, edge: Edge | None) -> str:
        if edge is None:
            return "-"
        draft = self.builder.drafts[edge.source]
        told = [
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in draft.attrs.items()
            if value is not None
        ]
        words = draft.name
        if draft.op == "Constant":
            words = "constant"
        elif not draft.leaf:
            words = f"{draft.op}({', '.join([*map(self.formula, draft.inputs), *told])})"
        if edge.view is not None and not edge.view.identity:
            words = f"view({words})"
        if edge.scale != 1.0:
            words = f"{edge.scale:.4g} * {words}"
        return words if edge.shift == 0.0 else f"{words} + {edge.shift:.4g}"

    def output(self, name: str = "out") -> str:
        return self.formula(self.builder.resolve(self.builder.outputs[name]))


Build = Callable[[Drafts], Edge]


def rewritten(rule: str, build: Build) -> tuple[str, str, int]:
    """The formula before and after one rule, and how often it applied."""
    graph = Drafts()
    graph.builder.outputs["out"] = build(graph)
    before = graph.output()
    sweep(graph.builder, (RULES[rule],))
    graph.builder.order()
    return (
        before,
        graph.output(),
        len([name for name, _ in graph.builder.rewritten if name == rule]),
    )


RULES: dict[str, Rule] = {rule.__name__: rule for rule in (*FIRST, *SECOND)}


def layer_norm(g: Drafts, sliced: bool = False) -> Edge:
    x = take(g.input("x", 4, 8), 0, range(2)) if sliced else g.input("x", 2, 8)
    mean = g.op("ReduceMean", x, shape=(2,), axes=(-1,))
    centred = g.op("Add", x, affine(reshape(mean, (2, 1)), -1.0, 0.0))
    square = g.op("Pow", centred, exponent=2.0)
    variance = affine(g.op("ReduceMean", square, shape=(2,), axes=(-1,)), 1.0, 1e-5)
    return g.op("Mul", centred, reshape(g.op("Pow", variance, exponent=-0.5), (2, 1)))


def batch_normed(g, batch):
    rows = transpose(g.input("x", batch, 4, 9), (1, 0, 2))
    attrs = {"epsilon": 1e-5, "axis": -1, "correction": 0.0}
    return g.op("LayerNormalization", reshape(rows, (4, batch * 9)), None, None, **attrs)


def rows_normed(g: Drafts, *shape: int) -> Edge:
    x = g.input("x", 2, 4, 9)
    norm = g.op("LayerNormalization", x, None, None, epsilon=1e-5, axis=-1, correction=0)
    weight = reshape(g.parameter("w", max(shape)), shape)
    return g.op("Mul", norm, weight, shape=(2, 4, 9))


def frozen(g: Drafts, epsilon: float = 1e-5) -> Edge:
    """As detection models freeze a batch norm: x * s + (b - m * s), s = w * (v + epsilon) ** -0.5,
    each by channel."""
    weight, bias, mean, spread = (g.parameter(name, 4) for name in "wbmv")
    factor = g.op("Mul", weight, g.op("Pow", affine(spread, 1.0, epsilon), exponent=-0.5))
    shift = g.op("Add", bias, affine(g.op("Mul", mean, factor), -1.0, 0.0))
    data = g.op("Mul", g.input("x", 2, 4, 3), reshape(factor, (1, 4, 1)), shape=(2, 4, 3))
    return g.op("Add", data, reshape(shift, (1, 4, 1)), shape=(2, 4, 3))


def normed_by_hand(g: Drafts) -> Edge:
    """(x - m) * s + b."""
    weight, bias, mean, spread = (g.parameter(name, 1, 4, 1) for name in "wbmv")
    factor = g.op("Mul", g.op("Pow", affine(spread, 1.0, 1e-3), exponent=-0.5), weight)
    centred = g.op("Add", g.input("x", 2, 4, 3), affine(mean, -1.0, 0.0), shape=(2, 4, 3))
    return g.op("Add", g.op("Mul", centred, factor, shape=(2, 4, 3)), bias, shape=(2, 4, 3))


def rms_norm(g: Drafts, axis_rows: bool = True) -> Edge:
    x = g.input("x", 4, 4)
    square = g.op("Pow", x, exponent=2.0)
    mean = affine(g.op("ReduceMean", square, shape=(4,), axes=(-1,)), 1.0, 1e-6)
    root = g.op("Pow", mean, exponent=-0.5)
    return g.op("Mul", x, reshape(root, (4, 1) if axis_rows else (1, 4)))


def softmax(g: Drafts, axis_rows: bool = True) -> Edge:
    x = affine(g.input("x", 4, 4), 2.0, 0.0)
    largest = reshape(g.op("ReduceMax", x, shape=(4,), axes=(-1,)), (4, 1))
    powers = g.op("Exp", g.op("Add", x, affine(largest, -1.0, 0.0)))
    inverse = g.op("Pow", g.op("ReduceSum", powers, shape=(4,), axes=(-1,)), exponent=-1.0)
    return g.op("Mul", powers, reshape(inverse, (4, 1) if axis_rows else (1, 4)))


def gelu(g: Drafts, inside: float = math.sqrt(0.5)) -> Edge:
    x = g.input("x", 4)
    return g.op("Mul", x, affine(g.op("Erf", affine(x, inside, 0.0)), 1.0, 1.0))


def convolution(g: Drafts, x: Edge, *weight: int, shape: Sequence[int], count: int = 2) -> Edge:
    pads, ones = (0,) * 2 * count, (1,) * count
    return g.op(
        "Conv",
        x,
        g.parameter("w", *weight),
        shape=shape,
        strides=ones,
        pads=pads,
        dilations=ones,
        group=1,
    )


def padded(g: Drafts, value: float = 0.0) -> Edge:
    x = g.input("x", 1, 3, 4, 4)
    pads = (0, 0, 1, 1, 0, 0, 1, 1)
    return g.op("Pad", x, shape=(1, 3, 6, 6), mode="constant", pads=pads, value=value)


def masked(g: Drafts, hidden: float = -1e9) -> Edge:
    keep = g.input("keep", 2, 4, dtype="bool")
    chosen = g.op("Where", keep, g.input("x", 2, 4), g.constant(np.float32(hidden)))
    return g.op("Softmax", chosen, axis=-1)


def drawn(g: Drafts, op: str = "RandomUniform", **attrs: float) -> Edge:
    draw = g.builder.add(op, (), attrs, (TensorType((4,), F),))
    draw.varies = True
    return g.builder.read(draw)


def product_of_inputs(g: Drafts) -> Edge:
    return g.op("MatMul", g.input("x", 2, 3, 4), g.input("y", 2, 4, 5), shape=(2, 3, 5))


def turned_softmax(g: Drafts) -> Edge:
    return g.op("Softmax", transpose(product_of_inputs(g), (0, 2, 1)), axis=-1)


def three(g: Drafts, rows: int, *, shift: float = 0.0) -> Edge:
    """q (k v) with as many rows of q and v, 4 features each."""
    q, k, v = g.input("q", rows, 4), g.input("k", 4, rows), g.input("v", rows, 4)
    inner = g.op("MatMul", k, v, shape=(4, 4))
    return g.op("MatMul", q, affine(inner, 2.0, shift), shape=(rows, 4))


def uniform(g: Drafts, high: float = 1.0) -> Edge:
    return g.op("Floor", affine(drawn(g), high, 0.9))


def rounded_up(g: Drafts) -> Edge:
    return g.op("Ceil", affine(drawn(g), 1.0, -0.25))


def above(g: Drafts, high: float = 1.0) -> Edge:
    return g.op("Greater", affine(drawn(g), high, 0.0), g.constant(np.float32(0.25)))


def ones_dropped(g: Drafts, number: float = 1.0) -> Edge:
    return g.op("Dropout", g.constant(np.full(4, number, np.float32)), ratio=0.5)


def true_coin(g: Drafts, to: str = "bool") -> Edge:
    return g.op("Where", g.op("Cast", drawn(g, "Bernoulli", p=0.5), to=to), g.input("x", 4), None)


def kept_by_coin(g: Drafts, op: str = "Mul", rows: int = 1) -> Edge:
    x = g.input("x", rows, 4) if rows > 1 else g.input("x", 4)
    coin = expand(drawn(g, "Bernoulli", p=0.5), shape_of(x))
    operands = (affine(x, 2.0, 0.0), coin) if op == "Mul" else (coin, x, g.constant(np.zeros(())))
    return g.op(op, *operands, shape=shape_of(x))


def filled_by_coin(g: Drafts, fill: float = 0.0) -> Edge:
    coin = drawn(g, "Bernoulli", p=0.25)
    return g.op("Where", coin, g.constant(np.full((), fill)), g.input("x", 4), shape=(4,))


def taken_from_one(g: Drafts, shift: float = 2.0) -> Edge:
    dropped = affine(drawn(g, "Bernoulli", p=0.25), -2.0, shift)
    return g.op("Mul", g.input("x", 4), dropped, shape=(4,))


def compared(g: Drafts, op: str, bound: float) -> Edge:
    return g.op("Relu", g.op(op, drawn(g, "Bernoulli", p=0.25), g.constant(np.array(bound))))


def turned_over(g: Drafts, scale: float = 1.0) -> Edge:
    coin = affine(drawn(g, "Bernoulli", p=0.25), scale, 0.0)
    return g.op("Relu", g.op("Not", coin))


def concat(g: Drafts, *parts: Edge, axis: int = 0) -> Edge:
    shape = list(shape_of(parts[0]))
    shape[axis] = sum(shape_of(part)[axis] for part in parts)
    return g.op("Concat", *parts, shape=shape, axis=axis)


def linear(g: Drafts) -> Edge:
    x, weight = g.input("x", 2, 4), g.parameter("w", 4, 3)
    return g.op("Linear", x, weight, None, shape=(2, 3))


APPLIES: list[tuple[str, Build, str]] = [
    (
        "where_of_constant",
        lambda g: g.op("Where", g.constant(True), g.input("x", 4), g.input("y", 4), shape=(4,)),
        "x",
    ),
    ("bernoulli_from_uniform", uniform, "Bernoulli(p=0.9)"),
    ("bernoulli_from_uniform", above, "Bernoulli(p=0.75)"),
    ("bernoulli_from_uniform", lambda g: above(g, 2.0), "Bernoulli(p=0.875)"),
    ("coin_as_truth", true_coin, "Where(Bernoulli(p=0.5), x, -)"),
    ("dropout_of_constant", ones_dropped, "2 * Bernoulli(p=0.5)"),
    ("filled_by_coin", filled_by_coin, "Where(Bernoulli(p=0.75), x, constant)"),
    ("coin_turned_over", turned_over, "Relu(Bernoulli(p=0.75))"),
    ("coin_taken_from_one", taken_from_one, "Mul(x, 2 * Bernoulli(p=0.75))"),
    ("coin_compared", lambda g: compared(g, "Equal", 0.0), "Relu(Bernoulli(p=0.75))"),
    ("coin_compared", lambda g: compared(g, "Greater", 0.5), "Relu(Bernoulli(p=0.25))"),
    ("bernoulli_from_uniform", rounded_up, "Bernoulli(p=0.75)"),
    ("dropout_by_coin", kept_by_coin, "0.5 * Dropout(2 * x, ratio=0.5)"),
    ("dropout_by_coin", lambda g: kept_by_coin(g, "Where"), "0.5 * Dropout(x, ratio=0.5)"),
    (
        "part_of_concat",
        lambda g: g.op("Relu", take(concat(g, g.input("x", 2), g.input("y", 3)), 0, range(2, 5))),
        "Relu(y)",
    ),
    (
        "reduction_of_one",
        lambda g: g.op("ReduceMean", g.input("x", 3, 1), shape=(3,), axes=(-1,)),
        "x",
    ),
    (
        "matmul_with_parameter",
        lambda g: g.op("MatMul", g.input("x", 2, 4), g.parameter("w", 4, 3), shape=(2, 3)),
        "Linear(x, w, -)",
    ),
    (
        "convolution_of_one_element",
        lambda g: convolution(g, g.input("x", 2, 4, 1, 1), 3, 4, 1, 1, shape=(2, 3, 1, 1)),
        "Linear(x, view(w), -)",
    ),
    (
        "convolution_of_fewer_axes",
        lambda g: convolution(g, g.input("x", 2, 4, 1, 9), 3, 4, 1, 3, shape=(2, 3, 1, 7)),
        "Conv(x, w, strides=(1,), pads=(0, 0), dilations=(1,), group=1)",
    ),
    (
        "zero_padding_into_window",
        lambda g: convolution(g, padded(g), 2, 3, 3, 3, shape=(1, 2, 4, 4)),
        "Conv(x, w, strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), group=1)",
    ),
    (
        "bias_into_product",
        lambda g: g.op("Add", linear(g), reshape(g.parameter("b", 3), (1, 3))),
        "Linear(x, w, b)",
    ),
    (
        "x_times_sigmoid",
        lambda g: g.op("Mul", x := g.input("x", 4), g.op("Sigmoid", affine(x, 1.702, 0.0))),
        "Swish(x, alpha=1.702)",
    ),
    (
        "x_times_hard_sigmoid",
        lambda g: g.op("Mul", x := g.input("x", 4), g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
        "HardSwish(x)",
    ),
    (
        "product_of_equals",
        lambda g: g.op("Mul", x := g.input("x", 4), x),
        "Pow(x, exponent=2)",
    ),
    (
        "scale_out_of_matmul",
        lambda g: g.op(
            "MatMul",
            affine(g.input("x", 2, 4), 2.0, 0.0),
            affine(g.input("y", 4, 3), 3.0, 0.0),
            shape=(2, 3),
        ),
        "6 * MatMul(x, y)",
    ),
    (
        "scale_out_of_elementwise",
        lambda g: g.op("Mul", affine(g.input("x", 4), 2.0, 0.0), affine(g.input("y", 4), 4.0, 2.0)),
        "8 * Mul(x, y + 0.5)",
    ),
    (
        "scale_out_of_elementwise",
        lambda g: g.op("Relu", affine(g.input("x", 4), 2.0, 0.0)),
        "2 * Relu(x)",
    ),
    (
        "scale_out_of_elementwise",
        lambda g: g.op("Pow", affine(g.input("x", 4), -3.0, 0.0), exponent=2.0),
        "9 * Pow(x, exponent=2)",
    ),
    (
        "scale_out_of_product",
        lambda g: g.op(
            "Linear",
            affine(g.input("x", 2, 4), -2.0, 0.0),
            g.parameter("w", 4, 3),
            None,
            shape=(2, 3),
        ),
        "-2 * Linear(x, w, -)",
    ),
    (
        "clip_unscaled",
        lambda g: g.op("Clip", affine(g.input("x", 4), 2.0, 6.0), min=0.0, max=6.0),
        "2 * Clip(x + 3, min=0, max=3)",
    ),
    (
        "composed_hard_sigmoid",
        lambda g: g.op("Clip", affine(g.input("x", 4), 1.0, 3.0), min=0.0, max=6.0),
        "6 * HardSigmoid(x, alpha=0.1667, beta=0.5)",
    ),
    (
        "power_of_power",
        lambda g: g.op("Pow", g.op("Pow", g.input("x", 4), exponent=0.5), exponent=-1.0),
        "Pow(x, exponent=-0.5)",
    ),
    ("composed_gelu", gelu, "2 * Gelu(x, approximate=none)"),
    (
        "composed_layer_norm",
        layer_norm,
        "LayerNormalization(x, -, -, epsilon=1e-05, axis=-1, correction=0)",
    ),
    (
        "composed_layer_norm",
        lambda g: layer_norm(g, sliced=True),
        "LayerNormalization(view(x), -, -, epsilon=1e-05, axis=-1, correction=0)",
    ),
    (
        "channel_parameter_into_norm",
        lambda g: rows_normed(g, 1, 4, 1),
        "InstanceNormalization(x, w, -, epsilon=1e-05)",
    ),
    (
        "norm_over_batch",
        lambda g: batch_normed(g, 4),
        "view(BatchNormalization(x, -, -, -, -, epsilon=1e-05, training=True))",
    ),
    (
        "composed_batch_norm",
        frozen,
        "BatchNormalization(x, w, b, m, v, epsilon=1e-05, training=False)",
    ),
    (
        "composed_batch_norm",
        normed_by_hand,
        "BatchNormalization(x, w, b, m, v, epsilon=0.001, training=False)",
    ),
    ("composed_rms_norm", rms_norm, "RMSNormalization(x, -, epsilon=1e-06, axis=-1)"),
    ("composed_softmax", softmax, "Softmax(2 * x, axis=-1)"),
    (
        "scale_and_bias_into_norm",
        lambda g: g.op(
            "Mul",
            g.op("RMSNormalization", g.input("x", 2, 8), None, epsilon=1e-6, axis=-1),
            reshape(g.parameter("w", 8), (1, 8)),
        ),
        "RMSNormalization(x, w, epsilon=1e-06, axis=-1)",
    ),
    (
        "concat_of_one_source",
        lambda g: concat(g, take(x := g.input("x", 4, 2), 0, range(2, 4)), take(x, 0, range(2))),
        "view(x)",
    ),
    (
        "zero_padding_into_view",
        padded,
        "view(x)",
    ),
    (
        "nested_sum_or_product",
        lambda g: g.op(
            "Add", g.input("x", 4), affine(g.op("Add", g.input("y", 4), g.input("z", 4)), 2.0, 1.0)
        ),
        "Add(x, 2 * y + 1, 2 * z)",
    ),
    (
        "shift_out_of_sum",
        lambda g: g.op("Add", affine(g.input("x", 4), 1.0, 2.0), affine(g.input("y", 4), 1.0, 3.0)),
        "Add(x, y) + 5",
    ),
    (
        "concat_of_concat",
        lambda g: concat(g, concat(g, g.input("x", 2), g.input("y", 2)), g.input("z", 2)),
        "Concat(x, y, z, axis=0)",
    ),
    (
        "product_read_turned",
        turned_softmax,
        "Softmax(MatMul(view(y), view(x)), axis=-1)",
    ),
    ("cheaper_product", lambda g: three(g, 2), "MatMul(MatMul(q, 2 * k), v)"),
    (
        "cheaper_product",
        lambda g: g.op(
            "MatMul",
            g.op("MatMul", g.input("q", 9, 4), g.input("k", 4, 9), shape=(9, 9)),
            g.input("v", 9, 4),
            shape=(9, 4),
        ),
        "MatMul(q, MatMul(k, v))",
    ),
    (
        "shift_of_softmax",
        lambda g: g.op("LogSoftmax", affine(g.input("x", 2, 4), 1.0, 3.0), axis=-1),
        "LogSoftmax(x, axis=-1)",
    ),
    ("mask_into_softmax", masked, "Softmax(x, keep, axis=-1)"),
    (
        "mask_into_softmax",
        lambda g: g.op(
            "Softmax",
            g.op("Add", g.input("x", 2, 4), g.input("mask", 2, 4, dtype="int64")),
            axis=-1,
        ),
        "Softmax(x, mask, axis=-1)",
    ),
    (
        "least_operands",
        lambda g: g.op("Add", g.input("x", 2, 4), expand(g.parameter("b", 1, 4), (2, 4))),
        "Add(x, b)",
    ),
]
"""Rule, graph, formula afterwards."""

REFUSES: list[tuple[str, str, Build]] = [
    (
        "a condition that data decides",
        "where_of_constant",
        lambda g: g.op("Where", g.input("c", 4, dtype="bool"), g.input("x", 4), g.input("y", 4)),
    ),
    ("another range", "bernoulli_from_uniform", lambda g: uniform(g, 2.0)),
    ("a draw turned over", "bernoulli_from_uniform", lambda g: above(g, -1.0)),
    ("another type", "coin_as_truth", lambda g: true_coin(g, "int8")),
    ("a coin of several elements", "dropout_by_coin", lambda g: kept_by_coin(g, rows=2)),
    ("another filling than zero", "filled_by_coin", lambda g: filled_by_coin(g, 1.0)),
    ("a rest at the coin's one", "coin_taken_from_one", lambda g: taken_from_one(g, 2.5)),
    ("what holds of neither", "coin_compared", lambda g: compared(g, "Equal", 0.5)),
    ("a coin with a scale", "coin_turned_over", lambda g: turned_over(g, 2.0)),
    ("a dropout of zeros", "dropout_of_constant", lambda g: ones_dropped(g, 0.0)),
    (
        "a reading across parts",
        "part_of_concat",
        lambda g: g.op("Relu", take(concat(g, g.input("x", 2), g.input("y", 3)), 0, range(1, 4))),
    ),
    (
        "two elements",
        "reduction_of_one",
        lambda g: g.op("ReduceMean", g.input("x", 3, 2), shape=(3,), axes=(-1,)),
    ),
    (
        "a product of data",
        "matmul_with_parameter",
        lambda g: g.op("MatMul", g.input("x", 2, 4), g.input("y", 4, 3), shape=(2, 3)),
    ),
    (
        "a larger image",
        "convolution_of_one_element",
        lambda g: convolution(g, g.input("x", 2, 4, 2, 2), 3, 4, 1, 1, shape=(2, 3, 2, 2)),
    ),
    (
        "axes that are some",
        "convolution_of_fewer_axes",
        lambda g: convolution(g, g.input("x", 2, 4, 5, 9), 3, 4, 1, 3, shape=(2, 3, 5, 7)),
    ),
    (
        "padding with another number",
        "zero_padding_into_window",
        lambda g: convolution(g, padded(g, 1.0), 2, 3, 3, 3, shape=(1, 2, 4, 4)),
    ),
    (
        "a summand of rows",
        "bias_into_product",
        lambda g: g.op("Add", linear(g), g.parameter("b", 2, 1), shape=(2, 3)),
    ),
    (
        "a gate of another value",
        "x_times_sigmoid",
        lambda g: g.op("Mul", g.input("x", 4), g.op("Sigmoid", g.input("y", 4))),
    ),
    (
        "another slope",
        "x_times_hard_sigmoid",
        lambda g: g.op("Mul", x := g.input("x", 4), g.op("HardSigmoid", x, alpha=0.2, beta=0.5)),
    ),
    (
        "unequal operands",
        "product_of_equals",
        lambda g: g.op("Mul", g.input("x", 4), g.input("y", 4)),
    ),
    (
        "a shifted operand",
        "scale_out_of_matmul",
        lambda g: g.op(
            "MatMul", affine(g.input("x", 2, 4), 2.0, 1.0), g.input("y", 4, 3), shape=(2, 3)
        ),
    ),
    (
        "a negative factor of a rectifier",
        "scale_out_of_elementwise",
        lambda g: g.op("Relu", affine(g.input("x", 4), -2.0, 0.0)),
    ),
    (
        "a product with a bias",
        "scale_out_of_product",
        lambda g: g.op(
            "Linear",
            affine(g.input("x", 2, 4), 2.0, 0.0),
            g.parameter("w", 4, 3),
            g.parameter("b", 3),
            shape=(2, 3),
        ),
    ),
    (
        "a negative factor",
        "clip_unscaled",
        lambda g: g.op("Clip", affine(g.input("x", 4), -2.0, 6.0), min=0.0, max=6.0),
    ),
    (
        "no shift",
        "composed_hard_sigmoid",
        lambda g: g.op("Clip", g.input("x", 4), min=0.0, max=6.0),
    ),
    (
        "a sign that would come back",
        "power_of_power",
        lambda g: g.op("Pow", g.op("Pow", g.input("x", 4), exponent=2.0), exponent=0.5),
    ),
    ("another constant", "composed_gelu", lambda g: gelu(g, 0.5)),
    (
        "no statistic",
        "composed_layer_norm",
        lambda g: g.op("Mul", g.input("x", 2), g.input("y", 2)),
    ),
    ("one number a place", "channel_parameter_into_norm", lambda g: rows_normed(g, 1, 1, 9)),
    ("a batch of one", "norm_over_batch", lambda g: batch_normed(g, 1)),
    ("no epsilon", "composed_batch_norm", lambda g: frozen(g, 0.0)),
    ("a statistic of columns", "composed_rms_norm", lambda g: rms_norm(g, axis_rows=False)),
    ("a sum of columns", "composed_softmax", lambda g: softmax(g, axis_rows=False)),
    (
        "one number a row",
        "scale_and_bias_into_norm",
        lambda g: g.op(
            "Mul",
            g.op("RMSNormalization", g.input("x", 8, 8), None, epsilon=1e-6, axis=-1),
            g.parameter("w", 8, 1),
        ),
    ),
    (
        "two sources",
        "concat_of_one_source",
        lambda g: concat(g, g.input("x", 2), g.input("y", 2)),
    ),
    ("another number", "zero_padding_into_view", lambda g: padded(g, 1.0)),
    (
        "a sum inside a product",
        "nested_sum_or_product",
        lambda g: g.op("Mul", g.input("x", 4), g.op("Add", g.input("y", 4), g.input("z", 4))),
    ),
    ("no shift", "shift_out_of_sum", lambda g: g.op("Add", g.input("x", 4), g.input("y", 4))),
    (
        "a turn of other axes",
        "product_read_turned",
        lambda g: g.op("Exp", transpose(product_of_inputs(g), (2, 1, 0))),
    ),
    (
        "a softmax over another axis",
        "product_read_turned",
        lambda g: g.op("Exp", transpose(turned_softmax(g), (0, 2, 1))),
    ),
    ("the dearer one", "cheaper_product", lambda g: three(g, 9)),
    ("a shift between", "cheaper_product", lambda g: three(g, 2, shift=1.0)),
    (
        "another axis",
        "concat_of_concat",
        lambda g: concat(
            g,
            concat(g, g.input("x", 2, 2), g.input("y", 2, 2), axis=1),
            g.input("z", 2, 4),
        ),
    ),
    (
        "a factor",
        "shift_of_softmax",
        lambda g: g.op("Softmax", affine(g.input("x", 2, 4), 2.0, 0.0), axis=-1),
    ),
    ("a filling that hides nothing", "mask_into_softmax", lambda g: masked(g, -1.0)),
    (
        "an operand that changes along every axis",
        "least_operands",
        lambda g: g.op("Add", g.input("x", 2, 4), transpose(g.input("y", 4, 2), (1, 0))),
    ),
]
"""Why, rule, graph."""


@pytest.mark.parametrize(("rule", "build", "after"), APPLIES, ids=[case[0] for case in APPLIES])
def test_leaves(rule: str, build: Build, after: str) -> None:
    before, rewrite, count = rewritten(rule, build)
    assert (rewrite, count) == (after, 1) and before != after


@pytest.mark.parametrize(
    ("rule", "build"), [case[1:] for case in REFUSES], ids=[f"{c[1]}: {c[0]}" for c in REFUSES]
)
def test_refuses(rule: str, build: Build) -> None:
    before, after, count = rewritten(rule, build)
    assert (after, count) == (before, 0)


def test_every_rule_is_tested() -> None:
    assert RULES.keys() == {case[0] for case in APPLIES} == {case[1] for case in REFUSES}
