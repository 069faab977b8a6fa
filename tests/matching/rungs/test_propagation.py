from padiff_graph.matching.rungs.table import NEIGHBOUR, WEAK_NEIGHBOUR
from tests.matching.small_graphs import Sides

CHAIN = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Exp", "b"), "d": ("Sin", "c")}


def test_what_is_matched_spreads_as_far_as_both_sides_look_alike():
    sides = Sides(CHAIN, {**CHAIN, "d": ("Cos", "c")})
    assert NEIGHBOUR(sides.state) == 2  # from the input on; what reads c differs
    assert sides.pairs == {"a": "a", "b": "b"}
    assert sides.confidence("b") == 0.9


def test_it_spreads_upwards_too():
    sides = Sides(CHAIN, {**CHAIN, "a": ("Atan", "x")}).given(d="d")
    assert NEIGHBOUR(sides.state) == 1
    assert sides.pairs == {"c": "c", "d": "d"}


def test_of_two_consumers_that_look_alike_none_is_chosen():
    fork = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Relu", "a"), "d": ("Sub", "b", "c")}
    sides = Sides(fork, fork).given(a="a")
    assert NEIGHBOUR(sides.state) == 0
    sides.given(d="d")  # its positions tell them apart
    assert NEIGHBOUR(sides.state) == 2
    assert sides.pairs["b"] == "b" and sides.pairs["c"] == "c"


def test_a_weak_match_stands_between_matched_ones_or_beside_kin():
    between = Sides(CHAIN, {**CHAIN, "c": ("Sign", "b")}).given(a="a", d="d")
    assert NEIGHBOUR(between.state) == 0
    assert WEAK_NEIGHBOUR(between.state) == 1
    assert between.pairs["b"] == "b" and between.confidence("b") == 0.6
    kin = {**CHAIN, "c": ("Gelu", "b")}
    beside = Sides(kin, {**kin, "c": ("Tanh", "b")}).given(a="a", d="d")
    assert WEAK_NEIGHBOUR(beside.state) == 1
    assert beside.pairs["b"] == "b" and beside.confidence("b") == 0.75


def test_no_rung_of_neighbours_takes_another_operator():
    sides = Sides(CHAIN, {**CHAIN, "c": ("Sign", "b")}).given(a="a", b="b", d="d")
    assert NEIGHBOUR(sides.state) + WEAK_NEIGHBOUR(sides.state) == 0
