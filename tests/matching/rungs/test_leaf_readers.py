from synthetic import Graph

from padiff_graph.matching.ladder import prepare
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.leaf_readers import match_weights


def two_linears(shared: bool):
    graph = Graph()
    x = graph.leaf("Input", "x", 2, 4)
    weights = [graph.parameter(name, 4, 4) for name in (("w", "w") if shared else ("w", "v"))]
    first = graph.op("Linear", [x, weights[0]], (2, 4), "a")
    second = graph.op("Linear", [first, weights[0 if shared else 1]], (2, 4), "b")
    return graph.finish(output=second), (first, second)


def matched_weights(shared: tuple[bool, bool]) -> dict[str, tuple[str, float]]:
    (first, mine), (second, theirs) = (two_linears(each) for each in shared)
    state = prepare(first, second, Hints())
    for pair, confidence in zip(zip(mine, theirs, strict=True), (0.6, 0.9), strict=True):
        state.pair(*pair, "place", confidence, "given")
    match_weights(state)
    return {
        first.nodes[each.first].name: (second.nodes[each.second].name, each.confidence)
        for each in state.pairings.values()
        if each.rung == "operand"
    }


def test_weights_are_matched_through_their_readers_and_as_sure_as_these():
    assert matched_weights((False, False)) == {"w": ("w", 0.6), "v": ("v", 0.9)}


def test_a_shared_weight_is_as_sure_as_the_surest_of_its_readers():
    assert matched_weights((True, True)) == {"w": ("w", 0.9)}


def test_shared_against_separate_stays_open():
    assert matched_weights((True, False)) == {}
