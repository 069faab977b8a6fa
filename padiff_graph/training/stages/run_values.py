"""What a model was given and returned in a user's own training step, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["habits", "run_pairs", "run_values"]

Kind = Literal["batch", "outputs"]
MODES = {True: "training", False: "evaluation"}


def run_values(record: StepRecord, kind: Kind) -> dict[str, Array]:
    """Arrays of every run before a backward pass; from the second run on their names are numbered.

    Args:
        record: of a step.
        kind: what is asked for.
    """
    values: dict[str, Array] = {}
    number = 0
    for entry in record.passes:
        for arrays in entry.inputs if kind == "batch" else entry.outputs:
            number += 1
            values.update({_numbered(name, number): array for name, array in arrays.items()})
    return values


def run_pairs(
    pairs: Sequence[tuple[str, str]], first: StepRecord, second: StepRecord
) -> list[tuple[str, str]]:
    """Names of what corresponds in all runs of a step; none where the runs do not correspond."""
    counts = {_runs(first), _runs(second)}
    if len(counts) > 1 or len(first.passes) != len(second.passes):
        return []
    return [
        (_numbered(one, number), _numbered(other, number))
        for number in range(1, counts.pop() + 1)
        for one, other in pairs
    ]


def habits(first: StepRecord, second: StepRecord) -> tuple[Cause, ...]:
    """What the two steps do otherwise with the model as a whole: passes, modes."""
    told: list[Cause] = []
    counts = len(first.passes), len(second.passes)
    if all(counts) and counts[0] != counts[1]:
        told.append(Cause.of("training.passes", first_setting=counts[0], second_setting=counts[1]))
    modes = _modes(first), _modes(second)
    if all(modes) and modes[0] != modes[1]:
        told.append(Cause.of("training.mode", first_setting=modes[0], second_setting=modes[1]))
    return tuple(told)


def _runs(record: StepRecord) -> int:
    return sum(len(entry.inputs) for entry in record.passes)


def _modes(record: StepRecord) -> str:
    modes = dict.fromkeys(MODES[mode] for entry in record.passes for mode in entry.training)
    return " and ".join(modes)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} of run {number}"
