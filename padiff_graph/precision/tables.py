"""Tables of constants that one model computes in the low precision and the other does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.precision.placement import HIGH, LOW
from padiff_graph.precision.precision_findings import tell
from padiff_graph.precision.trials import Trial, distance

__all__ = ["table_findings"]

UNITS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""One unit in the last place of numbers near one."""
ROUNDED = 4.0
"""Units of its largest number that a table may be off where only its result is rounded: a result
that is rounded once is off by half a unit, one that is cast again by no more than a few."""
CLEAR = 4.0
"""How many times farther off the one side's table must be than the other's."""


@dataclass(frozen=True)
class _Table:
    """One side's table.

    Attributes:
        node: of the normal form.
        error: how far it is off in the low precision.
        size: its largest number.
    """

    node: NormalNode
    error: float
    size: float


def table_findings(trial: Trial) -> list[Finding]:
    """Matched tables, as of a rotary embedding's angles, that one side alone computes coarsely."""
    told: list[Finding] = []
    for match in sorted(trial.matching.matches, key=lambda match: match.second):
        first = _table(trial, 0, trial.matching.first.nodes[match.first])
        second = _table(trial, 1, trial.matching.second.nodes[match.second])
        if first is None or second is None:
            continue
        coarse = 0 if first.error > second.error else 1
        worse, better = (first, second) if coarse == 0 else (second, first)
        bound = ROUNDED * UNITS[trial.precision] * worse.size
        if worse.error > bound and worse.error > CLEAR * better.error:
            reader = _reader(trial, second.node.id)
            if reader is not None:
                tell(told, _finding(trial, first.node, second.node, coarse, reader, worse.error))
    return told


def _table(trial: Trial, side: int, node: NormalNode) -> _Table | None:
    """A node's table; None for what is none, or is not run."""
    if node.op != "Constant" or node.constant is None or not node.native or node.constant.size < 2:
        return None
    held = trial.base[side].values.get(Value(node.native[-1]))
    if held is None or held.size != node.constant.size or held.dtype.kind != "f":
        return None
    truth: Array = node.constant.astype(np.float64)
    if (np.isfinite(truth) & ~np.isfinite(held)).any():
        return None  # told as beyond the range
    return _Table(node, distance(held, truth), float(np.abs(truth).max()))


def _reader(trial: Trial, table: int) -> NormalNode | None:
    """The first operation of the second model that reads a table."""
    for node in trial.matching.second.nodes:
        if any(edge is not None and edge.source == table for edge in node.inputs):
            return node
    return None


def _finding(
    trial: Trial,
    first: NormalNode,
    second: NormalNode,
    coarse: int,
    reader: NormalNode,
    error: float,
) -> Finding:
    names = [trial.precision if side == coarse else HIGH for side in (0, 1)]
    cause = Cause.of(
        "precision.computed",
        what="a table of constants",
        op=reader.op,
        first_dtype=names[0],
        second_dtype=names[1],
    )
    records = _record(trial, 0, first), _record(trial, 1, second)
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
