import numpy as np

from padiff_graph.matching.rungs.gaps import gaps
from padiff_graph.matching.rungs.sequence_alignment import _sums, _trace
from padiff_graph.matching.rungs.table import SEQUENCE
from tests.matching.small_graphs import Sides

CHAIN = {
    "a": ("Tanh", "x"),
    "b": ("Relu", "a"),
    "c": ("Sin", "b"),
    "d": ("Exp", "c"),
    "e": ("Erf", "d"),
}
WITHOUT_C = {
    "a": ("Tanh", "x"),
    "b": ("Relu", "a"),
    "d": ("Exp", "b"),
    "e": ("Erf", "d"),
}


def test_what_stands_in_order_between_matched_operations_is_matched():
    sides = Sides(CHAIN, WITHOUT_C).given(a="a", e="e")
    assert SEQUENCE(sides.state) == 2
    assert sides.pairs == {"a": "a", "b": "b", "d": "d", "e": "e"}
    assert sides.confidence("b") == 0.8


def test_of_two_alignments_that_are_as_good_none_is_sure():
    first = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "c": ("Relu", "b"), "d": ("Exp", "c")}
    second = {"a": ("Tanh", "x"), "b": ("Relu", "a"), "d": ("Exp", "b")}
    sides = Sides(first, second).given(a="a", d="d")
    SEQUENCE(sides.state)
    assert sides.pairs.get("b", "b") == "b" and sides.pairs.get("c", "b") == "b"
    for name in {"b", "c"} & sides.pairs.keys():
        assert sides.confidence(name) <= 0.8


def test_another_family_is_left_open():
    sides = Sides(CHAIN, {**WITHOUT_C, "b": ("Sign", "a")}).given(a="a", e="e")
    SEQUENCE(sides.state)
    assert "b" not in sides.pairs and sides.pairs["d"] == "d"


def test_matched_nodes_that_cross_cut_no_gap():
    first = {"a": ("Tanh", "x"), "b": ("Relu", "x"), "c": ("Sin", "x"), "d": ("Sum", "a", "b", "c")}
    second = {
        "b": ("Relu", "x"),
        "c": ("Sin", "x"),
        "a": ("Tanh", "x"),
        "d": ("Sum", "a", "b", "c"),
    }
    sides = Sides(first, second).given(a="a", d="d")
    names = [
        [[sides.names[which][node] for node in gap[which]] for which in (0, 1)]
        for gap in gaps(sides.state)
    ]
    assert names == []  # nothing is open on the same side of "a" in both
    assert gaps(Sides(first, second).given(d="d").state)[0][0]


def test_the_table_holds_the_best_sums_and_both_ways_to_them():
    scores = np.array([[3, 3], [0, 3]], np.int16)
    table = _sums(scores)
    assert table[-1, -1] == 6
    assert _trace(table, scores, diagonal_first=True) == [(0, 0), (1, 1)]
    tie = np.array([[2, 2]], np.int16)
    table = _sums(tie)
    assert _trace(table, tie, diagonal_first=False) == [(0, 0)]
    assert _trace(table, tie, diagonal_first=True) == [(0, 1)]
