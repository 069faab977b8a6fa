"""What parameters that structure leaves open may be: few candidates each, by names, shapes and
known conventions. Whoever runs the models tries them.

Parameters of one name with other numbers in it (the same weight of every layer) are one question
with one answer. Values rank the candidates where both models hold them, and decide nothing: a
weight that was never copied agrees with nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, ParameterInfo
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.attention_weights import attention_pieces
from padiff_graph.matching.parameters.complex_weights import complex_rows
from padiff_graph.matching.parameters.conventions import (
    HALVES,
    HEAD_SIZES,
    PAIRS,
    Shape,
    any_gate_orders,
    orders,
)
from padiff_graph.matching.parameters.names import likeness, template
from padiff_graph.matching.parameters.split_gates import gate_rows
from padiff_graph.matching.parameters.stacked import list_rows
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.parameters.without_counterpart import Values
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = [
    "ATTENDED",
    "GATES",
    "Choice",
    "Option",
    "attended",
    "choices",
    "head_sizes",
    "may_have_gates",
    "regated",
    "same_numbers",
    "structural",
]

OPTIONS = 24
"""Most candidates of one question; chosen so that two names of a weight and twelve orders fit."""
GATED = 48
"""Further ones where a cell is written out: two names of a weight, in every order of its gates."""
CELLS = frozenset({"LSTM", "GRU"})
"""Operators of recurrent cells with gates."""
GATES = frozenset({"Sigmoid", "Tanh"})
"""What the gates of a cell that is written out go through."""
CONFIDENCE = 0.6
"""Of a row that nothing has proved."""
REASON = "a candidate by name and shape"
ATTENDED = "read at the same place of an attention"
"""How structure tells weights that make query, key and value."""
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
        told: how structure tells which weights go together, so that no name is asked; "" where it
            does not.
    """

    convention: str
    rows: tuple[ParameterRow, ...]
    agrees: bool = False
    told: str = ""

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
    heads, gated = head_sizes(matching), may_have_gates(matching)
    asked = []
    for family in _families(names, infos[0]):
        others = [
            other for other in left if _fits(family, other) and _of_a_kind(family, other, infos)
        ]
        options = _ranked(family, others, values, heads, gated)
        if options:
            asked.append(Choice(family.names, options))
    return asked


def head_sizes(matching: Matching) -> list[int]:
    """How many features a head may have, largest first: the last axes of values of four axes and
    more that both models compute. An odd number holds no pairs, and two features are one pair."""
    ours, theirs = (_last_axes(side.graph) for side in (matching.first, matching.second))
    return sorted((size for size in ours & theirs if size > 2 and not size % 2), reverse=True)


def may_have_gates(matching: Matching) -> bool:
    """Whether a model has recurrent cells, as one operation or written out."""
    ops = {node.op for side in (matching.first, matching.second) for node in side.nodes}
    return bool(ops & CELLS) or ops >= GATES


def _last_axes(graph: ComputationGraph) -> set[int]:
    types = [kind for record in graph.records() for kind in record.outputs]
    return {kind.shape[-1] for kind in types if kind is not None and len(kind.shape) > 3}


def structural(
    matching: Matching, values: tuple[Values, Values], names: Sequence[str]
) -> list[Choice]:
    """For parameters that one model keeps in several and the other in one, where structure or names
    tell which: the gates of a recurrent cell, the parts of complex numbers, lists of experts."""
    asked = [*gate_rows(matching, names), *complex_rows(matching, names)]
    asked += [
        answers
        for answers in list_rows(matching, ("open", "neutral"))
        if {row.first for row in answers[0]} <= set(names)
    ]
    return [_of_answers(answers, values) for answers in asked]


def _of_answers(
    answers: Sequence[tuple[ParameterRow, ...]], values: tuple[Values, Values]
) -> Choice:
    """The answers to one question, those first under which both models hold the same numbers."""
    options = [
        Option("", rows, all(_holds(values, row) for row in rows), rows[0].reason)
        for rows in answers
    ]
    family = tuple(row.first for row in answers[0])
    return Choice(family, tuple(sorted(options, key=lambda option: not option.agrees)))


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
        for words, turned in any_gate_orders(shape):
            views = [turned.then(row.pieces[0].second_view) for row in kept]
            same = zip(family.names, seconds, views, strict=True)
            turned_rows = tuple(
                _row(name, family.shape, second, shape, view) for name, second, view in same
            )
            options.append(Option(words, turned_rows))
        if len(options) > 1:
            asked.append(Choice(family.names, tuple(options)))
    return asked


