"""Gradients that are a multiple of the other side's: a divisor of accumulation that is left out, a
scale of the loss that is not taken back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import ParameterRow
from padiff_graph.training.grain import SINGLE, eps, widened
from padiff_graph.training.stages.gradient_treatment import Treatment
from padiff_graph.training.stages.step_record import StepRecord

__all__ = [
    "Multiple",
    "factor_between",
    "factor_words",
    "follows",
    "is_factor",
    "multiple",
    "power_of_two",
    "scale_of",
    "scaled_words",
]

LEAST = 1e-2
"""Relative difference from 1 of a factor that is told; chosen above what rounding makes of a
gradient as a whole (0.1 % in healthy pairs) and below what a person would multiply with."""
COARSE_LEAST = 2
"""The same in units of half precision."""
ALIKE = 0.05
"""Share of the gradients that may not follow the factor: rounding parts single elements further
than their sum."""
PURE = 1e-3
"""Share that is rounding's: gradients that follow a factor so closely are multiplied by it,
whatever was differentiated."""
CLOSE = 0.25
"""How far gradients may be from a known factor, as a share of the way that it is from one."""
EXACT = 1e-5
"""Relative difference from a power of two that float32 leaves."""


@dataclass(frozen=True)
class Multiple:
    """What all gradients of one side are of the other's.

    Attributes:
        factor: first = factor * second; 1.0 where they agree.
        rest: the share of the first's norm that the factor leaves unexplained.
        unit: relative distance of two numbers that a gradient can hold.
    """

    factor: float
    rest: float
    unit: float = eps(SINGLE)

    @property
    def agrees(self) -> bool:
        """Whether the gradients are one another's, up to rounding."""
        return self.constant and abs(self.factor - 1) <= max(LEAST, COARSE_LEAST * self.unit)

    @property
    def constant(self) -> bool:
        """Whether they are one multiple of each other, zero left out."""
        return self.rest <= ALIKE and self.factor > 0


def multiple(
    rows: Sequence[ParameterRow], first: Mapping[str, Array], second: Mapping[str, Array]
) -> Multiple:
    """The factor by which the first side's arrays are the second's, over all parameters."""
    both = against = own = 0.0
    for row in rows:
        names = {piece.second for piece in row.pieces}
        if row.first not in first or not second.keys() >= names:
            continue
        array = np.asarray(first[row.first])
        wanted = np.asarray(mapped(row, array, second))
        for ours, theirs in widened(array.reshape(-1), wanted.reshape(-1)):
            both += float(ours @ theirs)
            against += float(theirs @ theirs)
            own += float(ours @ ours)
    if not against or not own or not math.isfinite(own + against):
        return Multiple(1.0, 0.0 if own == against else 1.0)
    factor = both / against
    rest = max(0.0, own - 2 * factor * both + factor * factor * against)
    return Multiple(factor, math.sqrt(rest / own))


def is_factor(ratio: Multiple, first: StepRecord, second: StepRecord) -> bool:
    """Whether gradients were multiplied: what was differentiated was so too, or no element departs
    from the factor. Another loss, label smoothing say, may shrink most gradients alike."""
    ratio = replace(ratio, unit=max(first.unit, second.unit))
    if not ratio.constant or ratio.agrees:
        return False
    own, wanted = (sum(entry.loss for entry in record.passes) for record in (first, second))
    known = math.isfinite(own) and math.isfinite(wanted)
    alike = known and abs(own - ratio.factor * wanted) <= LEAST * abs(own)
    return alike or ratio.rest <= PURE


def factor_between(
    ratio: Multiple, first: StepRecord, second: StepRecord, alike: Callable[[], bool] = lambda: True
) -> float | None:
    """By what the first side's gradients were multiplied, against the second's; None where they
    were not.

    Args:
        alike: whether both sides held the same weights: gradients of others say nothing of a
            factor, unless it is known.
    """
    known = _known_factor(ratio, first, second)
    if known is not None:
        return known
    return ratio.factor if is_factor(ratio, first, second) and alike() else None


def _known_factor(ratio: Multiple, first: StepRecord, second: StepRecord) -> float | None:
    """The factor that stands in what each step differentiates, as a multiple of the loss that it
    returns, where the gradients are about that much larger."""
    scales = scale_of(first), scale_of(second)
    if scales[0] is None or scales[1] is None:
        return None
    known = scales[0] / scales[1]
    if known <= 0 or abs(known - 1) <= LEAST:
        return None
    return known if follows(ratio, known) else None


def follows(ratio: Multiple, known: float) -> bool:
    """Whether gradients are about a known factor apart, and not alike: weights that have parted let
    them follow it no closer."""
    if ratio.factor <= 0:
        return False
    return abs(math.log(ratio.factor / known)) <= CLOSE * abs(math.log(known))


def scale_of(record: StepRecord) -> float | None:
    """What was differentiated in a step as a multiple of the loss that the step returned; None
    where that is not known."""
    total = sum(entry.loss for entry in record.passes)
    if not record.told or not record.passes or not record.loss or not math.isfinite(total):
        return None
    return total / record.loss


def factor_words(
    first: StepRecord, second: StepRecord, factor: float
) -> tuple[tuple[str, str], str]:
    """What both sides differentiate, in words, and the name of the setting."""
    counts = len(first.passes), len(second.passes)
    setting = "accumulation" if max(counts) > 1 else "loss factor"
    scales = scale_of(first), scale_of(second)
    known = [scale for scale in scales if scale is not None]
    if len(known) == 2 and abs(known[0] - known[1]) > LEAST * abs(known[1]):
        return (_times(known[0], counts[0]), _times(known[1], counts[1])), setting
    totals = [sum(entry.loss for entry in record.passes) for record in (first, second)]
    return (_total(totals[0], counts[0], factor), _total(totals[1], counts[1], 1.0)), setting


def power_of_two(own: Treatment, other: Treatment) -> bool:
    """Whether one side's gradients were multiplied by an exact power of two and the other's were
    left alone: a scale that is taken back, no clipping."""
    kinds = {own.kind: own, other.kind: other}
    scaled = kinds.get("norm")
    if scaled is None or "none" not in kinds or scaled.factor <= 0:
        return False
    exponent = math.log2(scaled.factor)
    return abs(exponent - round(exponent)) <= EXACT and round(exponent) != 0


def scaled_words(treatment: Treatment) -> str:
    """What a scale that is taken back, or is not, does to gradients."""
    if treatment.kind == "none":
        return "left as they are"
    if treatment.factor < 1:
        return f"divided by {1 / treatment.factor:.6g}"
    return f"multiplied by {treatment.factor:.6g}"


def _times(scale: float, count: int) -> str:
    return f"{scale:.6g} times the loss it returns, in {_passes(count)}"


def _total(total: float, count: int, factor: float) -> str:
    times = "" if factor == 1.0 else f" with gradients {factor:.4g} times as large"
    return f"{total:.6g} in {_passes(count)}{times}"


def _passes(count: int) -> str:
    return "one backward pass" if count == 1 else f"{count} backward passes"
