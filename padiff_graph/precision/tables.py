"""Tables of constants that one model computes or holds in the low precision and the other does not.

A table is folded into one constant, so no cast in it is matched. What its casts do is asked of the
numbers: both tables are run as the code computes them, and with float32 in place of the low
precision everywhere but where an operation reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.precision.placement import HIGH, LOW
from padiff_graph.precision.precision_findings import tell
from padiff_graph.precision.rounding import emulate, rounded
from padiff_graph.precision.trials import Trial, root_mean_square

__all__ = ["table_findings"]

CLEAR = 4.0
"""How many times farther apart than the same tables computed in float32: those differ where the
last place of a number falls to either side, in few of their numbers, but a table that is rounded on
the way in most."""
SAME = 1e-4
"""How far numbers of one table may be apart, of its largest: float32 of a large angle is off by
1e-5."""


@dataclass(frozen=True)
class _Table:
    """One side's table.

    Attributes:
        node: of the normal form.
        value: where an operation reads it.
        final: the precision in which it is read.
        numbers: as the capture has them.
        held: its numbers as the low precision leaves them.
        wide: the same, had only the last of its operations that precision.
        full: the same, and its buffers in float32 too.
    """

    node: NormalNode
    value: Value
    final: str
    numbers: Array
    held: Array
    wide: Array
    full: Array


@dataclass(frozen=True)
class _Apart:
    """Two tables that part.

    Attributes:
        tables: of both sides.
        coarse: the side that has the low precision.
        values: of that side, those that are to be in float32 on trial.
        inside: whether it is rounded on the way, not only where it is read.
    """

    tables: tuple[_Table, _Table]
    coarse: int
    values: tuple[Value, ...]
    inside: bool


def table_findings(trial: Trial, told_nodes: Collection[int]) -> list[Finding]:
    """Tables, as of a rotary embedding's angles, that one side alone computes or holds in the low
    precision, where that changes a value.

    Args:
        trial: both sides.
        told_nodes: operations of the second model of which a difference is told already.
    """
    told: list[Finding] = []
    for first, second in _pairs(trial):
        apart = _apart(trial, (first, second))
        reader = _reader(trial, second.node.id)
        known = reader is not None and reader.id in told_nodes
        if apart is None or (known and not apart.inside):
            continue
        own = trial.readings[apart.coarse].placement
        tried = trial.of(apart.coarse, {**own, **dict.fromkeys(apart.values, HIGH)})
        if tried.changed:
            tell(told, _finding(trial, apart, reader, tried.output))
    return told


def _pairs(trial: Trial) -> list[tuple[_Table, _Table]]:
    """Tables of both sides that are one: matched, or those that have the same numbers, in order."""
    first, second = _tables(trial, 0), _tables(trial, 1)
    found = []
    for match in trial.matching.matches:
        own = [table for table in first if table.node.id == match.first]
        others = [table for table in second if table.node.id == match.second]
        found += [pair for pair in zip(own, others, strict=False) if _alike(*pair)]
    left = [table for table in second if all(table is not pair[1] for pair in found)]
    lone = [table for table in first if all(table is not pair[0] for pair in found)]
    while left:
        others = [table for table in left if _alike(table, left[0])]
        own = [table for table in lone if _alike(table, left[0])]
        left = [table for table in left if all(table is not one for one in others)]
        if len(own) != len(others):
            own, others = _distinct(own), _distinct(others)
        if len(own) == len(others):
            found += zip(own, others, strict=True)
    return sorted(found, key=lambda pair: pair[1].node.id)


def _distinct(tables: Sequence[_Table]) -> list[_Table]:
    """Tables without those that hold the same as one before them."""
    kept: list[_Table] = []
    for table in tables:
        known = [one for one in kept if one.final == table.final]
        if not any(np.array_equal(one.held, table.held) for one in known):
            kept.append(table)
    return kept


def _tables(trial: Trial, side: int) -> list[_Table]:
    """One side's tables, complex ones in their two parts; those out of range are told elsewhere."""
    normal = (trial.matching.first, trial.matching.second)[side]
    reading = trial.readings[side]
    read = {Value(node.native[-1]): node for node in normal.nodes if _is_table(node)}
    natives = {native for node in read.values() for native in node.native}
    inner = [value for value in reading.placement if value.node in natives and value not in read]
    computed = [value for value in inner if reading.side.graph.record(value.node).kind != "buffer"]
    runs = [
        emulate(reading.side, trial.precision, read, placement, nodes=natives).values
        for placement in (
            reading.placement,
            {**reading.placement, **dict.fromkeys(computed, HIGH)},
            {**reading.placement, **dict.fromkeys(inner, HIGH)},
        )
    ]
    found = []
    for value, node in read.items():
        final = reading.effective(value) if value in reading.placement else HIGH
        arrays = [node.constant, *(run.get(value) for run in runs)]
        for numbers, *held in zip(*(_parts(array) for array in arrays), strict=False):
            if all(own.dtype.kind == "f" and np.isfinite(own).all() for own in held):
                found.append(_Table(node, value, final, numbers, *held))
    return found


