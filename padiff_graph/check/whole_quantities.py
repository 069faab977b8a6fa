"""What two whole runs yielded, laid side by side and held against a tolerance: from arrays by name
alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.check.eager_models import EagerModel
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.executor.whole_pairs import buffer_pairs, input_pairs, parameter_pairs
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.tolerance import Quantity, Tolerance, quantity

__all__ = ["held_quantities", "pair_outputs"]

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


def held_quantities(
    rows: Sequence[ParameterRow],
    inputs: Pairs,
    models: Models,
    asked: Tolerance,
    *,
    gradients: bool,
) -> list[Quantity]:
    """Gradients of inputs and of parameters, where they were computed, and what buffers become."""
    laid = [*buffer_pairs(rows, *models)]
    if gradients:
        laid = [*input_pairs(inputs, *models), *parameter_pairs(rows, *models), *laid]
    return [_held(entry, asked) for entry in laid]


def _held(entry: TensorPair, asked: Tolerance) -> Quantity:
    """A gradient that one side lacks is zero there."""
    names = entry.first_name, entry.second_name
    held = quantity(entry.kind, *names, *entry.arrays(), asked)
    if held.within or (entry.first is not None and entry.second is not None):
        return held
    side = "first" if entry.first is None else "second"
    return replace(held, reason=f"no gradient arrives on the {side} side")