def attended(
    matching: Matching, values: tuple[Values, Values], names: AbstractSet[str]
) -> list[Choice]:
    """For parameters that make query, key and value of attentions, fused or not: the features of
    each head as they are, or with rotary ones in the other order; one question, since only all of
    them together leave the products as they are.

    Args:
        matching: with rows so far.
        values: numbers of both models.
        names: parameters of the first model that may be asked about.
    """
    turns = {f"{HALVES}, {size} a head": size for size in head_sizes(matching)[:HEAD_SIZES]}
    turns |= {f"{PAIRS}, {-size} a head": -size for size in turns.copy().values()}
    options: list[Option] = []
    for words, pieces in attention_pieces(matching, turns):
        rows = [_of_pieces(matching, name, tuple(made)) for name, made in pieces.items()]
        whole = [row for row in rows if row is not None]
        if len(whole) < len(rows) or not names >= pieces.keys():
            return []
        agrees = all(_holds(values, row) for row in whole)
        options.append(Option(words, tuple(whole), agrees, ATTENDED))
    return [Choice(tuple(row.first for row in options[0].rows), tuple(options))] if options else []


def _holds(values: tuple[Values, Values], row: ParameterRow) -> bool:
    """Whether a row is what both models hold already."""
    ours = values[0](row.first)
    theirs = [values[1](piece.second) for piece in row.pieces]
    if ours is None or any(array is None for array in theirs):
        return False
    pairs = zip(row.pieces, theirs, strict=True)
    return all(
        np.allclose(
            piece.first_view.apply(ours).reshape(-1),
            piece.second_view.apply(array).reshape(-1),
            SAME,
            SAME * 1e-2,
        )
        for piece, array in pairs
        if array is not None
    )


def _of_pieces(matching: Matching, name: str, pieces: tuple[Piece, ...]) -> ParameterRow | None:
    """A row made of pieces; None where they leave elements out."""
    shape = matching.first.graph.parameters[name].type.shape
    if sum(piece.first_view.size for piece in pieces) != math.prod(shape):
        return None
    seconds = matching.second.graph.parameters
    shapes = {piece.second: seconds[piece.second].type.shape for piece in pieces}
    return ParameterRow(name, pieces, describe(pieces, shape, shapes), CONFIDENCE, REASON)


def _families(names: Sequence[str], infos: Mapping[str, ParameterInfo]) -> list[_Family]:
    members: dict[tuple[str, Shape], list[str]] = defaultdict(list)
    for name in names:
        members[template(name), infos[name].type.shape].append(name)
    return [_Family(key[0], tuple(names), key[1]) for key, names in members.items()]


def _fits(first: _Family, second: _Family) -> bool:
    return len(first.names) == len(second.names) and math.prod(first.shape) == math.prod(
        second.shape
    )


def _of_a_kind(
    first: _Family,
    second: _Family,
    infos: tuple[Mapping[str, ParameterInfo], Mapping[str, ParameterInfo]],
) -> bool:
    """Whether both hold complex numbers, or neither does."""
    kinds = infos[0][first.names[0]].type.dtype, infos[1][second.names[0]].type.dtype
    return kinds[0].startswith("complex") == kinds[1].startswith("complex")


def _ranked(
    family: _Family,
    others: Sequence[_Family],
    values: tuple[Values, Values],
    heads: Sequence[int],
    gated: bool,
) -> tuple[Option, ...]:
    """The answers: values that agree first, then names that are alike, then plain orders."""
    near = sorted(others, key=lambda other: -likeness(family.template, other.template))
    found = [option for other in near for option in _options(family, other, values, heads, gated)]
    most = OPTIONS + GATED * gated
    return tuple(sorted(found, key=lambda option: not option.agrees)[:most])


def _options(
    family: _Family,
    other: _Family,
    values: tuple[Values, Values],
    heads: Sequence[int],
    gated: bool,
) -> Iterator[Option]:
    """The second family in every order that a convention explains."""
    for convention, view in orders(family.shape, other.shape, heads, gated):
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
