from padiff_graph.matching.rungs.table import INTERCHANGEABLE
from tests.matching.small_graphs import Sides

PLAIN, LOOSE = INTERCHANGEABLE


def branches(*names: str) -> dict[str, tuple[str, ...]]:
    """Like branches of two operations each, summed."""
    parts: dict[str, tuple[str, ...]] = {}
    for name in names:
        parts[f"{name}1"] = ("Tanh", "x")
        parts[f"{name}2"] = ("Relu", f"{name}1")
    parts["sum"] = ("Add", *(f"{name}2" for name in names))
    return parts


def test_equal_branches_are_paired_whole_and_in_order():
    sides = Sides(branches("a", "b"), branches("c", "d")).given(sum="sum")
    assert PLAIN(sides.state) == 4
    assert sides.pairs == {"sum": "sum", "a1": "c1", "a2": "c2", "b1": "d1", "b2": "d2"}
    assert sides.confidence("a1") == 0.95


def test_words_of_the_paths_go_before_order():
    paths = {"a1": "left", "a2": "left", "b1": "right", "b2": "right"}
    other = {"c1": "right", "c2": "right", "d1": "left", "d2": "left"}
    sides = Sides(branches("a", "b"), branches("c", "d"), (paths, other)).given(sum="sum")
    PLAIN(sides.state)
    assert sides.pairs["a1"] == "d1" and sides.pairs["b2"] == "c2"


def test_a_branch_more_on_one_side_leaves_all_open():
    sides = Sides(branches("a", "b"), branches("c", "d", "e")).given(sum="sum")
    assert PLAIN(sides.state) + LOOSE(sides.state) == 0
