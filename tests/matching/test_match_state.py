from synthetic import decoder

from padiff_graph.matching.ladder import prepare
from padiff_graph.matching.rungs.hints import Hints


def test_a_match_taken_back_waits_again():
    graph = decoder(2)
    state = prepare(graph, graph, Hints())
    every = list(state.first.computing)
    assert state.waiting(0) == every
    state.pair(every[0], every[0], "place", 0.9, "given")
    assert state.waiting(0) == state.waiting(1) == every[1:]
    state.drop(every[0])
    state.pair(every[1], every[1], "place", 0.9, "given")
    assert state.waiting(0) == state.waiting(1) == [every[0], *every[2:]]
