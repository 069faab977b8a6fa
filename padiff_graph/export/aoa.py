"""A parameter map as AOA statements, and AOA statements held against a parameter map.

Both work on the numbers of elements: what a map's pieces say of each element of a parameter, and
what statements come to when they are carried out. A map is written only where both are the same.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from padiff_graph.alignment.correspondence import ParameterEntry
from padiff_graph.capture.engine import Array
from padiff_graph.data_shapes import misfit
from padiff_graph.errors import UsageError
from padiff_graph.export.aoa_folding import folded
from padiff_graph.export.aoa_language import (
    IDENTIFIER,
    Statement,
    carried_out,
    read_statement,
)
from padiff_graph.file_reading import DAMAGED, reason_of
from padiff_graph.file_writing import write_text
from padiff_graph.printable import json_text

__all__ = ["aoa_statements", "check_aoa", "read_aoa", "write_aoa"]

KEY = "aoa_statements"
MOST_PARTS = 4096
"""Parts that one tensor is cut into at most; chosen above experts times three of the largest
published models, so that what is cut finer is no layout that statements should say."""
PERMUTED = 4
"""Axes of a tensor whose orders are tried; more have too many."""
Rows = list[tuple[str, int]]
"""Of each slice of a parameter along an axis, the source and its slice."""


def write_aoa(
    entries: Sequence[ParameterEntry],
    path: str | os.PathLike[str],
    unused: Iterable[str] = (),
) -> tuple[str, ...]:
    """Writes a map as PaddleFormers reads it: {"aoa_statements": [...]}.

    Args:
        entries: the parameters of a LayerMap or of a candidate.
        path: a .json file.
        unused: names in the checkpoint that the first model does not need.

    Returns:
        The statements.

    Raises:
        UsageError: a parameter has no counterpart, or one that no statement can say.
    """
    statements = aoa_statements(entries, unused)
    write_text(path, json_text({KEY: list(statements)}) + "\n")
    return statements


def read_aoa(path: str | os.PathLike[str]) -> tuple[Statement, ...]:
    """Reads a file of statements: {"aoa_statements": [...]}, or one statement a line.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        held = json.loads(text)[KEY] if text.lstrip().startswith("{") else text.splitlines()
    except DAMAGED as error:
        raise UsageError(
            f"{os.fspath(path)} cannot be read as AOA statements: {reason_of(error)}"
        ) from None
    wrong = misfit(held, list[str], KEY)
    if wrong:
        raise UsageError(f"{os.fspath(path)} cannot be read as AOA statements: {wrong}")
    lines = [line.strip() for line in held]
    return tuple(read_statement(line) for line in lines if line and not line.startswith("#"))


def aoa_statements(
    entries: Sequence[ParameterEntry], unused: Iterable[str] = ()
) -> tuple[str, ...]:
    """A map as statements, which come to the map when they are carried out.

    Raises:
        UsageError: as in `write_aoa`.
    """
    lost = [entry.paddle_name for entry in entries if entry.row.status == "open"]
    if lost:
        raise UsageError(f"no counterpart of {lost[0]} is known, so no statement can be written")
    said: list[str] = []
    numbering = _Numbering.of(entries)
    ways: list[_Way] = []
    for entry in entries:
        _check_names((entry.paddle_name, *entry.seconds))
        if entry.row.status != "mapped":
            said.append(f"_ -> {entry.paddle_name}")
            continue
        simple = _simple(entry, numbering)
        if simple:
            said.append(simple)
        else:
            ways.append(_cut(entry, numbering))
    said += _composed(ways, numbering)
    said += [f"{name} -> _" for name in unused if IDENTIFIER.fullmatch(name)]
    targets = [entry.paddle_name for entry in entries]
    shown = folded(said, numbering.sources, targets)
    wrong = check_aoa([read_statement(text) for text in shown], entries)
    if wrong:
        raise UsageError(f"these statements would not come to the map: {wrong[0]}")
    return shown


