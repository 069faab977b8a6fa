"""What is added before a softmax: masks, and what is none."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.graph import TensorType
from tests.models.graph_maker import Maker, names, operations, reads, the
from tests.models.spelled import BOTH, add, call


@BOTH
def test_masks_are_operands_of_the_softmax(framework: str) -> None:
    make = Maker(framework)
    x, ids = make.input("x", (2, 4, 5, 5)), make.input("ids", (2, 1, 1, 5), "int64")
    kind = TensorType((2, 1, 1, 5), "bool")
    if framework == "torch":
        hidden = make.op("aten.eq.Scalar", {"self": ids}, kind, other=0)
        y = make.op("masked_fill", {"self": x, "mask": hidden}, (2, 4, 5, 5), value=-1e9)
    else:
        hidden = make.op("equal", {"x": ids, "y": make.constant(np.array(0))}, kind)
        as_float = make.op("cast", {"x": hidden}, (2, 1, 1, 5), dtype="float32")
        low = make.op(
            "scale",
            {"x": as_float, "scale": make.number(-1e4)},
            (2, 1, 1, 5),
            bias=0.0,
            bias_after_scale=True,
        )
        y = make.op("add", {"x": x, "y": low}, (2, 4, 5, 5))
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 5, 5),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Equal", "Softmax"]
    assert [reads(graph, edge).op for edge in the(graph, "Softmax").inputs] == ["Input", "Equal"]


@BOTH
def test_masks_added_before_and_behind_a_reshape_are_operands_of_the_softmax(
    framework: str,
) -> None:
    """Positions added where heads are folded into the batch, the mask where they are not."""
    make = Maker(framework)
    positions = make.constant(np.arange(24, dtype=np.float32).reshape(8, 1, 3) / 7)
    mask = make.constant(np.triu(np.full((1, 1, 3, 3), -1e9, np.float32), 1))
    y = add(make, make.input("x", (8, 3, 3)), positions, (8, 3, 3))
    y = (
        make.op("view", {"self": y}, (2, 4, 3, 3), size=(2, 4, 3, 3))
        if framework == "torch"
        else make.op("reshape", {"x": y, "shape": make.numbers((2, 4, 3, 3))}, (2, 4, 3, 3))
    )
    y = add(make, y, mask, (2, 4, 3, 3))
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 3, 3),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Softmax"]
    assert sorted(edge.view.shape for edge in the(graph, "Softmax").inputs if edge is not None) == [
        (1, 1, 3, 3),
        (2, 4, 1, 3),
        (2, 4, 3, 3),
    ]


@BOTH
def test_a_learned_bias_before_the_softmax_is_no_mask(framework: str) -> None:
    make = Maker(framework)
    y = add(make, make.input("x", (2, 4, 5, 5)), make.parameter("table", (4, 5, 5)), (2, 4, 5, 5))
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 5, 5),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Add", "Softmax"]


@BOTH
def test_a_bias_that_brings_its_mask_to_several_softmaxes(framework: str) -> None:
    make = Maker(framework)
    axis = {"dim" if framework == "torch" else "axis": -1}
    shape, visible = (2, 4, 5, 5), np.tril(np.ones((1, 1, 5, 5), bool))
    scores = [make.input(name, shape) for name in "ab"]
    table = make.parameter("table", (1, 4, 5, 5))
    if framework == "torch":
        bias = make.op(
            "aten.where.self",
            {
                "condition": make.constant(visible),
                "self": table,
                "other": make.constant(np.array(-1e9, "float32")),
            },
            (1, 4, 5, 5),
        )
    else:
        bias = add(
            make, table, make.constant(np.where(visible, 0.0, -1e4).astype("float32")), (1, 4, 5, 5)
        )
    graph = make.normal(
        *(
            call(make, "softmax", "softmax", add(make, score, bias, shape), shape, **axis)
            for score in scores
        )
    )
    assert names(graph) == ["Add", "Softmax", "Add", "Softmax"]
    for node in operations(graph):
        if node.op == "Add":
            assert sorted(reads(graph, edge).op for edge in node.inputs) == ["Input", "Parameter"]
        else:
            assert [reads(graph, edge).op for edge in node.inputs] == ["Add", "Constant"]


@BOTH
def test_a_mask_of_zeros_is_no_mask(framework: str) -> None:
    make = Maker(framework)
    y = add(
        make,
        make.input("x", (2, 4, 5, 5)),
        make.constant(np.zeros((1, 1, 5, 5), "float32")),
        (2, 4, 5, 5),
    )
    graph = make.normal(
        call(
            make,
            "softmax",
            "softmax",
            y,
            (2, 4, 5, 5),
            **{"dim" if framework == "torch" else "axis": -1},
        )
    )
    assert names(graph) == ["Softmax"] and len(the(graph, "Softmax").inputs) == 1
