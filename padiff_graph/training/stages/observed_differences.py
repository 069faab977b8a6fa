"""What the two sides were seen to do with gradients in one step: kept or cleared, clipped, used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from padiff_graph.capture.abilities import WatchedStep
from padiff_graph.capture.engine import Array
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import ParameterRow
from padiff_graph.training.optimizer_settings import SettingDifference
from padiff_graph.training.stages.gradient_treatment import (
    Treatment,
    allowance,
    compatible,
    treatments,
)
from padiff_graph.training.stages.loss_factor import (
    factor_between,
    factor_words,
    follows,
    multiple,
    power_of_two,
    scaled_words,
)
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["CLIPPING", "observed_differences"]

CLIPPING = "gradient clipping"
CLEARING = "gradients after a step"
UNSCALING = "unscaling of gradients"
COUNT = "steps of the optimizer in one call"
AGREE = 1e-3
"""Gradients that differ by less than this share of their largest are held against each other as
numbers, others by the rule that they went through."""
SAME = 1e-3
"""Share of the weights' norm by which two sides that started a step alike may be apart: a tenth of
the least factor that is told."""
CARRIED = 1e-2
"""Relative difference of a factor that the update is handed from the one that gradients came with.
"""
NOISE = 10
"""How many times the gradients' own difference what is done to them may carry on."""

Told = tuple[str, object, object]
Pair = tuple[str, str]


def observed_differences(
    first: StepRecord, second: StepRecord, rows: Sequence[ParameterRow]
) -> list[SettingDifference]:
    """Every stage before the update that the two sides were seen to do otherwise.

    Args:
        first, second: the same step of both sides.
        rows: the parameter map.
    """
    rows = [row for row in rows if _arrived(row, first.accumulated, second.accumulated)]
    pairs = [(row.first, piece.second) for row in rows for piece in row.pieces]
    told: dict[Told, list[Pair]] = {}
    for pair in pairs:
        for setting, values in _counted(pair, first, second):
            if values[0] != values[1]:
                told.setdefault((setting, *values), []).append(pair)
    both = rows, first, second
    ratio = multiple(rows, first.accumulated, second.accumulated)
    factor = None
    if _fresh(first, second):
        factor = factor_between(ratio, first, second, lambda: _started_alike(*both))
    if factor is not None:
        words = _carried_on(rows, first, second, factor)
        if words is not None:
            told.setdefault(words, []).extend(pairs)
        # the rest is held against each other as if the factor were none
        first = replace(first, accumulated=_divided(first.accumulated, factor))
        if words is not None:
            first = replace(first, updates=tuple(_handed(first, factor)))
    for setting, pair, values in _treated(rows, first, second):
        told.setdefault((setting, *values), []).append(pair)
    return [
        SettingDifference(setting, (one, other), tuple(where), len(where) == len(pairs))
        for (setting, one, other), where in told.items()
    ]


def _fresh(first: StepRecord, second: StepRecord) -> bool:
    """Whether both gradients are known to be of this step's backward passes alone."""
    return all(record.passes and not record.remaining for record in (first, second))


def _started_alike(rows: Sequence[ParameterRow], first: StepRecord, second: StepRecord) -> bool:
    """Whether both sides held the same weights: gradients of others say nothing of a factor."""
    weights = multiple(rows, first.before, second.before)
    return weights.rest <= SAME and abs(weights.factor - 1) <= SAME


def _carried_on(
    rows: Sequence[ParameterRow], first: StepRecord, second: StepRecord, factor: float
) -> Told | None:
    """The setting and both values of a factor that the updates are handed too; None where it is
    taken back on the way, as a scale of the loss is."""
    handed = [record.handed or record.accumulated for record in (first, second)]
    reached = multiple(rows, handed[0], handed[1])
    close = reached.constant and bool(np.isclose(reached.factor, factor, rtol=CARRIED))
    if not close and not follows(reached, factor):
        return None
    words, setting = factor_words(first, second, factor)
    return setting, *words


