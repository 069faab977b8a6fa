import pytest

from padiff_graph.matching.confidence import settle
from tests.matching.small_graphs import Sides

CHAIN = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Exp", "b"), "d": ("Sin", "c")}


def test_what_nothing_bears_out_is_dropped_unless_it_stands_by_itself():
    for rung, kept in (("neighbour", False), ("hash", True)):
        sides = Sides(CHAIN, CHAIN).given(rung, 0.9, c="c")
        settle(sides.state)
        assert ("c" in sides.pairs) == kept


def test_of_an_ambiguous_guess_one_end_is_not_enough_where_others_could_stand_there():
    rival = {**CHAIN, "e": ("Relu", "d")}
    for second, kept in ((CHAIN, True), (rival, False)):
        sides = Sides({**CHAIN, "c": ("Log", "b")}, second).given(a="a").given("sequence", b="b")
        sides.state.alternatives[sides.ids[0]["b"]] = {sides.ids[1]["b"], sides.ids[1]["d"]}
        settle(sides.state)
        assert ("b" in sides.pairs) == kept


@pytest.mark.parametrize(("rung", "confidence"), [("place", 0.7), ("sequence", 0.5)])
def test_a_match_borne_out_at_one_end_is_lowered(rung, confidence):
    sides = Sides(CHAIN, CHAIN).given("hash", 0.99, a="a").given(rung, 0.9, b="b")
    settle(sides.state)
    assert sides.pairs.get("b") is None or sides.confidence("b") == confidence


def test_names_that_leave_no_other_place_raise_what_all_neighbours_bear_out():
    for second, confidence in (("t", 0.95), ("s", 0.8)):
        paths = {name: f"blocks.{number}.t" for number, name in enumerate(CHAIN)}
        other = {name: f"blocks.{number}.{second}" for number, name in enumerate(CHAIN)}
        sides = Sides(CHAIN, CHAIN, (paths, other)).given("place", 0.8, a="a", b="b", c="c", d="d")
        if second == "t":
            nodes = [(sides.ids[0][name], sides.ids[1][name]) for name in CHAIN]
            sides.state.names.learn(nodes)
        settle(sides.state)
        assert sides.confidence("b") == confidence
