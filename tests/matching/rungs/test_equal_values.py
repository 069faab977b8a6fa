import dataclasses

import numpy as np
import pytest

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.form import Location
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.match_state import State
from padiff_graph.matching.rungs.table import EQUAL_VALUES, VALUES
from padiff_graph.matching.rungs.value_evidence import Evidence, Fingerprint
from tests.matching.small_graphs import Sides

CHAIN = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Exp", "b")}
RNG = np.random.default_rng(0)
VALUE, OTHER = (Fingerprint.of(RNG.normal(size=32)) for _ in range(2))


def with_values(
    sides: Sides, first: dict[str, Fingerprint], second: dict[str, Fingerprint]
) -> State:
    """The state where the results of some operations are known."""
    known = []
    for which, values in ((0, first), (1, second)):
        side = sides.state.side(which)
        side.nodes = tuple(
            dataclasses.replace(node, locations=(Location(Value(node.id), View.of((32,))),))
            for node in side.nodes
        )
        known.append({Value(sides.ids[which][name]): value for name, value in values.items()})
    sides.state.evidence = Evidence(*known)
    return sides.state


def test_the_only_nodes_with_a_value_are_matched_whatever_they_are():
    sides = Sides(CHAIN, {**CHAIN, "b": ("Sign", "a")})
    state = with_values(sides, {"b": VALUE}, {"b": VALUE, "c": OTHER})
    assert EQUAL_VALUES(state) == 1
    assert sides.pairs == {"b": "b"} and sides.confidence("b") == 0.9


@pytest.mark.parametrize("value", [VALUE, Fingerprint.of(np.ones(32))])
def test_a_value_that_several_hold_or_a_constant_one_decides_nothing(value):
    sides = Sides(CHAIN, CHAIN)
    assert EQUAL_VALUES(with_values(sides, {"b": value}, {"b": value, "c": value})) == 0


def test_values_confirm_a_match():
    sides = Sides(CHAIN, CHAIN).given("place", 0.6, b="b")
    assert VALUES(with_values(sides, {"b": VALUE}, {"b": VALUE})) == 0
    assert sides.confidence("b") == 0.95


@pytest.mark.parametrize(("confidence", "dropped"), [(0.8, 1), (0.95, 0)])
def test_values_refute_a_weak_match_whose_operands_agree(confidence, dropped):
    sides = Sides(CHAIN, CHAIN).given("place", 0.9, a="a").given("place", confidence, b="b")
    assert VALUES(with_values(sides, {"b": VALUE}, {"b": OTHER})) == dropped
    assert ("b" in sides.pairs) == (not dropped)


def test_values_say_nothing_behind_another_difference():
    sides = Sides(CHAIN, CHAIN).given("place", 0.9, a="a").given("place", 0.8, b="b")
    state = with_values(sides, {"a": VALUE, "b": VALUE}, {"a": OTHER, "b": OTHER})
    state.pairings[sides.ids[0]["a"]].confidence = 0.95
    assert VALUES(state) == 0 and "b" in sides.pairs