def check_aoa(statements: Sequence[Statement], entries: Sequence[ParameterEntry]) -> list[str]:
    """What statements say otherwise than a map, a sentence for each parameter.

    Raises:
        UsageError: a statement cannot be carried out on these parameters.
    """
    numbering = _Numbering.of(entries)
    targets = [entry.paddle_name for entry in entries]
    made = carried_out(statements, numbering.sources, targets)
    wrong: list[str] = []
    for entry in entries:
        name = entry.paddle_name
        given = made.get(name, numbering.sources.get(name))
        if entry.row.status != "mapped":
            if given is not None:
                wrong.append(f"{name}: statements fill it; the map knows no counterpart")
            continue
        sentence = _unlike(given, numbering.of_entry(entry), numbering)
        if sentence:
            wrong.append(f"{name}: {sentence}")
    return wrong


def _unlike(given: Array | None, wanted: Array, numbering: _Numbering) -> str:
    """How what statements come to is unlike the map; "" where it is not."""
    if given is None:
        return "no statement gives it"
    if given.shape != wanted.shape:
        return f"statements give {list(given.shape)}, the parameter is {list(wanted.shape)}"
    differ = np.argwhere(given != wanted)
    if not len(differ):
        return ""
    at = tuple(int(place) for place in differ[0])
    return (
        f"{len(differ)} of {wanted.size} elements come from elsewhere; {list(at)} from "
        f"{numbering.told(int(given[at]))}, by the map from {numbering.told(int(wanted[at]))}"
    )


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not IDENTIFIER.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot stand in an AOA statement, whose names begin with a letter and "
                "hold letters, digits, dots and underlines"
            )


@dataclass(frozen=True)
class _Numbering:
    """A number for every element of every source.

    Attributes:
        sources: by name an array of these numbers.
        starts: the first number of each source.
    """

    sources: dict[str, Array]
    starts: dict[str, int]

    @classmethod
    def of(cls, entries: Sequence[ParameterEntry]) -> _Numbering:
        sources: dict[str, Array] = {}
        starts: dict[str, int] = {}
        start = 0
        for entry in entries:
            for name, shape in entry.seconds.items():
                if name not in sources:
                    size = math.prod(shape)
                    sources[name] = np.arange(start, start + size).reshape(shape)
                    starts[name] = start
                    start += size
        return cls(sources, starts)

    def of_entry(self, entry: ParameterEntry) -> Array:
        """Of each element of a parameter the number of the element that it comes from."""
        if any(piece.summed for piece in entry.row.pieces):
            raise UsageError(f"{entry.paddle_name} ({entry.row.transform}): no AOA statement adds")
        target = np.full(math.prod(entry.shape), -1, np.int64)
        for piece in entry.row.pieces:
            into, taken = piece.first_view.indices(), piece.second_view.indices()
            target[into.reshape(-1)] = self.starts[piece.second] + taken.reshape(-1)
        return target.reshape(entry.shape)

    def told(self, number: int) -> str:
        """An element in words."""
        for name, start in self.starts.items():
            array = self.sources[name]
            if start <= number < start + array.size:
                at = np.unravel_index(number - start, array.shape)
                return f"{name}{[int(place) for place in at]}"
        return "nowhere"


def _simple(entry: ParameterEntry, numbering: _Numbering) -> str:
    """The statement of a parameter that is one source, its axes in some order; "" for another."""
    if len(entry.seconds) != 1:
        return ""
    (source,) = entry.seconds
    wanted, given = numbering.of_entry(entry), numbering.sources[source]
    if wanted.shape == given.shape and np.array_equal(wanted, given):
        return f"{source} -> {entry.paddle_name}"
    if wanted.shape == given.T.shape and np.array_equal(wanted, given.T):
        return f"{source}^T -> {entry.paddle_name}"
    if given.ndim <= PERMUTED:
        for order in permutations(range(given.ndim)):
            turned = given.transpose(order)
            if turned.shape == wanted.shape and np.array_equal(turned, wanted):
                return f'{source} -> {entry.paddle_name}, permute = "{list(order)}"'
    return ""


