from synthetic import decoder

from padiff_graph.matching.ladder import prepare
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.misnamed import give_up_misnamed


def test_a_run_that_names_contradict_is_given_up():
    first, second = decoder(8), decoder(8, "second")
    state = prepare(first, second, Hints())
    width = next(node.id for node in first.nodes if ".1." in node.path) - next(
        node.id for node in first.nodes if ".0." in node.path
    )
    shifted = [node.id for node in first.nodes if not node.leaf and ".5." in node.path]
    for node in first.nodes:
        if not node.leaf and node.id not in shifted:
            assert state.pair(node.id, node.id, "place", 0.9, "given") or ".6." in node.path
    for node in shifted:
        state.drop(node + width)
        state.pair(node, node + width, "neighbour", 0.9, "given")
    sure = [
        (node.id, node.id)
        for node in first.nodes
        if not node.leaf and ".5." not in node.path and ".6." not in node.path
    ]
    state.names.learn(sure)
    assert give_up_misnamed(state) == len(shifted)
    assert all(state.partner[0][node] == -1 for node in shifted)
    assert give_up_misnamed(state) == 0
    for node in shifted:  # given by the user, names undo nothing
        state.pair(node, node + width, "hint", 1.0, "given")
    assert give_up_misnamed(state) == 0
