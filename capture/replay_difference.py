"""How far a replay is from eager, and whether rounding excuses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.eager_run import KINDS, Quantities
from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph

__all__ = [
    "TOLERANCE",
    "Judgement",
    "identical",
    "judge",
    "relative_errors",
    "tolerance_of",
]

Errors = Mapping[str, Mapping[str, float]]
"""Relative differences by kind and name."""

TOLERANCE = {"float64": 1e-9, "float32": 1e-5, "float16": 2e-2, "bfloat16": 5e-2}
"""Largest difference, relative to the largest value, that is rounding; by the coarsest dtype met.

A replay makes the same calls on the same numbers and is as a rule equal bit for bit; chosen so that
operations that add up in varying order have room: 84 units in the last place of float32, 20 of
float16, 6 of bfloat16.
"""
NOISES = 4.0
"""So many times what rounding moves may a result differ beyond the tolerance.

Rounding of the cotangents, and of the weights where the replay's forward differs at all. Chosen so
that every lost gradient of tests/capture/test_certificate_noise.py is refused while sums in another
order pass.
"""
MOST = 1e-3
"""Most that an output may differ so, whatever rounding moves; chosen as `NOISES`."""
FLOOR = 1e-6
"""Differences count relative to at least this share of the largest value of their kind.

