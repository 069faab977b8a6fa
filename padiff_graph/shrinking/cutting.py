"""Pieces cut out of both graphs of a report: the regions around a finding, with the numbers that
they read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.partition import Plan, Region, Slice
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.schedule import Stream
from padiff_graph.export.repro_script import finding_region
from padiff_graph.export.repro_side import leaf_array
from padiff_graph.findings.finding import Finding
from padiff_graph.report.report import Report
from padiff_graph.shrinking.piece import Leaf, Piece, SidePiece

__all__ = ["Cutter"]


@dataclass
class Cutter:
    """Both graphs of a report, cut into regions.

    Attributes:
        pair: both sides with their weights.
        plan: all regions.
        target: the finding's region.
    """

    pair: Pair
    plan: Plan
    target: Region

    @classmethod
    def of(cls, report: Report, finding: Finding) -> Cutter:
        """For a finding of a report of this process.

        Raises:
            UsageError: the finding names no operation that a region could be run for.
        """
        assert report.matching is not None and report.engines is not None
        shared = share(report.matching, *report.engines)
        plan = cut_graphs(report.matching)
        target = finding_region(report.matching, plan, finding, one_sided=True)
        return cls(pair_of(report.matching, report.engines, shared), plan, target)

    @property
    def regions(self) -> dict[int, Region]:
        """Every region by its cut."""
        return {region.cut.index: region for region in self.plan.regions}

    def around(self, steps: int) -> frozenset[int]:
        """The finding's region and those up to so many steps before and behind it, by cut."""
        regions = self.regions
        chosen = {self.target.cut.index}
        for _ in range(steps):
            before = {read for index in chosen for read in _reads(regions[index])}
            behind = {
                index for index, region in regions.items() if not chosen.isdisjoint(_reads(region))
            }
            grown = chosen | (before & regions.keys()) | behind
            if grown == chosen:
                break
            chosen = grown
        return frozenset(chosen)

    def piece(self, chosen: Collection[int]) -> Piece:
        """The piece that some regions make up.

        Raises:
            NotRunnable: a value that it reads is not known.
        """
        regions = [region for region in self.plan.regions if region.cut.index in chosen]
        feeds = self._feeds([region.cut.index for region in regions])
        names = self._names(regions)
        ends = self._ends(regions)
        first = _side_piece(
            self.pair.first,
            [region.first for region in regions],
            [feed.first for feed in feeds],
            names[0],
            [value for cut in ends for value in cut.cut.first],
        )
        second = _side_piece(
            self.pair.second,
            [region.second for region in regions],
            [feed.second for feed in feeds],
            names[1],
            [value for cut in ends for value in cut.cut.second],
        )
        return Piece(first, second)

    def _feeds(self, todo: list[int]) -> list[Fed]:
        """What each region reads; the second model computes it, up to here."""
        reached: dict[int, Fed] = {}

        def noted(region: Region, feed: Fed) -> Mapping[Value, Array]:
            reached[region.cut.index] = feed
            return {}

        Stream(self.pair.sides, self.plan, todo, noted, lambda _region, _reason: None).run()
        if len(reached) < len(todo):
            raise NotRunnable("the values that it reads could not be computed by themselves")
        return [reached[index] for index in todo]

    def _names(self, regions: list[Region]) -> tuple[dict[Value, str], dict[Value, str]]:
        """How the small models call what is read, where it comes from outside: alike on both
        sides."""
        first: dict[Value, str] = {}
        second: dict[Value, str] = {}
        read = sorted({read for region in regions for read in _reads(region)})
        for number, index in enumerate(read):
            cut = self.plan.cuts[index]
            for names, values in ((first, cut.first), (second, cut.second)):
                for place, value in enumerate(values):
                    names[value] = f"x{number}" if len(values) == 1 else f"x{number}_{place}"
        return first, second

    def _ends(self, regions: list[Region]) -> list[Region]:
        """The regions whose value nothing of the piece reads, and the finding's."""
        read = {read for region in regions for read in _reads(region)}
        return [
            region
            for region in regions
            if region.cut.index not in read or region.cut.index == self.target.cut.index
        ]


def _reads(region: Region) -> set[int]:
    return {*region.first.reads, *region.second.reads}


def _side_piece(
    side: Side,
    parts: Iterable[Slice],
    feeds: Iterable[Mapping[Value, Array]],
    names: Mapping[Value, str],
    ends: list[Value],
) -> SidePiece:
    """One side of a piece."""
    leaves: dict[Value, Leaf] = {}
    parts = list(parts)
    numbers = {number for part in parts for number in part.nodes}
    for part, feed in zip(parts, feeds, strict=True):
        for value in part.values:
            if value.node not in numbers:
                record = side.graph.record(value.node)
                label = record.path or record.name
                array = np.asarray(feed[value])
                leaves[value] = Leaf("value", names[value], array, side.dtype(value), label)
        for number in part.leaves:
            leaves[Value(number)] = _leaf(side, number)
    nodes = tuple(side.graph.record(number) for number in sorted(numbers))
    return SidePiece(side.graph.framework, leaves, nodes, tuple(dict.fromkeys(ends)))


def _leaf(side: Side, number: int) -> Leaf:
    """A parameter, buffer, constant or input of one model."""
    record = side.graph.record(number)
    info = side.graph.parameters.get(record.name)
    kind = record.kind
    if kind == "parameter" and info is not None and info.buffer:
        kind = "buffer"
    prefixes = {"parameter": "p", "buffer": "b", "input": "i"}
    prefix = prefixes.get(kind, "c")
    return Leaf(
        kind if kind in prefixes else "constant",
        f"{prefix}{number}",
        np.asarray(leaf_array(side, record)),
        side.dtype(Value(number)),
        record.name,
        info is None or info.trainable,
    )
