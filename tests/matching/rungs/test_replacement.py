import dataclasses

import pytest
from synthetic import Graph

from padiff_graph.matching.ladder import prepare
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.table import REPLACED
from tests.matching.small_graphs import Sides

CHAIN = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Exp", "b")}


@pytest.mark.parametrize(("op", "confidence"), [("Relu", 0.9), ("Gelu", 0.88), ("ReduceSum", 0.6)])
def test_what_stands_alone_between_matched_operations_is_matched(op, confidence):
    sides = Sides(CHAIN, {**CHAIN, "b": (op, "a")}).given(a="a", c="c")
    assert REPLACED(sides.state) == 1
    assert sides.pairs["b"] == "b" and sides.confidence("b") == confidence


def test_an_open_neighbour_leaves_it_open():
    assert REPLACED(Sides(CHAIN, {**CHAIN, "b": ("Gelu", "a")}).given(a="a").state) == 0


def test_two_in_one_place_are_left_open():
    fork = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Gelu", "a"), "d": ("Add", "b", "c")}
    assert REPLACED(Sides(fork, fork).given(a="a", d="d").state) == 0


@pytest.mark.parametrize("mark", ["Identity", "Detach", "hook"])
def test_what_a_hook_or_a_detach_stands_behind_is_matched(mark):
    """A hook on a result that a matched operation reads must not leave the weight behind it without
    a counterpart."""
    made, reads = [], []
    for side in ("paddle", "torch"):
        graph = Graph(side)
        y = graph.op(
            "Linear",
            [graph.leaf("Input", "x", 2, 4), graph.parameter(f"{side}.weight", 4, 4)],
            (2, 4),
            side,
        )
        if side == "paddle":
            y = graph.op("hooked" if mark == "hook" else mark, [y], (2, 4), side)
            graph.nodes[-1] = dataclasses.replace(
                graph.nodes[-1],
                marks=frozenset({"gradient_hook"}) if mark == "hook" else frozenset(),
            )
        reads.append(graph.op("Relu", [y], (2, 4), ""))
        made.append(graph.finish(output=reads[-1]))
    state = prepare(*made, Hints())
    state.pair(*reads, "hint", 1.0, "given")
    assert REPLACED(state) == 1
    linear = [next(node.id for node in graph.nodes if node.op == "Linear") for graph in made]
    assert state.partner[0][linear[0]] == linear[1]
