"""Two like operations of which one is subtracted from the other are told apart by the sign."""

import pytest
from synthetic import Graph

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.ladder import match

SHAPE = (2, 4)


def read(graph: Graph, node: int, scale: float) -> Edge:
    return Edge(node, 0, View.of(graph.shape(node)), scale)


def difference(
    order: str, subtracted: str, last: str, sign: float = 1.0, between: str = "", beside: str = ""
) -> NormalGraph:
    """`sign` * (one linear of x minus the other), then `last`; the linears in program order.

    `between` stands behind each of them, and what the other one is read as may be a third operand
    `beside`, or a product with one minus the subtracted."""
    graph = Graph()
    x = graph.leaf("Input", "x", *SHAPE)
    made = {}
    for name in order:
        weight = graph.parameter(f"{name}.weight", SHAPE[1], SHAPE[1])
        made[name] = graph.op("Linear", [x, weight], SHAPE, "")
    if between:
        made = {name: graph.op(between, [node], SHAPE, "") for name, node in made.items()}
    operands = [
        read(graph, node, -1.0 if name == subtracted else 1.0) for name, node in made.items()
    ]
    if beside == "x":
        operands.insert(1, read(graph, x, 1.0))
    if beside == "one":
        operands = [edge._replace(shift=1.0) if edge.scale < 0.0 else edge for edge in operands]
    total = graph.op("Mul" if beside == "one" else "Add", operands, SHAPE, "")
    return graph.finish(output=graph.op(last, [read(graph, total, sign)], SHAPE, ""))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (difference("ab", "a", "Tanh"), difference("ba", "a", "Sin")),
        (difference("ab", "a", "Tanh"), difference("ab", "b", "Sin", -1.0)),
        (difference("ab", "a", "Tanh", -1.0), difference("ab", "b", "Sin")),
        (difference("ab", "a", "Tanh", beside="x"), difference("ba", "a", "Sin", beside="x")),
        (difference("ab", "a", "Tanh", beside="x"), difference("ba", "a", "Tanh", beside="x")),
        (difference("ab", "a", "Tanh", 1.0, "Relu"), difference("ba", "a", "Sin", 1.0, "Relu")),
        (difference("ab", "a", "Tanh", 1.0, "Relu"), difference("ab", "b", "Sin", -1.0, "Relu")),
        (difference("ab", "a", "Tanh", 1.0, "Relu"), difference("ba", "b", "Sin", -1.0, "Relu")),
        (difference("ab", "a", "Tanh", beside="one"), difference("ba", "a", "Sin", beside="one")),
    ],
    ids=[
        "in another order",
        "turned over",
        "turned over in the first",
        "a third operand",
        "a third operand, all else equal",
        "branches of two operations",
        "branches of two operations, turned over",
        "branches of two operations, turned over and in another order",
        "one minus the other, in a product",
    ],
)
def test_what_is_subtracted_goes_with_what_is_subtracted(first: NormalGraph, second: NormalGraph):
    names = [{node.id: node.name for node in side.nodes if node.name} for side in (first, second)]
    matched = match(first, second).matches
    pairs = {
        names[0][each.first]: names[1][each.second] for each in matched if each.first in names[0]
    }
    assert pairs == {"x": "x", "a.weight": "a.weight", "b.weight": "b.weight"}
