"""Where a finding stands on one side: module path, native operator, line of the user's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import Node
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Phase, Verdict
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.region_result import RegionResult

__all__ = [
    "NOWHERE",
    "Place",
    "Places",
    "begun_places",
    "finding_at",
    "matched_places",
    "moved_to",
    "region_places",
    "setting_places",
    "surplus_places",
]


@dataclass(frozen=True, slots=True)
class Place:
    """One side's place.

    Attributes:
        path: dotted module path, "" for the root.
        op: native operator, "" where the side has none.
        source: "file:line", "" where it is not known.
    """

    path: str
    op: str
    source: str

    @classmethod
    def of_record(cls, record: Node) -> Place:
        """Of a native operation."""
        return cls(record.path, record.op, record.source)

    @classmethod
    def of_node(cls, node: NormalNode, normal: NormalGraph) -> Place:
        """Of an operation of the normal form: that of the last native one that it stands for."""
        op = normal.graph.record(node.native[-1]).op if node.native else node.op
        return cls(node.path, op, node.source)


Places = tuple[Place, Place]
NOWHERE = Place("", "", "")
"""Where a side has nothing to point at."""


def finding_at(
    places: Places,
    phase: Phase,
    verdict: Verdict,
    cause: Cause,
    matching: Matching,
    order: int,
) -> Finding:
    """A finding that stands at a place on either side."""
    first, second = places
    return Finding(
        phase,
        verdict,
        cause,
        paddle_path=first.path,
        torch_path=second.path,
        paddle_op=first.op,
        torch_op=second.op,
        paddle_source=first.source,
        torch_source=second.source,
        places=((first.path, second.path),),
        order=order,
        frameworks=matching.frameworks,
    )


def region_places(result: RegionResult, matching: Matching) -> Places:
    """The operation that a region is about, on either side."""
    matched = matching.partner()
    seconds = {second: first for first, second in matched.items()}
    return (
        _region_place(matching.first, result.first_nodes, result.first_normal, matched),
        _region_place(matching.second, result.second_nodes, result.second_normal, seconds),
    )


def begun_places(result: RegionResult, places: Places, matching: Matching) -> Places:
    """The places where a region begins, where what its last operations read differs already: of a
    side whose place is an operation without a counterpart that one."""
    if result.began is None:
        return places
    graphs = matching.first.graph, matching.second.graph
    natives = result.first_nodes, result.second_nodes
    last = [graph.record(own[-1]) for graph, own in zip(graphs, natives, strict=True) if own]
    for side, (record, graph) in enumerate(zip(last, graphs, strict=True)):
        if places[side].path == record.path:
            begun = Place.of_record(graph.record(result.began[side]))
            places = moved_to(places, side, begun)
    return places


def _region_place(
    normal: NormalGraph,
    natives: tuple[int, ...],
    own: tuple[int, ...],
    matched: Mapping[int, int],
) -> Place:
    """Its earliest operation without a counterpart, else the one that yields its result."""
    inside = set(natives)
    for node in normal.nodes:
        if node.leaf or node.id in matched or not node.native:
            continue
        if inside.issuperset(node.native):
            return Place.of_node(node, normal)
    if own:
        return Place.of_node(normal.nodes[own[-1]], normal)
    if natives:
        return Place.of_record(normal.graph.record(natives[-1]))
    return NOWHERE


def matched_places(difference: Difference | None, matching: Matching) -> Places | None:
    """The places of a matched operation that reads or does otherwise; None where it is not one."""
    if difference is None or not difference.first or not difference.second:
        return None
    first = matching.first.nodes[difference.first[0]]
    second = matching.second.nodes[difference.second[0]]
    if first.op != second.op:
        return None
    if min(difference.native) >= 0:
        records = (
            matching.first.graph.record(difference.native[0]),
            matching.second.graph.record(difference.native[1]),
        )
        return Place.of_record(records[0]), Place.of_record(records[1])
    return Place.of_node(first, matching.first), Place.of_node(second, matching.second)


def surplus_places(difference: Difference | None, matching: Matching) -> Places | None:
    """The places of operations that one side alone has, and where they would stand in the other;
    None where the difference is not of that kind."""
    if difference is None or bool(difference.first) == bool(difference.second):
        return None
    side = 0 if difference.first else 1
    normal = (matching.first, matching.second)[side]
    own = Place.of_node(normal.nodes[(difference.first or difference.second)[0]], normal)
    paths = difference.first_path, difference.second_path
    places = Place(paths[0], "", ""), Place(paths[1], "", "")
    return moved_to(places, side, replace(own, path=paths[side]))


def setting_places(natives: tuple[int, int], places: Places, matching: Matching) -> Places:
    """The places with the operations that have a setting, on the sides that have one."""
    graphs = matching.first.graph, matching.second.graph
    for side, (native, graph) in enumerate(zip(natives, graphs, strict=True)):
        if native >= 0:
            places = moved_to(places, side, Place.of_record(graph.record(native)))
    return places


def moved_to(places: Places, side: int, place: Place) -> Places:
    """The places with one side's exchanged."""
    return (place, places[1]) if side == 0 else (places[0], place)
