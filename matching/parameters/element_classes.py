"""Which element of one model's weights is which of the other's, told by how results answer to them.

Two models that compute the same value answer alike to alike elements: where weights are the same
but for their order, so are the gradients. Elements start as one class, with one number for all, so
that their order plays no part; elements whose gradients differ are parted, each class gets a number
of its own, and the models are asked again, as colours are refined when two graphs are held against
each other. Where a class has more elements on one side than on the other, nothing is told.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.index_map import Indices, View
from padiff_graph.matching.parameters.names import numbers, template
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import ParameterRow, Piece

__all__ = ["Classes", "Elements", "rows_of"]

GAP = 1e-9
"""Relative difference of two gradients of float64 from which they are two: far above what the order
of a sum of thousands leaves (1e-13), far below what two numbers drawn at random are apart."""
ALONE: Literal[""] = ""
FURTHER: Literal["added"] = "added"
HELD: Literal["held"] = "held"
"""What a piece is in a sum."""
CONFIDENCE = 0.6
"""Of a row that nothing has proved."""
REASON = "what both models compute answers to these elements alike"


@dataclass(frozen=True)
class Elements:
    """The elements of some parameters of one model, one behind the other.

    Attributes:
        shapes: of the parameters by name, in the order of the elements.
    """

    shapes: dict[str, tuple[int, ...]]

    def __len__(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def apart(self, flat: Array) -> dict[str, Array]:
        """An array of all elements as one array a parameter."""
        arrays: dict[str, Array] = {}
        at = 0
        for name, shape in self.shapes.items():
            size = int(np.prod(shape))
            arrays[name] = flat[at : at + size].reshape(shape)
            at += size
        return arrays

    def together(self, arrays: Mapping[str, Array]) -> Array:
        """One array of all elements; zeros where there is none."""
        flat = [
            np.asarray(arrays[name], np.float64).reshape(-1)
            if name in arrays
            else np.zeros(int(np.prod(shape)))
            for name, shape in self.shapes.items()
        ]
        return np.concatenate(flat) if flat else np.zeros(0)

    def owners(self) -> list[tuple[str, int]]:
        """For each element its parameter and its flat position there."""
        return [
            (name, at) for name, shape in self.shapes.items() for at in range(int(np.prod(shape)))
        ]


@dataclass(frozen=True)
class Classes:
    """The elements of both sides by class.

    Attributes:
        first, second: the class of each element.
        silent: classes that no result has answered to.
        asked: whether results were asked for these.
    """

    first: Indices
    second: Indices
    silent: frozenset[int] = frozenset()
    asked: bool = False

    @classmethod
    def start(cls, first: Elements, second: Elements) -> Classes:
        """Two classes: what adds (single numbers and vectors), and what multiplies."""
        kinds = [
            np.concatenate(
                [np.full(int(np.prod(shape)), len(shape) > 1, np.int64) for shape in shapes]
            )
            for shapes in (first.shapes.values(), second.shapes.values())
        ]
        return cls(kinds[0], kinds[1])

    @property
    def count(self) -> int:
        """How many classes there are."""
        return int(max(self.first.max(initial=-1), self.second.max(initial=-1))) + 1

    def sizes(self) -> tuple[Indices, Indices]:
        """How many elements of each side every class has."""
        return (
            np.bincount(self.first, minlength=self.count),
            np.bincount(self.second, minlength=self.count),
        )

    def parted(self, first: Array, second: Array) -> Classes | None:
        """The classes parted by the gradients of their elements; None where the elements of an
        answering class on one side are no sums of those on the other."""
        marks = np.concatenate([first, second])
        scale = float(np.abs(marks).max(initial=0.0))
        if not np.isfinite(scale):
            return None
        classes = np.concatenate([self.first, self.second])
        order = np.lexsort((marks, classes))
        steps = (np.diff(classes[order]) > 0) | (np.diff(marks[order]) > GAP * scale)
        labels = np.empty(len(marks), np.int64)
        labels[order] = np.concatenate([[0], np.cumsum(steps)])
        quiet = np.abs(marks) <= GAP * scale
        if self.asked:  # what answered before is told
            quiet &= np.isin(classes, list(self.silent))
        silent = frozenset(np.unique(labels[quiet]).tolist())
        parted = Classes(labels[: len(first)], labels[len(first) :], silent, True)
        loud = [int(at) for at in np.nonzero(parted.uneven)[0] if int(at) not in silent]
        first, second = parted.sizes()
        sums = all(min(first[at], second[at]) and _divides(first[at], second[at]) for at in loud)
        return parted if sums else None

    @property
    def uneven(self) -> Array:
        """Which classes have more elements on one side: what it adds, the other side keeps as a
        sum."""
        first, second = self.sizes()
        return np.asarray(first != second)

    def numbers(self, drawn: Array) -> tuple[Array, Array]:
        """The number of each element, given one for every class: of the terms of a sum the first
        has it and the others are zero; zero where it is not told which sums there are."""
        first, second = self.sizes()
        drawn = np.where(self.uneven & (np.minimum(first, second) != 1), 0.0, drawn)
        sides = []
        for side in (self.first, self.second):
            own = drawn[side]
            own[self.uneven[side] & ~_leading(side)] = 0.0
            sides.append(own)
        return sides[0], sides[1]

    def open(self) -> list[int]:
        """Answering classes of several elements, smallest first."""
        sizes = self.sizes()[0]
        found = np.nonzero((sizes > 1) & ~self.uneven)[0]
        several = [int(at) for at in found if int(at) not in self.silent]
        return sorted(several, key=lambda at: (sizes[at], at))

    def guesses(self) -> list[Classes]:
        """The classes with some of the open ones parted in the order in which their elements stand,
        likeliest last: all of them, one, and the first element of one."""
        left = self.open()
        every = self
        for label in left:
            every = every._singled(label)
        return [self._singled(left[0], 1), self._singled(left[0]), every]

    def _singled(self, label: int, most: int | None = None) -> Classes:
        sides = []
        fresh = self.count
        for side in (self.first, self.second):
            own = side.copy()
            places = np.nonzero(side == label)[0][:most]
            own[places] = fresh + np.arange(len(places))
            sides.append(own)
        return replace(self, first=sides[0], second=sides[1])

    def partners(self) -> Partners:
        """For each element of the first side what it is of the second."""
        sizes = self.sizes()
        alone = np.minimum(*sizes) == 1
        alone[list(self.silent)] = False
        order = np.argsort(self.second, kind="stable")
        starts = np.searchsorted(self.second[order], np.arange(self.count))
        terms = []
        for term in range(int(sizes[1][alone].max(initial=1))):
            there = alone & (sizes[1] > term)
            place = np.full(self.count, -1, np.int64)
            place[there] = order[starts[there] + term]
            terms.append(place[self.first])
        held = alone[self.first] & ~_leading(self.first)
        return Partners(tuple(terms), held)


@dataclass(frozen=True)
class Partners:
    """What each element of the first side is of the second.

    Attributes:
        terms: the elements of the second whose sum it is, one array a term; -1 for none.
        held: whether another element of the first, which it is added to, holds all of it.
    """

    terms: tuple[Indices, ...]
    held: Array


def _divides(one: int, other: int) -> bool:
    return int(max(one, other)) % int(min(one, other)) == 0


def _leading(side: Indices) -> Array:
    """Which elements are the first of their class."""
    leading = np.zeros(len(side), bool)
    leading[np.unique(side, return_index=True)[1]] = True
    return leading


def rows_of(first: Elements, second: Elements, partners: Partners) -> dict[str, ParameterRow]:
    """The rows that partners give, of parameters whose every element has one and whose order can be
    said axis by axis: any other order is no layout that somebody chose."""
    owners = second.owners()
    terms = [first.apart(term) for term in partners.terms]
    held = first.apart(partners.held)
    rows: dict[str, ParameterRow] = {}
    for name, told in terms[0].items():
        where = _completed(told, second)
        if where is None:
            continue
        pieces = _pieces(where, owners, second, held[name])
        for term in terms[1:]:
            more = _pieces(term[name], owners, second, None)
            pieces = None if pieces is None or more is None else (*pieces, *more)
        if pieces is not None:
            words = _words(pieces, where.shape, second)
            rows[name] = ParameterRow(name, pieces, words, CONFIDENCE, REASON)
    return rows if _in_number(rows) else {}


def _completed(where: Indices, second: Elements) -> Indices | None:
    """Where each element of a parameter stands among all of the second's, those that nothing
    answered to by the shifts along each axis that all others show; None where these do not say it.

    An activation that lets nothing through keeps single elements silent in every run.
    """
    known = where >= 0
    if bool(known.all()):
        return where if where.size else None
    places = np.zeros(where.shape, np.int64)
    for axis in range(where.ndim):
        shifts = _shifts(where, known, axis)
        if shifts is None:
            return None
        places += shifts.reshape([-1 if at == axis else 1 for at in range(where.ndim)])
    gaps = np.unique((where - places)[known])
    if len(gaps) != 1:
        return None
    places += gaps[0]
    fits = places.min() >= 0 and places.max() < len(second) and np.unique(places).size == where.size
    return places if fits else None


def _shifts(where: Indices, known: Array, axis: int) -> Indices | None:
    """By how much places shift along an axis against its best known coordinate; None where they do
    not shift alike, or where nothing is known of a coordinate."""
    lines = np.moveaxis(where, axis, 0).reshape(where.shape[axis], -1)
    told = np.moveaxis(known, axis, 0).reshape(lines.shape)
    best = int(told.sum(1).argmax())
    shifts = np.zeros(len(lines), np.int64)
    for at, line in enumerate(lines):
        both = told[at] & told[best]
        seen = np.unique((line - lines[best])[both])
        if len(seen) != 1:
            return None
        shifts[at] = seen[0]
    return shifts


def _words(pieces: tuple[Piece, ...], shape: tuple[int, ...], second: Elements) -> str:
    """A row in words, what is added behind the rest."""
    added = tuple(piece for piece in pieces if piece.summed == "added")
    rest = tuple(piece for piece in pieces if piece.summed != "added")
    words = describe(rest, shape, second.shapes)
    if added:
        names = ", ".join(dict.fromkeys(piece.second for piece in added))
        return f"{words}, plus {names}"
    if all(piece.summed for piece in pieces):
        return "zeros: what it is added to holds the sum"
    return f"{words}, zeros where another holds it" if any(p.summed for p in pieces) else words


def _in_number(rows: Mapping[str, ParameterRow]) -> bool:
    """Whether members of numbered lists stand in the order of their numbers: a list that one model
    reads backwards is no layout of weights."""
    lists: dict[tuple[str, str], list[tuple[tuple[int, ...], tuple[int, ...], int, int]]]
    lists = defaultdict(list)
    for row in rows.values():
        for piece in row.pieces:
            key = template(row.first), template(piece.second)
            starts = [int(view.indices().min()) for view in (piece.first_view, piece.second_view)]
            lists[key].append((numbers(row.first), numbers(piece.second), starts[0], starts[1]))
    return all(
        _ascend(
            [(first, at) for first, _, at, _ in members],
            [(second, at) for _, second, _, at in members],
        )
        for members in lists.values()
    )


def _ascend(
    firsts: Sequence[tuple[tuple[int, ...], int]], seconds: Sequence[tuple[tuple[int, ...], int]]
) -> bool:
    """Whether two lists of places stand in the same order."""
    order = sorted(range(len(firsts)), key=lambda at: firsts[at])
    laid = [seconds[at] for at in order]
    return laid == sorted(laid)


def _pieces(
    where: Indices, owners: Sequence[tuple[str, int]], second: Elements, held: Array | None
) -> tuple[Piece, ...] | None:
    """The pieces of one parameter, by the second one's parameter that they come from; None where no
    axis says one.

    Args:
        where: of each element its place among all of the second's; -1 for none.
        held: which elements another holds; None for the further terms of a sum.
    """
    names = list(second.shapes)
    found = [owners[int(at)] if at >= 0 else ("", 0) for at in where.reshape(-1)]
    kinds = np.array([names.index(name) if name else -1 for name, _ in found]).reshape(where.shape)
    flat = np.array([at for _, at in found], np.int64).reshape(where.shape)
    aside = np.zeros(where.shape, bool) if held is None else held
    pieces: list[Piece] = []
    for number, kept in dict.fromkeys(zip(kinds.reshape(-1), aside.reshape(-1), strict=True)):
        if number < 0:
            continue
        views = _cut(flat, (kinds == number) & (aside == kept), second.shapes[names[number]])
        if views is None:
            return None
        kind = FURTHER if held is None else HELD if kept else ALONE
        pieces.append(Piece(names[number], *views, kind))
    return tuple(pieces)


def _cut(places: Indices, mask: Array, shape: tuple[int, ...]) -> tuple[View, View] | None:
    """A part of a parameter, and the same of the second one's; None where it is cut out along no
    axis, or only a list of single elements says its order."""
    whole, axis = View.of(places.shape), _axis_of(mask)
    if axis is None:
        return None
    if axis >= 0:
        kept = np.nonzero(mask.any(axis=tuple(set(range(mask.ndim)) - {axis})))[0]
        whole = whole.take(axis, [int(at) for at in kept])
        places = places.take(kept, axis)
    view = View.gathered(math.prod(shape), places)
    return (whole, view) if _told_singly(view) <= sum(mask.shape) else None


def _axis_of(mask: Array) -> int | None:
    """The axis along which a part is cut out, -1 for the whole; None where no axis says it."""
    if bool(mask.all()):
        return -1
    for axis in range(mask.ndim):
        lines = np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1)
        if bool((lines == lines[:, :1]).all()):
            return axis
    return None


def _told_singly(view: View) -> int:
    """How many places a view names one by one."""
    steps = [step for stage in view.stages for step in stage.steps]
    return sum(len(step) for step in steps if not isinstance(step, int))