def _is_table(node: NormalNode) -> bool:
    known = node.op == "Constant" and node.constant is not None and bool(node.native)
    return known and node.constant is not None and node.constant.size > 1


def _parts(array: Array | None) -> list[Array]:
    if array is None:
        return []
    return [array.real, array.imag] if array.dtype.kind == "c" else [array]


def _alike(first: _Table, second: _Table) -> bool:
    """Whether two tables have the same numbers, in any order; one may repeat the other's."""
    pair = _in_order(first.numbers, second.numbers)
    if pair is None:
        return False
    return float(np.abs(pair[0] - pair[1]).max()) <= SAME * float(np.abs(pair[1]).max())


def _in_order(first: Array, second: Array) -> tuple[Array, Array] | None:
    """The numbers of two tables from the least to the largest, the shorter one's repeated."""
    if first.size % second.size and second.size % first.size:
        return None
    size = max(first.size, second.size)
    ordered = [
        np.repeat(np.sort(table.astype(np.float64).reshape(-1)), size // table.size)
        for table in (first, second)
    ]
    return ordered[0], ordered[1]


def _apart(trial: Trial, tables: tuple[_Table, _Table]) -> _Apart | None:
    """How two tables part; None where they do not."""
    finals = [table.final for table in tables]
    inside = _rounded_inside(trial.precision, tables)
    if inside is not None:
        natives = tables[inside].node.native[:-1]
        return _Apart(tables, inside, _placed(trial, inside, natives), True)
    if finals[0] == finals[1]:
        return None
    coarse = finals.index(LOW)
    return _Apart(tables, coarse, _placed(trial, coarse, tables[coarse].node.native), False)


def _rounded_inside(precision: str, tables: tuple[_Table, _Table]) -> int | None:
    """The side whose table is rounded on the way, and not the other's alike."""
    low = LOW in (tables[0].final, tables[1].final)

    def distance(arrays: Sequence[Array]) -> float:
        read = [rounded(array, precision) if low else array for array in arrays]
        pair = _in_order(*read)
        return 0.0 if pair is None else root_mean_square(*pair)

    held = [table.held for table in tables]
    # what is computed first, since a buffer that both round would hide it
    for kept in ([table.wide for table in tables], [table.full for table in tables]):
        moved = [root_mean_square(*pair) for pair in zip(held, kept, strict=True)]
        coarse = int(moved[1] > moved[0])
        clear = moved[coarse] > CLEAR * moved[1 - coarse]
        if clear and distance(held) > CLEAR * distance(kept):
            return coarse
    return None


def _placed(trial: Trial, side: int, natives: Sequence[int]) -> tuple[Value, ...]:
    placement = trial.readings[side].placement
    return tuple(Value(native) for native in natives if Value(native) in placement)


def _reader(trial: Trial, table: int) -> NormalNode | None:
    """The first operation of the second model that reads a table."""
    for node in trial.matching.second.nodes:
        if any(edge is not None and edge.source == table for edge in node.inputs):
            return node
    return None


def _finding(trial: Trial, apart: _Apart, reader: NormalNode | None, error: float) -> Finding:
    names = [trial.precision if side == apart.coarse else HIGH for side in (0, 1)]
    first, second = (table.node for table in apart.tables)
    cause = Cause.of(
        "precision.computed",
        what="a table of constants",
        op=reader.op if reader else second.op,
        first_dtype=names[0],
        second_dtype=names[1],
    )
    records = [_record(trial, side, table.node) for side, table in enumerate(apart.tables)]
    return Finding(
        "structure",
        "different",
        cause,
        first.path,
        second.path,
        records[0].op,
        records[1].op,
        records[0].source,
        records[1].source,
        error=error,
        places=((first.path, second.path),),
        order=second.id,
    )


def _record(trial: Trial, side: int, node: NormalNode) -> Node:
    """The first operation of a table that computes in the low precision, else the last of all."""
    reading = trial.readings[side]
    graph = reading.side.graph
    for native in sorted(node.native):
        computes = graph.record(native).inputs and native not in reading.side.casts
        if computes and reading.placement.get(Value(native)) == LOW:
            return graph.record(native)
    return graph.record(node.native[-1])
