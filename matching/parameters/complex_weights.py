"""Complex weights that the other model keeps as real ones: as two, or as one with an axis of two.

A complex parameter in such a row goes by its parts: its shape has one axis more, of two, and views
of it read real numbers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from padiff_graph.capture.graph import ComputationGraph, ParameterInfo
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.conventions import TURNED, orders
from padiff_graph.matching.parameters.joint_answers import together
from padiff_graph.matching.parameters.names import likeness, numbers, template
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["complex_rows", "shape_of_views"]

CONFIDENCE = 0.6
"""Of a row that nothing has proved."""
REASON = "complex numbers on one side, their parts on the other"
WORDS = "real and imaginary parts"
PLAIN = ("", TURNED)
"""Orders that are tried: axes as they are and turned; gates and heads are no complex weights."""

Shape = tuple[int, ...]
Infos = tuple[Mapping[str, ParameterInfo], Mapping[str, ParameterInfo]]


@dataclass(frozen=True)
class _Family:
    """Like parameters of one side, one for each block, by the numbers in their names.

    Attributes:
        template: the name with every number replaced.
        members: names by their numbers.
        shape: of one; of a complex one with an axis of two behind.
        complex: whether they hold complex numbers.
    """

    template: str
    members: Mapping[tuple[int, ...], str]
    shape: Shape
    complex: bool

    def parts(self) -> tuple[View, View] | None:
        """Where the real and the imaginary parts stand; None where no axis holds two."""
        for axis in (len(self.shape) - 1, 0):
            if self.shape and self.shape[axis] == 2:
                whole = View.of(self.shape)
                return whole.select(axis, 0), whole.select(axis, 1)
        return None


def shape_of_views(info: ParameterInfo, count: int) -> Shape:
    """The shape in which views of `count` elements see a parameter: its own, or with the parts of
    complex numbers along an axis of their own."""
    shape = tuple(info.type.shape)
    in_parts = info.type.dtype.startswith("complex") and count == 2 * math.prod(shape)
    return (*shape, 2) if in_parts else shape


def complex_rows(
    matching: Matching, names: Collection[str]
) -> list[list[tuple[ParameterRow, ...]]]:
    """For complex parameters of one side with what may be their parts on the other: for each set
    that depends on each other the rows, one answer for each order of axes and of parts.

    Args:
        matching: with rows so far.
        names: of the first model's parameters that may be asked about.
    """
    graphs = matching.first.graph, matching.second.graph
    left = list(names), list(matching.unused_second)
    sides = [_families(*each) for each in zip(left, graphs, strict=True)]
    infos = graphs[0].parameters, graphs[1].parameters
    answers: list[tuple[ParameterRow, ...]] = []
    for side in (0, 1):
        for whole in sides[side]:
            answers += _of_one(whole, sides[1 - side], side, infos)
            answers += _of_two(whole, sides[1 - side], side, infos)
    return together(answers, _likeness)


def _likeness(rows: Sequence[ParameterRow]) -> float:
    pairs = {(template(row.first), template(piece.second)) for row in rows for piece in row.pieces}
    return sum(likeness(*pair) for pair in pairs) / len(pairs)


def _families(names: Sequence[str], graph: ComputationGraph) -> list[_Family]:
    members: dict[tuple[str, Shape, bool], dict[tuple[int, ...], str]] = defaultdict(dict)
    for name in names:
        kind = graph.parameters[name].type
        is_complex = kind.dtype.startswith("complex")
        shape = (*kind.shape, 2) if is_complex else tuple(kind.shape)
        members[template(name), shape, is_complex][numbers(name)] = name
    return [_Family(key[0], held, key[1], key[2]) for key, held in members.items()]


def _plain_orders(first: Shape, second: Shape) -> Iterator[View]:
    yield from (view for words, view in orders(first, second) if words in PLAIN)


def _of_one(
    whole: _Family, others: Sequence[_Family], side: int, infos: Infos
) -> Iterator[tuple[ParameterRow, ...]]:
    """A complex parameter and a real one with an axis of two."""
    if not whole.complex:
        return
    for other in others:
        fits = math.prod(other.shape) == math.prod(whole.shape)
        if other.complex or not fits or other.members.keys() != whole.members.keys():
            continue
        first, second = (other, whole) if side else (whole, other)
        for view in _plain_orders(first.shape, second.shape):
            yield tuple(
                _row(name, (Piece(second.members[at], View.of(first.shape), view),), infos)
                for at, name in first.members.items()
            )


def _of_two(
    whole: _Family, others: Sequence[_Family], side: int, infos: Infos
) -> Iterator[tuple[ParameterRow, ...]]:
    """A parameter with both parts, and two with one each."""
    parts = whole.parts()
    if parts is None:
        return
    fitting = [
        other
        for other in others
        if not other.complex
        and 2 * math.prod(other.shape) == math.prod(whole.shape)
        and other.members.keys() == whole.members.keys()
    ]
    for halves in permutations(fitting, 2):
        if halves[0].shape == halves[1].shape:
            yield from _parted(whole, parts, halves, side, infos)


def _parted(
    whole: _Family,
    parts: tuple[View, View],
    halves: Sequence[_Family],
    side: int,
    infos: Infos,
) -> Iterator[tuple[ParameterRow, ...]]:
    half, part = halves[0].shape, parts[0].shape
    for view in _plain_orders(*((half, part) if side else (part, half))):
        rows: list[ParameterRow] = []
        for at, name in whole.members.items():
            pairs = list(zip(parts, (each.members[at] for each in halves), strict=True))
            if side:  # the halves are the first model's
                rows += [
                    _row(own, (Piece(name, View.of(half), read.then(view)),), infos)
                    for read, own in pairs
                ]
            else:
                rows.append(_row(name, tuple(Piece(of, at, view) for at, of in pairs), infos))
        yield tuple(rows)


def _row(name: str, pieces: tuple[Piece, ...], infos: Infos) -> ParameterRow:
    shape = shape_of_views(infos[0][name], pieces[0].first_view.source)
    seconds = {
        piece.second: shape_of_views(infos[1][piece.second], piece.second_view.source)
        for piece in pieces
    }
    words = f"{WORDS}, {describe(pieces, shape, seconds)}"
    return ParameterRow(name, pieces, words, CONFIDENCE, REASON)
