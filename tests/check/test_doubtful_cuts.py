"""Cuts that may be wrong, from a plan and results made by hand: no framework is loaded."""

from __future__ import annotations

from dataclasses import replace

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.check.doubtful_cuts import doubtful_groups, told_apart, vanished
from padiff_graph.executor.partition import Cut, Plan, Region, Slice
from padiff_graph.matching.result import Point
from padiff_graph.referee.region_result import Part, RegionResult, RegionVerdict


def cut(index: int, *, source: bool = False) -> Cut:
    return Cut(index, (), (Value(index),), (Value(index),), source)


def region(own: Cut, nodes: tuple[int, ...], reads: tuple[int, ...]) -> Region:
    part = Slice(nodes, reads, tuple(Value(read) for read in reads), ())
    return Region(own, part, part, own.index)


def result(own: Region, verdict: RegionVerdict, error: float) -> RegionResult:
    part = Part("output", "y", "y", error, 1.0, 1e-6, verdict)
    return RegionResult(own.order, verdict, (part,), own.first.nodes, own.second.nodes)


CUTS = tuple(cut(index, source=index == 0) for index in range(4))
CHAIN = [region(CUTS[index], (index,), (index - 1,)) for index in (1, 2, 3)]
PLAN = Plan(CUTS, tuple(CHAIN), CUTS[:1])
MERGED = region(CUTS[2], (1, 2), (0,))
TRIAL = Plan(CUTS, (MERGED, CHAIN[2]), CUTS[:1])
KEY = CUTS[1].key


def found(*verdicts: RegionVerdict) -> dict[tuple[object, ...], RegionResult]:
    return {
        own.identity: result(own, verdict, 0.5 if verdict == "different" else 1e-8)
        for own, verdict in zip(CHAIN, verdicts, strict=True)
    }


def test_a_cut_with_a_difference_on_both_sides_is_doubtful() -> None:
    groups = doubtful_groups(PLAN, found("different", "different", "equal"))
    assert groups == [frozenset({CUTS[1].key, CUTS[2].key})]


def test_where_all_agree_no_cut_is_doubtful() -> None:
    assert doubtful_groups(PLAN, found("equal", "rounding", "equal")) == []


def test_a_difference_has_vanished_where_the_merged_region_agrees() -> None:
    results = found("different", "different", "equal")
    group = frozenset({KEY})
    assert vanished(PLAN, TRIAL, group, {**results, MERGED.identity: result(MERGED, "equal", 0.0)})
    assert not vanished(
        PLAN, TRIAL, group, {**results, MERGED.identity: result(MERGED, "different", 0.5)}
    )


def test_a_difference_that_only_shrank_has_not_vanished() -> None:
    results = found("different", "different", "equal")
    left = result(MERGED, "rounding", 0.1)
    assert not vanished(PLAN, TRIAL, frozenset({KEY}), {**results, MERGED.identity: left})


def test_a_cut_is_doubtful_where_nothing_but_the_gradient_towards_it_differs() -> None:
    parts = (
        Part("output", "y", "y", 0.0, 1.0, 1e-6, "equal"),
        Part("input", "x", "x", 0.5, 1.0, 1e-6, "different"),
    )
    last = CHAIN[2]
    masked = RegionResult(last.order, "different", parts, last.first.nodes, last.second.nodes)
    results = {**found("equal", "equal", "equal"), last.identity: masked}
    assert doubtful_groups(PLAN, results) == [frozenset({CUTS[2].key, CUTS[3].key})]


def test_of_doubtful_cuts_those_are_told_apart_whose_values_differ() -> None:
    cuts = tuple(replace(cut, points=(_point(cut),)) for cut in CUTS)
    chain = [replace(own, cut=cuts[own.cut.index]) for own in CHAIN]
    plan = Plan(cuts, tuple(chain), cuts[:1])
    results = found("different", "different", "equal")
    wrong = cuts[1].key
    assert told_apart(plan, results, {wrong}) == [frozenset({wrong})]
    assert told_apart(plan, results, {cuts[3].key}) == []
    everything = {cut.key for cut in cuts}
    assert told_apart(plan, results, everything) == [], "a bug in front of them moves them all"


def _point(cut: Cut) -> Point:
    view = View.of((2,))
    return Point(cut.first[0], view, cut.second[0], view, 1.0)
