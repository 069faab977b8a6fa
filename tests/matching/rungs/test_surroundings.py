from padiff_graph.matching.rungs.surroundings import surroundings
from padiff_graph.matching.rungs.table import HELD_IN_MODULE, PLACES
from tests.matching.small_graphs import Sides

BLOCKS = 4
THREE, ONE, _ = PLACES


def blocks(path: str, end: str = "Exp") -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Blocks of two operations each, all alike, and their module paths."""
    parts, paths, last = {}, {}, "x"
    for number in range(BLOCKS):
        parts[f"t{number}"] = ("Tanh", last)
        parts[f"r{number}"] = ("Relu", f"t{number}")
        paths[f"t{number}"] = paths[f"r{number}"] = f"{path}.{number}"
        last = f"r{number}"
    parts["end"] = (end, last)
    return parts, paths


def sides(learned: bool) -> Sides:
    first, paths = blocks("layers")
    second, other = blocks("h", "Log")
    made = Sides(first, second, (paths, other))
    if learned:
        ids = [(made.ids[0][name], made.ids[1][name]) for name in first if name != "end"]
        made.state.names.learn(ids)
    return made


def test_blocks_are_told_apart_by_their_numbers_once_these_are_learned():
    assert ONE(sides(learned=False).state) == 0
    known = sides(learned=True)
    assert ONE(known.state) == 2 * BLOCKS - 1  # what stands before the other end looks different
    assert all(first == second for first, second in known.pairs.items())
    assert known.confidence("t0") == 0.8


def test_wider_surroundings_see_a_difference_from_further_away():
    known = sides(learned=True)
    assert THREE(known.state) == 2 * BLOCKS - 3
    assert known.confidence("t0") == 0.9


def test_matched_sources_hold_the_only_one_of_a_kind_in_a_module():
    known = sides(learned=True).given(r2="r2")
    assert HELD_IN_MODULE(known.state) == 2 * BLOCKS - 1
    assert "end" not in known.pairs
    assert HELD_IN_MODULE(sides(learned=False).given(r2="r2").state) == 0


def test_surroundings_reach_as_far_as_the_radius():
    known = sides(learned=False)
    node = known.ids[0]["r1"], known.ids[1]["r1"]
    for radius, equal in ((1, True), (4, True), (5, False)):
        near = [surroundings(known.state, which, radius, [node[which]]) for which in (0, 1)]
        assert (near[0][node[0]] == near[1][node[1]]) == equal