Chosen so that arrays that are nothing but rounding beside their neighbours (the gradient of a bias
in front of a normalisation) are not held to their own size: ten times finer than `TOLERANCE`.
"""
TINY = 1e-30
"""Keeps division by an array of zeros finite; below what any float32 rounding leaves."""


@dataclass(frozen=True)
class Judgement:
    """What the differences come to.

    Attributes:
        errors: for each kind the largest relative difference.
        counts: for each kind how many arrays were compared.
        departed: (name, error) of what differs beyond rounding, the worst first, by kind.
    """

    errors: Mapping[str, float]
    counts: Mapping[str, int]
    departed: Mapping[str, Sequence[tuple[str, float]]]

    @property
    def reasons(self) -> list[str]:
        """What differs, in sentences."""
        sentences = []
        for kind, wrong in self.departed.items():
            name, error = wrong[0]
            more = ""
            if len(wrong) > 1:
                more = f", and {len(wrong) - 1} more"
            sentences.append(
                f"{kind} {name} of the replayed graph differs from eager by {error:.2g} of its "
                f"largest value{more}"
            )
        if not self.counts["output"]:
            sentences.append("no output was compared")
        return sentences


def judge(
    eager: Quantities,
    replayed: Quantities,
    tolerance: float,
    noise: Callable[[bool], Errors],
) -> Judgement:
    """Holds a replay against eager.

    Args:
        eager: what the model yields.
        replayed: what its capture yields.
        tolerance: relative difference that is rounding.
        noise: how far rounding moves eager, relative as well; asked at most once and only where
            something differs. Called with whether the forward differs at all: one that came out
            equal leaves the backward its own rounding alone.
    """
    errors: dict[str, float] = {}
    counts: dict[str, int] = {}
    departed: dict[str, list[tuple[str, float]]] = {}
    moved: Errors | None = None
    for kind in KINDS:
        ranked = _ranked(kind, eager[kind], replayed[kind])
        counts[kind] = len(ranked)
        errors[kind] = ranked[0][1] if ranked else 0.0
        wrong = [(name, error) for name, error in ranked if not error <= tolerance]
        if wrong and not departed and np.isfinite(wrong[0][1]):
            if moved is None:
                moved = noise(errors["output"] > 0 or errors.get("buffer", 0.0) > 0)
            room = _room(kind, moved[kind], eager[kind], replayed[kind])
            wrong = [
                (name, error)
                for name, error in wrong
                if not error <= tolerance + room.get(name, 0.0)
            ]
        if wrong:
            departed[kind] = wrong
    return Judgement(errors, counts, departed)


def tolerance_of(graph: ComputationGraph) -> float:
    """The tolerance for the coarsest dtype that a graph meets; 0 where nothing floats."""
    dtypes = {info.type.dtype for info in graph.parameters.values()}
    dtypes |= {node.dtype() for node in graph.records()}
    return max((TOLERANCE[dtype] for dtype in dtypes if dtype in TOLERANCE), default=0.0)


def identical(first: Quantities, second: Quantities) -> bool:
    """Whether the same arrays are there and equal bit for bit, NaN included."""
    return all(
        first[kind].keys() == second[kind].keys()
        and all(_same(array, second[kind][name]) for name, array in first[kind].items())
        for kind in KINDS
    )


def relative_errors(eager: Quantities, moved: Quantities) -> Errors:
    """How far each array of eager moved; a missing one counts as a gradient of zeros."""
    return {
        kind: {
            name: _error(array, moved[kind].get(name), 0.0, gradient=True)
            for name, array in eager[kind].items()
        }
        for kind in KINDS
    }


def _ranked(
    kind: str, eager: Mapping[str, Array], replayed: Mapping[str, Array]
) -> list[tuple[str, float]]:
    """(name, error) of everything of one kind, the worst first."""
    floor = FLOOR * max((_largest(array) for array in eager.values()), default=0.0)
    gradient = "gradient" in kind
    errors = [
        (name, _error(eager.get(name), replayed.get(name), floor, gradient=gradient))
        for name in dict.fromkeys([*eager, *replayed])
    ]
    return sorted(errors, key=lambda pair: -pair[1])


def _room(
    kind: str,
    moved: Mapping[str, float],
    eager: Mapping[str, Array],
    replayed: Mapping[str, Array],
) -> dict[str, float]:
    """How far each array may differ beyond the tolerance."""
    most = np.inf
    if kind == "output":
        most = MOST
    return {
        name: min(NOISES * error, most)
        for name, error in moved.items()
        if not _silent(eager.get(name), replayed.get(name))
    }


def _same(first: Array, second: Array) -> bool:
    if first.dtype != second.dtype:
        return False
    first, second = np.asarray(first), np.asarray(second)
    if np.array_equal(first, second):
        return True  # without the many copies that looking for NaN takes
    return np.array_equal(first, second, equal_nan=first.dtype.kind in "fc")


def _silent(first: Array | None, second: Array | None) -> bool:
    """Whether one of two has no number but zeros and the other has.

    What rounding leaves is not exactly zero throughout.
    """
    return (first is None or not np.any(first)) != (second is None or not np.any(second))


def _largest(array: Array) -> float:
    """The largest magnitude of what is finite."""
    array = np.asarray(array)
    if array.dtype.kind == "f" and array.size:
        largest = float(max(array.max(), -array.min()))
        if np.isfinite(largest):
            return largest  # without a copy of the array
    if array.dtype.kind not in "fc":
        array = array.astype(np.float64)
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def _error(first: Array | None, second: Array | None, floor: float, gradient: bool) -> float:
    """Largest difference over largest value; infinite where what is not finite differs."""
    if first is None or second is None:
        return _missing(first, second, gradient)
    if first.shape != second.shape or first.dtype.kind != second.dtype.kind:
        return float("inf")
    first, second = np.asarray(first), np.asarray(second)
    if np.array_equal(first, second):
        return 0.0
    if first.dtype.kind not in "fc":
        return float("inf")
    finite = np.isfinite(first)
    if not _same_infinities(first, second, finite):
        return float("inf")
    wide = np.result_type(first.dtype, np.float64)
    differences = np.abs(first[finite].astype(wide) - second[finite].astype(wide))
    return float(differences.max(initial=0.0)) / max(_largest(first), floor, TINY)


def _missing(first: Array | None, second: Array | None, gradient: bool) -> float:
    """The error where an array is missing: a gradient that does not arrive counts as zero."""
    present = first if first is not None else second
    if present is None or (gradient and not np.any(present)):
        return 0.0
    return float("inf")


def _same_infinities(first: Array, second: Array, finite: Array) -> bool:
    return np.array_equal(finite, np.isfinite(second)) and np.array_equal(
        first[~finite], second[~finite], equal_nan=True
    )
