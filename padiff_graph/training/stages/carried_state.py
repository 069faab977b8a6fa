"""What the optimizers remember from steps before the first one of the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import ParameterRow
from padiff_graph.training.optimizer_settings import SettingDifference

__all__ = ["carried_differences"]

AGREE = 1e-2
"""Share of the largest value that remembered numbers may differ by and still stem from one
training; chosen so that it lies above what rounding adds in a training and below a step more."""
SETTING = "state carried in"
FRESH = "none"

State = Mapping[str, Mapping[str, Array]]


def carried_differences(
    first: State, second: State, rows: Sequence[ParameterRow]
) -> list[SettingDifference]:
    """State that only one optimizer brings along, or that is another on the other side.

    Args:
        first, second: parameter name -> name of the state -> numbers.
        rows: the parameter map.
    """
    told: dict[tuple[str, str], list[tuple[str, str]]] = {}
    pairs = [(row, piece.second) for row in rows for piece in row.pieces]
    for row, name in pairs:
        values = _differing(row, name, first, second)
        if values is not None:
            told.setdefault(values, []).append((row.first, name))
    return [
        SettingDifference(SETTING, values, tuple(where), len(where) == len(pairs))
        for values, where in told.items()
    ]


def _differing(row: ParameterRow, name: str, first: State, second: State) -> tuple[str, str] | None:
    """What both remember of a parameter, in words; None where it is the same."""
    own, others = _lived(first.get(row.first, {})), _lived(second.get(name, {}))
    if not own or not others:
        return None if not own and not others else (_words(own), _words(others))
    for kind in own.keys() & others.keys():
        theirs = {piece.second: second.get(piece.second, {}).get(kind) for piece in row.pieces}
        present = {key: numbers for key, numbers in theirs.items() if numbers is not None}
        if len(present) < len(theirs):
            continue
        wanted = mapped(row, own[kind], present)
        largest = float(np.abs(wanted).max(initial=0.0))
        if float(np.abs(own[kind] - wanted).max(initial=0.0)) > AGREE * largest:
            return f"another {kind}", f"{kind} of up to {largest:.4g}"
    return None


def _lived(state: Mapping[str, Array]) -> dict[str, Array]:
    """What is no longer as an optimizer makes it, all elements one number."""
    return {
        kind: numbers for kind, numbers in state.items() if numbers.size and np.ptp(numbers) > 0
    }


def _words(state: Mapping[str, Array]) -> str:
    return ", ".join(sorted(state)) or FRESH
