"""What parameters that structure leaves open may be: few candidates each, by names, shapes and
known conventions. Whoever runs the models tries them.

Parameters of one name with other numbers in it (the same weight of every layer) are one question
with one answer. Values rank the candidates where both models hold them, and decide nothing: a
weight that was never copied agrees with nothing.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.graph import ParameterInfo
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.conventions import Shape, gate_orders, orders
from padiff_graph.matching.parameters.parameter_map import Values
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["Choice", "Option", "choices", "regated", "same_numbers", "template"]

OPTIONS = 12
"""Most candidates of one question; chosen so that two names of a weight and six orders fit."""
CONFIDENCE = 0.6
"""Of a row that nothing has proved."""
REASON = "a candidate by name and shape"
SAME = 1e-6
"""Relative difference below which two weights are one number: a checkpoint keeps them exactly, a
conversion between dtypes of one width nearly so."""


@dataclass(frozen=True)
class Option:
    """One answer to a question.

    Attributes:
        convention: by which the elements are laid out; "" for their order as it is.
        rows: of the question's parameters.
        agrees: whether the models' own values agree under it.
    """

    convention: str
    rows: tuple[ParameterRow, ...]
    agrees: bool = False

    @property
    def seconds(self) -> frozenset[str]:
        """The second model's parameters that it uses."""
        return frozenset(piece.second for row in self.rows for piece in row.pieces)


@dataclass(frozen=True)
class Choice:
    """Parameters of the first model that one answer is sought for, and the answers, likeliest
    first."""

    names: tuple[str, ...]
    options: tuple[Option, ...]


@dataclass(frozen=True)
class _Family:
    """Parameters of one template and shape, by the numbers in their names."""

    template: str
    names: tuple[str, ...]
    shape: Shape


def template(name: str) -> str:
    """A name with every number that stands for itself replaced."""
    return ".".join("#" if part.isdecimal() else part for part in name.split("."))


def choices(
    matching: Matching, values: tuple[Values, Values], names: Sequence[str]
) -> list[Choice]:
    """The questions about these parameters of the first model, in its order.

    Each may take any parameter of the second that is left over, or that one of these has now.
    """
    infos = matching.first.graph.parameters, matching.second.graph.parameters
    held = {row.first: row.pieces for row in matching.parameters}
    now = [piece.second for name in names for piece in held[name]]
    left = _families(list(dict.fromkeys((*now, *matching.unused_second))), infos[1])
    asked = []
    for family in _families(names, infos[0]):
        options = _ranked(family, [other for other in left if _fits(family, other)], values)
        if options:
            asked.append(Choice(family.names, options))
    return asked


def regated(matching: Matching, names: Sequence[str]) -> list[Choice]:
    """For parameters with a row the same with the gates of a recurrent cell in another order."""
    infos = matching.first.graph.parameters, matching.second.graph.parameters
    rows = {row.first: row for row in matching.parameters}
    asked = []
    for family in _families(names, infos[0]):
        kept = tuple(rows[name] for name in family.names)
        seconds = [row.pieces[0].second for row in kept]
        shape = infos[1][seconds[0]].type.shape
        if any(infos[1][second].type.shape != shape for second in seconds):
            continue
        options = [Option("", kept)]
        for words, turned in gate_orders(shape):
            views = [turned.then(row.pieces[0].second_view) for row in kept]
            same = zip(family.names, seconds, views, strict=True)
            turned_rows = tuple(
                _row(name, family.shape, second, shape, view) for name, second, view in same
            )
            options.append(Option(words, turned_rows))
        if len(options) > 1:
            asked.append(Choice(family.names, tuple(options)))
    return asked


def _families(names: Sequence[str], infos: Mapping[str, ParameterInfo]) -> list[_Family]:
    members: dict[tuple[str, Shape], list[str]] = defaultdict(list)
    for name in names:
        members[template(name), infos[name].type.shape].append(name)
    return [_Family(key[0], tuple(names), key[1]) for key, names in members.items()]


def _fits(first: _Family, second: _Family) -> bool:
    return len(first.names) == len(second.names) and math.prod(first.shape) == math.prod(
        second.shape
    )


def _ranked(
    family: _Family, others: Sequence[_Family], values: tuple[Values, Values]
) -> tuple[Option, ...]:
    """The answers: values that agree first, then names that are alike, then plain orders."""
    near = sorted(others, key=lambda other: -_likeness(family.template, other.template))
    found = [option for other in near for option in _options(family, other, values)]
    return tuple(sorted(found, key=lambda option: not option.agrees)[:OPTIONS])


def _likeness(first: str, second: str) -> float:
    """How alike two names are: the same whole counts most, then the same end, then shared words."""
    ours, theirs = (set(re.split(r"[._#]+", name)) - {""} for name in (first, second))
    shared = len(ours & theirs) / max(len(ours | theirs), 1)
    same_end = first.rpartition(".")[2] == second.rpartition(".")[2]
    return 2.0 * (first == second) + same_end + shared


def _options(family: _Family, other: _Family, values: tuple[Values, Values]) -> Iterator[Option]:
    """The second family in every order that a convention explains."""
    for convention, view in orders(family.shape, other.shape):
        rows = tuple(
            _row(name, family.shape, second, other.shape, view)
            for name, second in zip(family.names, other.names, strict=True)
        )
        pairs = zip(family.names, other.names, strict=True)
        agrees = all(same_numbers(values, first, second, view) for first, second in pairs)
        yield Option(convention, rows, agrees)


def _row(name: str, shape: Shape, second: str, other: Shape, view: View) -> ParameterRow:
    pieces = (Piece(second, View.of(shape), view),)
    return ParameterRow(name, pieces, describe(pieces, shape, {second: other}), CONFIDENCE, REASON)


def same_numbers(values: tuple[Values, Values], first: str, second: str, view: View) -> bool:
    """Whether both models hold the same numbers under a view."""
    ours, theirs = values[0](first), values[1](second)
    if ours is None or theirs is None or ours.size != view.size or theirs.size != view.source:
        return False
    return bool(np.allclose(ours.reshape(-1), view.apply(theirs).reshape(-1), SAME, SAME * 1e-2))
