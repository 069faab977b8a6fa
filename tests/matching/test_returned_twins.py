"""Like operations on one value, which nothing reads, are told apart by where they are returned."""

import pytest
from synthetic import Graph

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.ladder import match

SHAPE = (2, 4)


def heads(order: str, returned: str, above: str, wide: str = "") -> NormalGraph:
    """Linears of one value, in program order, and returned in another; the value comes from
    `above`. Of the letters in `wide` the linear is wider."""
    graph = Graph()
    x = graph.leaf("Input", "x", *SHAPE)
    below = graph.op(above, [graph.op("Relu", [x], SHAPE, "")], SHAPE, "")
    made = {}
    for name in order:
        width = 6 if name in wide else 4
        weight = graph.parameter(f"{name}.weight", SHAPE[1], width)
        made[name] = graph.op("Linear", [below, weight], (SHAPE[0], width), "")
    return graph.finish(**{f"out{place}": made[name] for place, name in enumerate(returned)})


def names(first: NormalGraph, second: NormalGraph) -> dict[str, str]:
    """The name of the weight that each linear reads, with its partner's."""

    def weight(graph: NormalGraph, node: int) -> str:
        edge = graph.nodes[node].inputs[1]
        assert edge is not None
        return graph.nodes[edge.source].name.split(".")[0]

    return {
        weight(first, pair.first): weight(second, pair.second)
        for pair in match(first, second).matches
        if first.nodes[pair.first].op == "Linear"
    }


@pytest.mark.parametrize("above", ["Tanh", "Sin"])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_twins_are_matched_by_their_place_among_the_outputs(order, above):
    """Behind something that one model has otherwise they were laid beside each other in program
    order, and a right port alarmed."""
    assert names(heads("ab", "ba", "Tanh"), heads(order, "ba", above)) == {"a": "a", "b": "b"}


def test_three_twins_are_matched_by_their_places():
    found = names(heads("abc", "cab", "Tanh"), heads("bca", "cab", "Sin"))
    assert found == {"a": "a", "b": "b", "c": "c"}


@pytest.mark.parametrize("above", ["Tanh", "Sin"])
def test_exchanged_outputs_of_unlike_operations_stay_exchanged(above):
    """The widths tell the two apart: the port returns them in another order."""
    found = names(heads("ab", "ab", "Tanh", "b"), heads("ab", "ba", above, "b"))
    assert found == {"a": "a", "b": "b"}