def _divided(arrays: Mapping[str, Array], factor: float) -> dict[str, Array]:
    return {name: array / array.dtype.type(factor) for name, array in arrays.items()}


def _handed(record: StepRecord, factor: float) -> Iterator[WatchedStep]:
    for update in record.updates:
        yield replace(update, gradients=_divided(update.gradients, factor))


def _arrived(row: ParameterRow, first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    names = {piece.second for piece in row.pieces}
    return bool(names) and row.first in first and second.keys() >= names


def _finite(row: ParameterRow, first: StepRecord, second: StepRecord) -> bool:
    """Whether numbers tell what was done to a gradient: a lost one shows nothing of it."""
    sides = [(first, {row.first}), (second, {piece.second for piece in row.pieces})]
    return all(
        np.isfinite(record.accumulated[name]).all()
        for record, names in sides
        for name in names
        if name in record.accumulated
    )


def _counted(
    pair: Pair, first: StepRecord, second: StepRecord
) -> Iterator[tuple[str, tuple[object, object]]]:
    """How often a parameter was updated, and what became of its gradient."""
    if not any(record.hidden(name) for record, name in zip((first, second), pair, strict=True)):
        yield COUNT, (first.updated(pair[0]), second.updated(pair[1]))
    yield CLEARING, (_fate(first, pair[0]), _fate(second, pair[1]))


def _fate(record: StepRecord, name: str) -> str:
    remaining = record.remaining.get(name)
    return "cleared" if remaining is None or not remaining.any() else "kept"


def _treated(
    rows: Sequence[ParameterRow], first: StepRecord, second: StepRecord
) -> Iterator[tuple[str, Pair, tuple[object, object]]]:
    """Parameters whose gradients went through another treatment, with both."""
    handed = first.handed, second.handed
    rows = [row for row in rows if _arrived(row, *handed) and _finite(row, first, second)]
    apart = multiple(rows, first.accumulated, second.accumulated).rest
    own = treatments(first.accumulated, handed[0], first.unit)
    theirs = treatments(second.accumulated, handed[1], second.unit)
    differing = [
        ((row.first, piece.second), (own[row.first], theirs[piece.second]))
        for row in rows
        if not _same(row, first, second, own[row.first], theirs, apart)
        for piece in row.pieces
    ]
    # a parameter left out of a norm changes the factor of all others, with the norm the same
    causes = [entry for entry in differing if not compatible(*entry[1])]
    for pair, (one, other) in causes or differing:
        if power_of_two(one, other):
            yield UNSCALING, pair, (scaled_words(one), scaled_words(other))
        else:
            yield CLIPPING, pair, (str(one), str(other))


def _same(
    row: ParameterRow,
    first: StepRecord,
    second: StepRecord,
    own: Treatment,
    others: Mapping[str, Treatment],
    apart: float,
) -> bool:
    """Whether one parameter's gradient went through the same: by its numbers where gradients
    agree, else by what can be told of the rule.

    Args:
        apart: share by which all gradients together differ: a norm of all carries it to each.
    """
    theirs = [others[piece.second] for piece in row.pieces]
    before, after = first.accumulated[row.first], first.handed[row.first]
    noise = _gap(before, mapped(row, before, second.accumulated))
    scale = float(np.abs(before).max(initial=0.0))
    wanted = mapped(row, after, second.handed)
    size = float(np.abs(wanted).max(initial=0.0))
    allowed = max(allowance(treatment) for treatment in (own, *theirs))
    noise = max(noise / scale if scale else 0.0, apart)
    if noise > AGREE:
        return _gap(after, wanted) <= allowed * size or all(
            compatible(own, other) for other in theirs
        )
    return _gap(after, wanted) <= (allowed + NOISE * noise) * size


def _gap(first: Array, second: Array) -> float:
    return float(np.abs(first.astype(np.float64) - second).max(initial=0.0))