@dataclass(frozen=True)
class _Way:
    """How a parameter is put together along an axis from slices of turned or plain sources."""

    name: str
    axis: int
    turned: bool
    rows: Rows


def _cut(entry: ParameterEntry, numbering: _Numbering) -> _Way:
    """The way to put a parameter together with the fewest cuts.

    Raises:
        UsageError: there is none.
    """
    wanted = numbering.of_entry(entry)
    ways: list[_Way] = []
    for axis in range(wanted.ndim):
        for turned in (False, True):
            rows = _rows(wanted, axis, turned, entry.seconds, numbering)
            if rows is not None:
                ways.append(_Way(entry.paddle_name, axis, turned, rows))
    if not ways:
        raise UsageError(
            f"{entry.paddle_name} ({entry.row.transform}) is put together in a way that no AOA "
            "statement says"
        )
    return min(ways, key=lambda way: len(_runs(way.rows)))


def _rows(
    wanted: Array, axis: int, turned: bool, names: Iterable[str], numbering: _Numbering
) -> Rows | None:
    """Of each slice of a parameter the source's slice that it is; None where one is none."""
    slices = np.moveaxis(wanted, axis, 0).reshape(wanted.shape[axis], -1)
    known: dict[int, tuple[str, int, Array]] = {}
    for name in names:
        source = numbering.sources[name].T if turned else numbering.sources[name]
        if source.ndim != wanted.ndim:
            continue
        across = (*source.shape[:axis], *source.shape[axis + 1 :])
        if across != (*wanted.shape[:axis], *wanted.shape[axis + 1 :]):
            continue
        for row, numbers in enumerate(np.moveaxis(source, axis, 0).reshape(source.shape[axis], -1)):
            known[int(numbers[0])] = (name, row, numbers)
    rows: Rows = []
    for numbers in slices:
        name, row, same = known.get(int(numbers[0]), ("", 0, numbers[:0]))
        if not np.array_equal(same, numbers):
            return None
        rows.append((name, row))
    return rows


def _runs(rows: Rows) -> list[tuple[str, int, int]]:
    """Slices that follow each other in one source: (source, from, to)."""
    runs: list[tuple[str, int, int]] = []
    for name, row in rows:
        if runs and runs[-1][0] == name and runs[-1][2] == row:
            runs[-1] = (name, runs[-1][1], row + 1)
        else:
            runs.append((name, row, row + 1))
    return runs


def _composed(ways: Sequence[_Way], numbering: _Numbering) -> list[str]:
    """Sources cut into equal parts where a parameter begins or ends inside of them, then the
    parameters put together."""
    steps: dict[tuple[str, int, bool], int] = {}
    for way in ways:
        for name, begin, end in _runs(way.rows):
            key = (name, way.axis, way.turned)
            length = _length(numbering, *key)
            steps[key] = math.gcd(steps.get(key, length), begin, end)
    said: list[str] = []
    parts: dict[tuple[str, int, bool], list[str]] = {}
    for key, step in steps.items():
        name, axis, turned = key
        source = f"{name}^T" if turned else name
        count = _length(numbering, *key) // step
        if count > MOST_PARTS:
            raise UsageError(f"{name} would be cut into {count} parts, {MOST_PARTS} at most")
        parts[key] = [source]
        if count > 1:
            label = f"{name}_axis{axis}{'_turned' if turned else ''}_part"
            parts[key] = [f"{label}{number}" for number in range(count)]
            said.append(f"{source} -> {', '.join(parts[key])}, axis = {axis}")
    for way in ways:
        names: list[str] = []
        for name, begin, end in _runs(way.rows):
            key = (name, way.axis, way.turned)
            names += parts[key][begin // steps[key] : end // steps[key]]
        along = f", axis = {way.axis}" if len(names) > 1 else ""
        said.append(f"{', '.join(names)} -> {way.name}{along}")
    return said


def _length(numbering: _Numbering, name: str, axis: int, turned: bool) -> int:
    source = numbering.sources[name]
    return int((source.T if turned else source).shape[axis])
