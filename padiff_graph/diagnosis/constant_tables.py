"""Tables of constants that an operation reads and that hold other numbers on the two sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.diagnosis.constant_masks import other_mask
from padiff_graph.diagnosis.probes import probe
from padiff_graph.findings.cause import Cause
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import RegionResult

__all__ = ["other_table"]

APART = 1e-4
"""Share of its largest number by which a table must depart to be the reason: the angle of a late
place, computed in float32, is right to less."""


def other_table(
    result: RegionResult, matching: Matching, *, masks_alone: bool = False
) -> Cause | None:
    """That a region's operation reads a table which differs; None where none does. With
    `masks_alone` nothing is said of what is no mask.

    Of a table that is computed from numbers of the code (a rotary embedding's from frequencies and
    places) the one array among them that differs is told as well, with what the two have in common.
    """
    captured = matching.first.graph, matching.second.graph
    partner = {second: first for first, second in matching.partner().items()}
    for reader, first, second in _tables(result, matching):
        counterpart = partner.get(reader.id)
        mask = None
        if counterpart is not None:
            other = matching.first.nodes[counterpart]
            mask = other_mask((captured[0], other, first), (captured[1], reader, second))
        if mask is not None:
            return mask
        if masks_alone:
            continue
        mine, theirs = _numbers(first), _numbers(second)
        if mine is None or theirs is None or mine.shape != theirs.shape:
            continue
        apart = float(np.abs(mine - theirs).max(initial=0.0))
        if not apart > APART * float(np.abs(theirs).max(initial=0.0)):
            continue
        graphs = matching.first.graph, matching.second.graph
        seed = _seed(graphs, (first, second))
        facts: dict[str, object] = {"shape": tuple(theirs.shape), "op": reader.op}
        facts |= {"first_path": first.path, "second_path": second.path, "apart": apart}
        seen = probe(mine, theirs)
        if seed is not None and seen is None:
            facts["seed"] = seed
        return Cause.of("values.table", **facts).showing(seen)
    return None


def _tables(
    result: RegionResult, matching: Matching
) -> Iterator[tuple[NormalNode, NormalNode, NormalNode]]:
    """(reader, table of the first side, table of the second) of the region's matched operations."""
    partner = {second: first for first, second in matching.partner().items()}
    inside = set(result.second_nodes)
    for node in matching.second.nodes:
        if node.leaf or inside.isdisjoint(node.native):
            continue
        tables = _read(node, matching.second)
        for table in tables:
            other = partner.get(table.id)
            if other is not None and matching.first.nodes[other].op == "Constant":
                yield node, matching.first.nodes[other], table
        # spelled otherwise (truth values, numbers to add), they are matched by who reads them
        reader = partner.get(node.id)
        if len(tables) == 1 and tables[0].id not in partner and reader is not None:
            others = _read(matching.first.nodes[reader], matching.first)
            if len(others) == 1 and matching.first.nodes[reader].op == node.op:
                yield node, others[0], tables[0]


def _read(node: NormalNode, normal: NormalGraph) -> list[NormalNode]:
    """The constants among an operation's operands."""
    sources = [normal.nodes[edge.source] for edge in node.inputs if edge is not None]
    return [source for source in sources if source.op == "Constant"]


def _numbers(table: NormalNode) -> Array | None:
    """A table's numbers; None where they are not known, or no floats."""
    if table.constant is None or table.constant.dtype.kind != "f":
        return None
    return table.constant.astype(np.float64)


def _seed(
    graphs: tuple[ComputationGraph, ComputationGraph], tables: tuple[NormalNode, NormalNode]
) -> Cause | None:
    """What relates the one array that differs among those that the tables are computed from."""
    first, second = (_seeds(graph, table) for graph, table in zip(graphs, tables, strict=True))
    mine, theirs = _without(first, second), _without(second, first)
    if not mine or not theirs or _without(mine, mine[:1]) or _without(theirs, theirs[:1]):
        return None
    return probe(mine[0], theirs[0]) if mine[0].shape == theirs[0].shape else None


def _seeds(graph: ComputationGraph, table: NormalNode) -> list[Array]:
    """The arrays of numbers that a table's native operations start from, flat."""
    held = [graph.record(native).constant for native in table.native[:-1]]
    return [
        array.astype(np.float64).reshape(-1)
        for array in held
        if array is not None and array.dtype.kind in "fiu" and array.size > 1
    ]


def _without(own: Sequence[Array], others: Sequence[Array]) -> list[Array]:
    """Those that no other array equals."""
    return [
        array
        for array in own
        if not any(
            array.shape == other.shape and np.allclose(array, other, rtol=APART) for other in others
        )
    ]
