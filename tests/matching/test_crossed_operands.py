"""Two like operations of which one is subtracted from the other are told apart by the sign."""

import pytest
from synthetic import Graph

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.ladder import match

SHAPE = (2, 4)


def read(graph: Graph, node: int, scale: float) -> Edge:
    return Edge(node, 0, View.of(graph.shape(node)), scale)


def difference(order: str, subtracted: str, last: str, sign: float = 1.0) -> NormalGraph:
    """`sign` * (one linear of x minus the other), then `last`; the linears in program order."""
    graph = Graph()
    x = graph.leaf("Input", "x", *SHAPE)
    made = {}
    for name in order:
        weight = graph.parameter(f"{name}.weight", SHAPE[1], SHAPE[1])
        made[name] = graph.op("Linear", [x, weight], SHAPE, "")
    operands = [
        read(graph, node, -1.0 if name == subtracted else 1.0) for name, node in made.items()
    ]
    total = graph.op("Add", operands, SHAPE, "")
    return graph.finish(output=graph.op(last, [read(graph, total, sign)], SHAPE, ""))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (difference("ab", "a", "Tanh"), difference("ba", "a", "Sin")),
        (difference("ab", "a", "Tanh"), difference("ab", "b", "Sin", -1.0)),
        (difference("ab", "a", "Tanh", -1.0), difference("ab", "b", "Sin")),
    ],
    ids=["in another order", "turned over", "turned over in the first"],
)
def test_what_is_subtracted_goes_with_what_is_subtracted(first: NormalGraph, second: NormalGraph):
    names = [{node.id: node.name for node in side.nodes if node.name} for side in (first, second)]
    matched = match(first, second).matches
    pairs = {
        names[0][each.first]: names[1][each.second] for each in matched if each.first in names[0]
    }
    assert pairs == {"x": "x", "a.weight": "a.weight", "b.weight": "b.weight"}
