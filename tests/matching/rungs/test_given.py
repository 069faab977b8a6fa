from synthetic import Graph

from padiff_graph.matching.ladder import prepare
from padiff_graph.matching.rungs.hints import Hints


def inputs(**shapes: tuple[int, ...]):
    graph = Graph()
    read = [graph.leaf("Input", name, *shape) for name, shape in shapes.items()]
    graph.parameter("weight", 3, 3)
    return graph.finish(output=graph.op("Concat", read, (1,), "", {"axis": 0}))


def matched(first, second, **hints) -> dict[str, tuple[str, str, float]]:
    state = prepare(first, second, Hints(**hints))
    return {
        first.nodes[each.first].name: (second.nodes[each.second].name, each.rung, each.confidence)
        for each in state.pairings.values()
    }


def test_a_hint_goes_before_names():
    found = matched(inputs(a=(2,), b=(2,)), inputs(a=(2,), b=(2,)), inputs=(("a", "b"), ("b", "a")))
    assert found == {"a": ("b", "hint", 1.0), "b": ("a", "hint", 1.0)}


def test_an_input_whose_hinted_counterpart_is_not_read_goes_with_no_other():
    assert matched(inputs(a=(2,)), inputs(b=(2,)), inputs=(("a", "c"),)) == {}


def test_hinted_parameters_are_given():
    found = matched(inputs(a=(2,)), inputs(a=(2,)), parameters=(("weight", "weight"),))
    assert found["weight"] == ("weight", "hint", 1.0)


def test_equal_names_go_together_only_where_sizes_do():
    assert matched(inputs(a=(2, 3)), inputs(a=(3, 2)))["a"] == ("a", "boundary", 0.99)
    assert matched(inputs(a=(2,), b=(3,)), inputs(a=(3,), b=(2,))) == {
        "a": ("b", "boundary", 0.97),
        "b": ("a", "boundary", 0.97),
    }


def test_inputs_that_look_alike_go_in_order_and_only_where_they_are_as_many():
    found = matched(inputs(a=(2,), b=(2,)), inputs(c=(2,), d=(2,)))
    assert found == {"a": ("c", "boundary", 0.8), "b": ("d", "boundary", 0.8)}
    assert matched(inputs(a=(2,), b=(2,)), inputs(c=(2,))) == {}


def test_another_size_is_a_guess():
    assert matched(inputs(a=(2,)), inputs(c=(5,))) == {"a": ("c", "boundary", 0.7)}
