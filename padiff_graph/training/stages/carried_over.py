"""Gradients that a user's own step does not clear: seen in the next step, where an update is handed
what the step before was handed on top of the gradient that the other side is handed.

When gradients are cleared, at the end of a step or at the beginning of the next, is the loop's own
business; whether they are is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import ParameterRow
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["carried_over"]

NEAR = 1e-2
"""Share of the earlier gradient that the surplus may differ from it by; chosen above what rounding
makes of two sums, and far below the change of a gradient from one step to the next."""
COARSE_NEAR = 8
"""The same in units of half precision: the sum is rounded, to units of twice its size, and both
sides' own gradients part by some."""


def carried_over(
    records: tuple[StepRecord, StepRecord],
    earlier: tuple[StepRecord, StepRecord],
    rows: Sequence[ParameterRow],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What each side did not clear of the step before, by parameter name.

    Args:
        records: of both sides in this step.
        earlier: of both in the step before.
        rows: the parameter map.
    """
    kept: tuple[dict[str, Array], dict[str, Array]] = {}, {}
    now, before = _handed(records), _handed(earlier)
    near = max(NEAR, *(COARSE_NEAR * record.unit for record in records))
    for row in rows:
        names = {piece.second for piece in row.pieces}
        if row.first not in now[0] or not now[1].keys() >= names:
            continue
        if row.first not in before[0] or not before[1].keys() >= names:
            continue
        surplus = now[0][row.first] - mapped(row, now[0][row.first], now[1])
        if _is(surplus, before[0][row.first], near):
            kept[0][row.first] = before[0][row.first]
        elif _is(-surplus, mapped(row, before[0][row.first], before[1]), near):
            kept[1].update((name, before[1][name]) for name in names)
    return kept


def _handed(records: tuple[StepRecord, StepRecord]) -> tuple[Mapping[str, Array], ...]:
    return records[0].handed, records[1].handed


def _is(surplus: Array, gradient: Array, near: float) -> bool:
    size = float(np.abs(gradient).max(initial=0.0))
    return size > 0 and float(np.abs(surplus - gradient).max(initial=0.0)) <= near * size
