from padiff_graph.matching.labels import EXACT, LOOSE
from padiff_graph.matching.rungs.ordered_hashes import from_above, from_below, votes
from padiff_graph.matching.rungs.table import BETWEEN, ONE_SIDED, WHOLE
from tests.matching.small_graphs import Sides

BETWEEN_EXACT, *_ = BETWEEN
ABOVE, BELOW, *_ = ONE_SIDED
CHAIN = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Exp", "b")}
OTHER_END = {**CHAIN, "c": ("Log", "b")}
OTHER_START = {**CHAIN, "a": ("Sin", "x")}
TWINS = {"a": ("Tanh", "x"), "b": ("Tanh", "x"), "c": ("Add", "a", "b")}


def test_what_is_alone_above_and_below_is_matched():
    sides = Sides(CHAIN, CHAIN)
    assert WHOLE[0](sides.state) == 3
    assert sides.pairs == {"a": "a", "b": "b", "c": "c"}
    assert sides.confidence("b") == 0.99


def test_a_difference_anywhere_leaves_all_that_sees_it_open():
    assert WHOLE[0](Sides(CHAIN, OTHER_END).state) == 0


def test_twins_are_left_open():
    sides = Sides(TWINS, TWINS)
    assert WHOLE[0](sides.state) == 1
    assert sides.pairs == {"c": "c"}


def test_order_of_operands_counts_unless_the_operator_commutes():
    for op, alike in (("Sub", False), ("Add", True)):
        first = {"a": ("Tanh", "x"), "b": ("Relu", "x"), "c": (op, "a", "b")}
        second = {**first, "c": (op, "b", "a")}
        state = Sides(first, second).state
        hashes = [
            from_above(state, which, EXACT)[state.side(which).computing[-1]] for which in (0, 1)
        ]
        assert (hashes[0] == hashes[1]) == alike


def test_from_above_needs_nothing_below_but_like_consumers():
    sides = Sides(CHAIN, OTHER_END)
    assert ABOVE(sides.state) == 1
    assert sides.pairs == {"a": "a"}  # what reads b differs


def test_from_below_needs_nothing_above_but_like_operands():
    sides = Sides(CHAIN, OTHER_START)
    assert BELOW(sides.state) == 1
    assert sides.pairs == {"c": "c"}


def test_anchors_hide_what_lies_behind_them():
    sides = Sides(CHAIN, OTHER_END).given(c="c")
    assert BETWEEN_EXACT(sides.state) == 2
    assert sides.pairs == {"a": "a", "b": "b", "c": "c"}


def test_contradicted_operands_are_left_open():
    first = {"a": ("Tanh", "x"), "b": ("Relu", "x"), "c": ("Sub", "a", "b"), "d": ("Exp", "c")}
    sides = Sides(first, {**first, "c": ("Sub", "b", "a")}).given(a="a", b="b")
    for rung in (*BETWEEN[1:3], *BETWEEN[4:]):
        rung(sides.state)
    assert "c" not in sides.pairs


def test_votes_match_nothing():
    sides = Sides(CHAIN, OTHER_END)
    named = [(sides.names[0][a], sides.names[1][b]) for a, b in votes(sides.state, LOOSE)]
    assert named == [("a", "a"), ("b", "b")]
    assert sides.pairs == {}


def test_a_pass_holds_until_a_match_comes():
    sides = Sides(CHAIN, CHAIN)
    kept = from_below(sides.state, 0, EXACT)
    assert from_below(sides.state, 0, EXACT) is kept
    sides.given(c="c")
    assert from_below(sides.state, 0, EXACT) is not kept
