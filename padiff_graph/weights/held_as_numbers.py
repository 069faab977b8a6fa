"""Frozen parameters that the other model holds as numbers of its program: a table of positions that
one model keeps as an embedding without gradient and the other computes.

No row of the map leads to such a table. Where every region that reads it agrees, each side with its
own numbers, it has its counterpart all the same, and nothing is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.region_result import AGREE, RegionCheck

__all__ = ["UNMATCHED", "without_held"]

UNMATCHED = frozenset({"parameter.extra", "parameter.missing", "parameter.unmapped"})
"""Causes of findings about parameters that have no counterpart."""

REASON = "the other model holds these numbers as constants, compared in the regions that read them"


def without_held(matching: Matching, regions: RegionCheck) -> Matching:
    """The matching without frozen parameters among those that have no counterpart, where all that
    reads them agrees."""
    firsts = [result.first_nodes for result in regions.results if result.verdict in AGREE]
    seconds = [result.second_nodes for result in regions.results if result.verdict in AGREE]
    lost = [row.first for row in matching.parameters if row.status == "open"]
    ours = _held(matching.first.graph, lost, firsts)
    theirs = _held(matching.second.graph, matching.unused_second, seconds)
    if not ours and not theirs:
        return matching
    rows = tuple(_numbers(row) if row.first in ours else row for row in matching.parameters)
    unused = tuple(name for name in matching.unused_second if name not in theirs)
    return replace(matching, parameters=rows, unused_second=unused)


def _numbers(row: ParameterRow) -> ParameterRow:
    return replace(row, status="unread", confidence=1.0, reason=REASON)


def _held(
    graph: ComputationGraph, names: Iterable[str], agreeing: Sequence[Sequence[int]]
) -> frozenset[str]:
    """Those of the names that nothing trains, and that only operations of agreeing regions read;
    whatever writes one for the next call is told by what is kept for that."""
    frozen = {name for name in names if not graph.parameters[name].trainable}
    if not frozen:
        return frozenset()
    leaves = {record.id: record.name for record in graph.records() if record.name in frozen}
    compared = {node for nodes in agreeing for node in nodes}
    read: set[str] = set()
    outside: set[str] = set()
    writers = {(name, written.node) for name, written in graph.updates.items()}
    for record in graph.records():
        for value in record.inputs:
            if value is None or value.node not in leaves:
                continue
            if (leaves[value.node], record.id) not in writers:
                (read if record.id in compared else outside).add(leaves[value.node])
    return frozenset(read - outside)
