"""Whether the two models hold the same weights, through the parameter map, and what is wrong where not."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.diagnosis.probes import probe
from padiff_graph.diagnosis.reordering import around, turning
from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow

__all__ = ["weight_findings"]

CLOSE = 1e-6
RANK = 5
"""Most axes whose orders are tried."""


@dataclass(frozen=True)
class _Odd:
    """A parameter whose value is not what the map says; `place` where that shows elsewhere than at the parameter."""

    row: ParameterRow
    kind: str
    cause: str
    error: float
    scale: float
    place: tuple[str, str] | None = None


def weight_findings(matching: Matching, first: Engine, second: Engine) -> tuple[Finding, ...]:
    """Compares the models' own weights as they stand; nothing is written.

    One finding for each cause: a weight not transposed, two layers' weights swapped, running
    statistics never copied, or values that simply differ.
    """
    ours = {name: first.array(tensor) for name, tensor in first.parameters().items()}
    theirs = {name: second.array(tensor) for name, tensor in second.parameters().items()}
    expected = {
        row.first: mapped(row, ours[row.first], theirs)
        for row in matching.parameters
        if row.pieces and row.first in ours and all(piece.second in theirs for piece in row.pieces)
    }
    odd = [
        found
        for row in matching.parameters
        if row.first in expected
        and (found := _odd(row, ours, theirs, expected, matching)) is not None
    ]
    order = first_reads(matching.second.graph)
    groups: dict[str, list[_Odd]] = defaultdict(list)
    for found in odd:
        groups[found.kind].append(found)
    return tuple(
        sorted(
            (_finding(group, order) for group in groups.values()), key=lambda finding: finding.order
        )
    )


def _odd(
    row: ParameterRow,
    ours: Mapping[str, Array],
    theirs: Mapping[str, Array],
    expected: Mapping[str, Array],
    matching: Matching,
) -> _Odd | None:
    own, wanted = ours[row.first], expected[row.first]
    if own.dtype.kind not in "fc" or _same(own, wanted):
        return None
    error = float(np.abs(own.astype(np.float64) - wanted.astype(np.float64)).max())
    scale = float(np.abs(wanted.astype(np.float64)).max())
    other = " + ".join(piece.second for piece in row.pieces)
    raw = theirs[row.pieces[0].second]
    if len(row.pieces) == 1 and raw.shape == own.shape and _same(own, raw):
        return _Odd(
            row,
            f"layout {row.transform}",
            f"{row.first} holds {other} as it is; the map between them is: {row.transform}",
            error,
            scale,
        )
    if own.ndim == 2 and own.shape[0] == own.shape[1] and _same(own.T, wanted):
        return _Odd(
            row,
            "layout transposed",
            f"{row.first} holds {other} transposed the wrong way: its own transpose is what the map asks for ({row.transform})",
            error,
            scale,
        )
    if len(row.pieces) == 1 and any(
        _same(own, raw.transpose(axes)) for axes in _orders(raw.shape, own.shape)
    ):
        return _reordered(row, own, wanted, matching, error, scale)
    for name, value in expected.items():
        if (
            name != row.first
            and value.shape == own.shape
            and value.size > 1
            and _same(own, value)
            and not _same(value, wanted)
            and not _constant(own)
        ):
            return _Odd(
                row,
                f"swapped {' '.join(sorted((_owner(row.first), _owner(name))))}",
                f"{row.first} holds the values that belong to {name}: {_owner(row.first)} is swapped with {_owner(name)}",
                error,
                scale,
            )
    if _constant(own) and not _constant(wanted):
        return _Odd(
            row,
            "initial",
            f"{row.first} still stands at {float(own.reshape(-1)[0]):g}; {other} was never copied",
            error,
            scale,
        )
    seen = probe(own, wanted).words
    if seen.startswith("the same values"):
        return _Odd(
            row,
            f"order of {row.first}",
            f"{row.first} holds the values of {other} in another order than the map asks for: {seen}",
            error,
            scale,
        )
    return _Odd(row, "values", f"{row.first} and {other} hold different values", error, scale)


def _reordered(
    row: ParameterRow, own: Array, wanted: Array, matching: Matching, error: float, scale: float
) -> _Odd:
    """The values agree as they stand, and the models compute with their elements in another order."""
    other = row.pieces[0].second
    seen = probe(own, wanted).words.replace("the same values, ", "") or row.transform
    found = turning(
        (matching.first.graph, matching.second.graph),
        (around(matching.first, {row.first}), around(matching.second, {other})),
    )
    cause = f"{row.first} holds the values of {other}, but the two models compute with their elements in another order ({seen})"
    if found is None:
        return _Odd(row, f"order {row.first}", cause, error, scale)
    side, record = found
    paths = [row.first.rpartition(".")[0], other.rpartition(".")[0]]
    paths[side] = record.path
    return _Odd(
        row,
        f"order {record.path}",
        f"{cause}: {record.op} in {record.path or 'the root'} of the {('first', 'second')[side]} side turns them",
        error,
        scale,
        (paths[0], paths[1]),
    )


def _orders(shape: Sequence[int], wanted: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The orders of axes that make one shape of another; few axes only."""
    if len(shape) == len(wanted) <= RANK:
        yield from (
            axes
            for axes in itertools.permutations(range(len(shape)))
            if tuple(shape[axis] for axis in axes) == tuple(wanted)
        )


def _same(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if (
        one.size
        and one.reshape(-1)[0] != other.reshape(-1)[0]
        and abs(float(one.reshape(-1)[0]) - float(other.reshape(-1)[0]))
        > CLOSE * max(1.0, abs(float(other.reshape(-1)[0])))
    ):
        return False
    return bool(np.allclose(one, other, rtol=CLOSE, atol=CLOSE * 1e-2, equal_nan=True))


def _constant(array: Array) -> bool:
    return array.size > 0 and bool((array == array.reshape(-1)[0]).all())


def _owner(name: str) -> str:
    return name.rpartition(".")[0] or "the root"


def _finding(group: Sequence[_Odd], order: Mapping[str, int]) -> Finding:
    def place(found: _Odd) -> tuple[str, str]:
        return found.place or (
            found.row.first.rpartition(".")[0],
            found.row.pieces[0].second.rpartition(".")[0],
        )

    def position(found: _Odd) -> int:
        return order.get(found.row.pieces[0].second, 1 << 30)

    ranked = sorted(group, key=position)
    head = ranked[0]
    places = tuple(dict.fromkeys(place(found) for found in ranked))
    cause = (
        head.cause
        if len(ranked) == 1
        else f"{head.cause} (and {len(ranked) - 1} more parameters alike)"
    )
    return Finding(
        "weights", "different", cause, *places[0], error=max(found.error for found in ranked),
        relative=max(found.error / found.scale if found.scale else found.error for found in ranked),
        places=places, advice="copy the weights through the parameter map: assign_weight, or auto_weights=True", order=position(head),
    )  # fmt: skip
