"""What a model was given and returned in a user's own training step, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause
from padiff_graph.training.binary_cross_entropy import loss_differences
from padiff_graph.training.stages.loss_factor import scale_of
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["habits", "run_pairs", "run_values"]

Kind = Literal["batch", "outputs", "logits"]
ALIKE = 1e-4
"""Relative difference from the loss that a step returns that float32 may leave."""
WEIGHED = "loss.reduction"
"""The kind of cause that a scale of the loss may be taken for."""
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


def habits(
    first: StepRecord, second: StepRecord, outputs: Sequence[tuple[str, str]] = ()
) -> tuple[Cause, ...]:
    """What the two steps do otherwise with the model as a whole: passes, modes, the rows of a loss.

    Args:
        outputs: names of outputs that correspond.
    """
    told: list[Cause] = []
    counts = len(first.passes), len(second.passes)
    if all(counts) and counts[0] != counts[1]:
        told.append(Cause.of("training.passes", first_setting=counts[0], second_setting=counts[1]))
    modes = _modes(first), _modes(second)
    if all(modes) and modes[0] != modes[1]:
        told.append(Cause.of("training.mode", first_setting=modes[0], second_setting=modes[1]))
    return (*told, *_rows(first, second, outputs))


def _rows(
    first: StepRecord, second: StepRecord, outputs: Sequence[tuple[str, str]]
) -> Iterator[Cause]:
    """What the losses of two steps do otherwise with the rows of the first run's logits. How rows
    are weighed is told where what is differentiated is the loss that each step returns."""
    runs = [next(_differentiated(record), None) for record in (first, second)]
    if runs[0] is None or runs[1] is None or len(first.passes) != len(second.passes):
        return
    plain = len(first.passes) == 1 and all(map(_returns_it, (first, second)))
    for names in outputs:
        own = [
            (run[0][name], run[1][name])
            for run, name in zip(runs, names, strict=True)
            if run is not None and name in run[1]
        ]
        if len(own) == len(names):
            told = loss_differences(*zip(*own, strict=True))
            yield from (cause for cause in told if plain or cause.kind != WEIGHED)


def _returns_it(record: StepRecord) -> bool:
    scale = scale_of(record)
    return scale is not None and abs(scale - 1) <= ALIKE


def _differentiated(
    record: StepRecord,
) -> Iterator[tuple[Mapping[str, Array], Mapping[str, Array]]]:
    """Outputs of each run, with their gradients."""
    for entry in record.passes:
        yield from zip(entry.outputs, entry.slopes, strict=False)


def _runs(record: StepRecord) -> int:
    return sum(len(entry.inputs) for entry in record.passes)


def _modes(record: StepRecord) -> str:
    modes = dict.fromkeys(MODES[mode] for entry in record.passes for mode in entry.training)
    return " and ".join(modes)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} of run {number}"
