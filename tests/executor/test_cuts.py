"""Cuts and regions of graphs made by hand: no framework is loaded."""

from __future__ import annotations

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.cuts import covers, make_cuts
from padiff_graph.executor.partition import Region
from padiff_graph.executor.region_slices import slice_regions
from padiff_graph.executor.seeded_cotangents import POOL, seeded_cotangent
from padiff_graph.matching.result import Point

KIND = TensorType((4, 4), "float32")


def graph(*reads: tuple[int, ...]) -> ComputationGraph:
    """Operations by what they read; the first node is the input."""
    nodes = [Node(0, "input", name="x", outputs=(KIND,))]
    for number, operands in enumerate(reads, 1):
        inputs = tuple(Value(operand) for operand in operands)
        roles = tuple("abc"[: len(inputs)])
        nodes.append(Node(number, "operation", "op", inputs=inputs, roles=roles, outputs=(KIND,)))
    return ComputationGraph.build("made", nodes, parameters={}, modules={"": "Made"})


def plain(first: int, second: int) -> Point:
    view = View.of(KIND.shape)
    return Point(Value(first), view, Value(second), view, 1.0)


def regions(
    first: ComputationGraph, second: ComputationGraph, *pairs: tuple[int, int]
) -> list[Region]:
    points = [plain(0, 0), *(plain(*pair) for pair in pairs)]
    sliced, broken = slice_regions(make_cuts(points, first, second, (), ()), first, second, ())
    assert not broken
    return list(sliced)


def test_views_cover_a_value_once() -> None:
    whole = View.of((4, 6))
    left, right = whole.slice(1, 0, 3), whole.slice(1, 3, 6)
    assert covers([whole]) and covers([whole.transpose([1, 0])]) and covers([left, right])
    assert not covers([left]) and not covers([left, left])


def test_a_region_goes_back_to_the_next_cut() -> None:
    chain = graph((0,), (1,), (2,))
    found = regions(chain, chain, (1, 1), (3, 3))
    assert [region.second.nodes for region in found] == [(1,), (2, 3)]
    assert [region.second.values for region in found] == [(Value(0),), (Value(1),)]


def test_a_residual_that_one_side_lacks_is_read_by_the_other_alone() -> None:
    straight, residual = graph((0,), (1,)), graph((0,), (1, 0))
    last = regions(straight, residual, (1, 1), (2, 2))[-1]
    assert set(last.second.reads) - set(last.first.reads) == {0}


def test_regions_come_in_the_seconds_order() -> None:
    crossed = regions(graph((0,), (0,)), graph((0,), (0,)), (2, 1), (1, 2))
    assert [region.second.nodes for region in crossed] == [(1,), (2,)]
    assert [region.first.nodes for region in crossed] == [(2,), (1,)]


def test_cotangents_are_the_same_whenever_asked_and_of_every_size() -> None:
    value = Value(7)
    large = seeded_cotangent(value, (3, POOL))
    assert (large[0] == large[1]).all()
    assert (seeded_cotangent(value, (5, 2)).reshape(-1) == large.reshape(-1)[:10]).all()
    assert (seeded_cotangent(Value(8), (5, 2)) != seeded_cotangent(value, (5, 2))).any()
