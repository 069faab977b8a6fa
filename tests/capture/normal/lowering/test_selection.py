"""Rows that are chosen by constants, and what is copied over the batch."""

from __future__ import annotations

import numpy as np

from tests.models.graph_maker import Maker, names, operations, reads, the
from tests.models.spelled import BOTH, add


@BOTH
def test_rows_gathered_one_by_one_are_one_movement(framework: str) -> None:
    make = Maker(framework)
    table = make.parameter("table", (4, 9))
    parts = []
    for row in ([0, 3, 5], [1, 1, 8]):
        rows = make.constant(np.array(row))
        operands = (
            {"self": table, "index": rows} if framework == "torch" else {"x": table, "index": rows}
        )
        parts.append(
            make.op(
                "index_select", operands, (4, 3), **{"dim" if framework == "torch" else "axis": 1}
            )
        )
    if framework == "torch":
        both = make.op("stack", {"tensors": parts}, (4, 2, 3), dim=1)
    else:
        both = make.op("stack", {"x": parts}, (4, 2, 3), axis=1)
    graph = make.normal(add(make, make.input("x", (4, 2, 3)), both, (4, 2, 3)))
    (node,) = operations(graph)
    edge = next(edge for edge in node.inputs if reads(graph, edge).op == "Parameter")
    expected = np.arange(36).reshape(4, 9)[:, [[0, 3, 5], [1, 1, 8]]]
    assert (
        np.array_equal(edge.view.indices().reshape(4, 2, 3), expected)
        and len(edge.view.stages) == 1
    )


@BOTH
def test_rows_chosen_by_constants_are_movement(framework: str) -> None:
    make = Maker(framework)
    table, rows = make.parameter("table", (10, 4)), make.constant(np.array([[2, 3, 4], [2, 3, 4]]))
    operands = (
        {"weight": table, "indices": rows} if framework == "torch" else {"x": rows, "weight": table}
    )
    y = make.op("embedding", operands, (2, 3, 4), padding_idx=-1)
    graph = make.normal(add(make, make.input("x", (2, 3, 4)), y, (2, 3, 4)))
    (node,) = operations(graph)
    edge = next(edge for edge in node.inputs if reads(graph, edge).op == "Parameter")
    assert edge.view.shape == (1, 3, 4) and edge.view.indices().tolist() == list(range(8, 20))
    make = Maker(framework)
    table, rows = make.parameter("table", (10, 4)), make.input("rows", (2, 3), "int64")
    operands = (
        {"weight": table, "indices": rows} if framework == "torch" else {"x": rows, "weight": table}
    )
    graph = make.normal(make.op("embedding", operands, (2, 3, 4), padding_idx=0))
    assert the(graph, "Gather").attrs == {
        "axis": 0,
        "padding_idx": 0,
        "scale_grad_by_freq": False,
    }


@BOTH
def test_an_operand_copied_over_the_batch_reads_as_it_is(framework: str) -> None:
    make = Maker(framework)
    x, b = make.input("x", (2, 3, 4)), make.parameter("b", (1, 3, 4))
    if framework == "torch":
        wide = make.op("cat", {"tensors": [b, b]}, (2, 3, 4), dim=0)
    else:
        wide = make.op("concat", {"x": [b, b], "axis": make.number(0, "int32")}, (2, 3, 4))
    graph = make.normal(add(make, x, wide, (2, 3, 4)))
    assert names(graph) == ["Add"] and [edge.view.shape for edge in the(graph, "Add").inputs] == [
        (2, 3, 4),
        (1, 3, 4),
    ]
