"""What two whole runs yielded, laid side by side and held against a tolerance: from arrays by name
alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.check.eager_models import EagerModel
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.tolerance import Quantity, Tolerance, quantity

__all__ = [
    "buffers",
    "input_gradients",
    "lost_outputs",
    "pair_outputs",
    "parameter_gradients",
]

Pairs = Sequence[tuple[str, str]]
Models = tuple[EagerModel, EagerModel]


def pair_outputs(
    matching: Matching | None, firsts: Sequence[str], seconds: Sequence[str]
) -> list[tuple[str, str]]:
    """Which of some outputs correspond: by the matching; without one by name, then by position
    where as many are left on both sides."""
    if matching is not None:
        return [
            (pair.first, pair.second)
            for pair in output_pairs(matching)
            if pair.first in firsts and pair.second in seconds
        ]
    pairs = [(name, name) for name in firsts if name in seconds]
    left = [name for name in firsts if name not in seconds]
    right = [name for name in seconds if name not in firsts]
    if len(left) == len(right):
        pairs += zip(left, right, strict=True)
    return pairs


def lost_outputs(
    pairs: Pairs, firsts: Iterable[str], seconds: Iterable[str]
) -> list[tuple[str, str]]:
    """Outputs that only one side has, as (side, name)."""
    first, second = {name for name, _ in pairs}, {name for _, name in pairs}
    lost = [("first", name) for name in firsts if name not in first]
    return lost + [("second", name) for name in seconds if name not in second]


def input_gradients(pairs: Pairs, models: Models, asked: Tolerance) -> list[Quantity]:
    """Gradients of the inputs that correspond."""
    held: list[Quantity] = []
    for first, second in pairs:
        ours = models[0].gradients.get(f"input:{first}")
        theirs = models[1].gradients.get(f"input:{second}")
        held += _gradient("input", (first, second), ours, theirs, asked)
    return held


def parameter_gradients(
    rows: Iterable[ParameterRow], models: Models, asked: Tolerance
) -> list[Quantity]:
    """Gradients of parameters, through the parameter map."""
    held: list[Quantity] = []
    for row in rows:
        ours = models[0].gradients.get(f"parameter:{row.first}")
        arrived = _arrived(row, models[1].gradients)
        if not row.pieces or _nothing(ours, arrived.values()):
            continue
        theirs = _mapped_gradient(row, ours, arrived) if arrived else None
        held += _gradient("parameter", (row.first, _name(row)), ours, theirs, asked)
    return held


def buffers(rows: Iterable[ParameterRow], models: Models, asked: Tolerance) -> list[Quantity]:
    """What buffers become, through the parameter map."""
    held: list[Quantity] = []
    first, second = models[0].buffers, models[1].buffers
    for row in rows:
        ours = first.get(row.first)
        if ours is None or not row.pieces or not _all_in(row, second):
            continue
        theirs = mapped(row, ours, second)
        held.append(quantity("buffer", row.first, _name(row), ours, theirs, asked))
    return held


def _name(row: ParameterRow) -> str:
    return " + ".join(piece.second for piece in row.pieces)


def _all_in(row: ParameterRow, second: Collection[str]) -> bool:
    return all(piece.second in second for piece in row.pieces)


def _arrived(row: ParameterRow, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """The gradients of a row's pieces that there are."""
    arrived: dict[str, Array] = {}
    for piece in row.pieces:
        array = gradients.get(f"parameter:{piece.second}")
        if array is not None:
            arrived[piece.second] = array
    return arrived


def _nothing(ours: Array | None, arrived: Iterable[Array]) -> bool:
    """Whether no gradient arrived on either side, or zeros on the second alone."""
    return ours is None and not any(array.any() for array in arrived)


def _mapped_gradient(row: ParameterRow, ours: Array | None, arrived: Mapping[str, Array]) -> Array:
    """The second's gradient laid out like the first's; zero where a piece got none."""
    own = np.zeros(row.pieces[0].first_view.source) if ours is None else np.zeros_like(ours)
    filled = {
        piece.second: arrived[piece.second]
        if piece.second in arrived
        else np.zeros(piece.second_view.source)
        for piece in row.pieces
    }
    return mapped(row, own, filled)


def _gradient(
    kind: Literal["input", "parameter"],
    names: tuple[str, str],
    first: Array | None,
    second: Array | None,
    asked: Tolerance,
) -> list[Quantity]:
    """A gradient that one side lacks is zero there."""
    if first is None and second is None:
        return []
    if first is not None and second is not None:
        return [quantity(kind, *names, first, second, asked)]
    if first is None:
        assert second is not None
        held = quantity(kind, *names, np.zeros_like(second), second, asked)
    else:
        held = quantity(kind, *names, first, np.zeros_like(first), asked)
    if held.within:
        return [held]
    side = "first" if first is None else "second"
    return [replace(held, reason=f"no gradient arrives on the {side} side")]
