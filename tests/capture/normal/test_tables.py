"""The operator tables cover what occurs, and their rows keep to the schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.traits import (
    attributes_equal,
    differing_attributes,
    told_by_view,
    traits,
)
from padiff_graph.capture.normal.translate import table_of
from tests.models.graph_maker import Maker, names, operations, the

VOCABULARY = json.loads(
    (Path(__file__).parents[3] / "benchmarks" / "pairs" / "vocabulary.json").read_text()
)
OPAQUE = {
    "torch": {
        "aten.histc.default",
        "aten.cdist.default",
        "transformers.grouped_mm_fallback.default",
    },
    "paddle": {"pd_op.if", "pd_op.while", "pd_op.pylayer"},
}
"""Operators that stay themselves.

Counted by value, distances, and what holds a program of its own.
"""
INSIDE_CAPTURE = {
    "_operator.getitem",
    "wrap_with_set_grad_enabled",
    "builtin.parameter",
    "builtin.combine",
    "builtin.split",
    "pd_op.data",
    "cf.yield",
    "cf.stack_create",
    "cf.tuple_push",
}
"""What a capture takes apart before the tables see it."""


@pytest.mark.parametrize(
    ("framework", "lists"),
    [
        ("torch", ("aten_export_eval", "aten_export_train_only")),
        ("paddle", ("pd_op_eval", "pd_op_train_only")),
    ],
)
def test_every_operator_of_the_pairs_has_a_row(framework: str, lists: tuple[str, str]) -> None:
    table = table_of(framework)
    missing = set()
    for op in (op for part in lists for op in VOCABULARY[part]):
        name = op.partition(".")[2].partition(".")[0]
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        constant = plain in table.CONSTANTS or plain in getattr(table, "SHAPES", ())
        if table.row_of(op) is None and not constant and op not in INSIDE_CAPTURE:
            missing.add(op)
    assert missing == OPAQUE[framework]


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_an_unknown_operator_stays_as_it_is(framework: str) -> None:
    make = Maker(framework)
    x, y = make.input("x", (2, 3)), make.input("y", (2, 3))
    out = make.op(
        "vendor.strange_op", {"a": x, "list": [y, x]}, (2, 3), alpha=0.5, note="n", place=object()
    )
    graph = make.normal(out)
    (node,) = operations(graph)
    assert node.opaque and node.op == "vendor.strange_op"
    assert len(node.inputs) == 3 and dict(node.attrs) == {"alpha": 0.5, "note": "n"}


def test_a_row_that_cannot_say_it_stays_opaque() -> None:
    make = Maker("torch")
    x = make.input("x", (4, 6))
    graph = make.normal(
        make.op("aten.threshold.default", {"self": x}, (4, 6), threshold=1.0, value=3.0)
    )
    assert [node.opaque for node in operations(graph)] == [True]


def test_attributes_are_those_of_the_schema() -> None:
    for framework, make in (("torch", Maker("torch")), ("paddle", Maker("paddle"))):
        x = make.input("x", (2, 4, 8, 8))
        image = TensorType((2, 4, 4, 4), "float32")
        if framework == "torch":
            outs = [
                make.op(
                    "max_pool2d",
                    {"self": x},
                    image,
                    kernel_size=(2, 2),
                    stride=(),
                    padding=(0, 0),
                    dilation=(1, 1),
                    ceil_mode=False,
                ),
                make.op(
                    "avg_pool2d",
                    {"self": x},
                    image,
                    kernel_size=(2, 2),
                    stride=(2, 2),
                    padding=(0, 0),
                    ceil_mode=False,
                    count_include_pad=True,
                    divisor_override=None,
                ),
                make.op("softmax", {"self": x}, (2, 4, 8, 8), dim=1),
                make.op("mean", {"self": x}, (2, 8), dim=(1, -1), keepdim=False),
                make.op("gelu", {"self": x}, (2, 4, 8, 8), approximate="none"),
                make.op("cumsum", {"self": x}, (2, 4, 8, 8), dim=-1),
            ]
        else:
            outs = [
                make.op(
                    "pool2d",
                    {"x": x, "kernel_size": make.numbers((2, 2))},
                    image,
                    strides=(2, 2),
                    paddings=(0, 0),
                    ceil_mode=False,
                    exclusive=True,
                    data_format="NCHW",
                    pooling_type="max",
                    global_pooling=False,
                    adaptive=False,
                    padding_algorithm="EXPLICIT",
                ),
                make.op(
                    "pool2d",
                    {"x": x, "kernel_size": make.numbers((2, 2))},
                    image,
                    strides=(2, 2),
                    paddings=(0, 0),
                    ceil_mode=False,
                    exclusive=True,
                    data_format="NCHW",
                    pooling_type="avg",
                    global_pooling=False,
                    adaptive=False,
                    padding_algorithm="EXPLICIT",
                ),
                make.op("softmax", {"x": x}, (2, 4, 8, 8), axis=-3),
                make.op("mean", {"x": x}, (2, 8), axis=(1, 3), keepdim=False),
                make.op("gelu", {"x": x}, (2, 4, 8, 8), approximate=False),
                make.op(
                    "cumsum",
                    {"x": x, "axis": make.number(-1, "int32")},
                    (2, 4, 8, 8),
                    flatten=False,
                    exclusive=False,
                    reverse=False,
                ),
            ]
        graph = make.normal(*outs)
        found = operations(graph)
        assert sorted(names(graph)) == [
            "AveragePool",
            "CumSum",
            "Gelu",
            "MaxPool",
            "ReduceMean",
            "Softmax",
        ]
        for node in found:
            assert set(node.attrs) == set(traits(node.op).attributes), node
        if framework == "torch":
            first = {node.op: node for node in found}
        else:
            for node in found:
                assert differing_attributes(node.op, first[node.op].attrs, node.attrs) == ()
                assert node.inputs[0] is not None and first[node.op].inputs[0] is not None
                assert node.inputs[0].view.shape == first[node.op].inputs[0].view.shape


def test_attributes_compare_to_five_digits() -> None:
    assert attributes_equal(0.9, 0.8999999761581421)
    assert attributes_equal(1e-5, 9.999999747378752e-06)
    assert attributes_equal((1, 2.0), [1, 2])
    assert attributes_equal(float("nan"), float("nan"))
    assert not attributes_equal(1e-5, 1e-6)
    assert not attributes_equal(0.1, 0.0999)
    assert not attributes_equal((1, 2), (1, 2, 3))
    assert not attributes_equal(True, 1)
    assert not attributes_equal(None, 0)
    assert attributes_equal(None, None) and attributes_equal("tanh", "tanh")
    assert differing_attributes("Softmax", {"axis": -1}, {"axis": -2}) == () and told_by_view(
        "ReduceMean", "axes"
    )
    assert differing_attributes("Concat", {"axis": 1}, {"axis": 2}) == ("axis",)
    assert differing_attributes("Gelu", {"approximate": "none"}, {}) == ("approximate",)


def test_momentum_is_the_weight_of_the_new_value() -> None:
    found = []
    for framework in ("torch", "paddle"):
        make = Maker(framework, training=True)
        x = make.input("x", (2, 3, 4, 4))
        scale, bias = make.parameter("scale", (3,)), make.parameter("bias", (3,))
        mean, variance = (
            make.parameter("mean", (3,), buffer=True),
            make.parameter("variance", (3,), buffer=True),
        )
        kinds = [
            TensorType((2, 3, 4, 4), "float32"),
            TensorType((3,), "float32"),
            TensorType((3,), "float32"),
        ]
        if framework == "torch":
            out = make.op(
                "batch_norm",
                {
                    "input": x,
                    "weight": scale,
                    "bias": bias,
                    "running_mean": mean,
                    "running_var": variance,
                },
                kinds,
                training=True,
                momentum=0.1,
                eps=1e-5,
                cudnn_enabled=True,
            )
        else:
            out = make.op(
                "pd_op.batch_norm_",
                {"x": x, "mean": mean, "variance": variance, "scale": scale, "bias": bias},
                kinds,
                is_test=False,
                momentum=0.8999999761581421,
                epsilon=9.999999747378752e-06,
                data_format="NCHW",
                use_global_stats=False,
                trainable_statistics=False,
            )
        graph = make.normal(out, updates={"mean": type(out)(out.node, 1)})
        node = the(graph, "BatchNormalization")
        assert [graph.nodes[edge.source].name for edge in node.inputs if edge is not None] == [
            "x",
            "scale",
            "bias",
            "mean",
            "variance",
        ]
        assert list(graph.updates) == ["mean"] and graph.updates["mean"].output == 1
        found.append(node.attrs)
    assert differing_attributes("BatchNormalization", *found) == ()
    assert found[0]["momentum"] == 0.1
