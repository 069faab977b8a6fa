"""Which element of one model's weights is which of the other's, told by how results answer to them.

Two models that compute the same value answer alike to alike elements: where weights are the same
but for their order, so are the gradients. Elements start as one class, with one number for all, so
that their order plays no part; elements whose gradients differ are parted, each class gets a number
of its own, and the models are asked again, as colours are refined when two graphs are held against
each other. Where a class has more elements on one side than on the other, nothing is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
        """The classes parted by the gradients of their elements; None where an answering class has
        more elements on one side than on the other."""
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
        silent = frozenset(np.unique(labels[quiet]).tolist())
        parted = Classes(labels[: len(first)], labels[len(first) :], silent, True)
        sizes = parted.sizes()
        uneven = {int(at) for at in np.nonzero(sizes[0] != sizes[1])[0]}
        return None if uneven - silent else parted

    def open(self) -> list[int]:
        """Answering classes of several elements, smallest first."""
        sizes = self.sizes()[0]
        several = [int(at) for at in np.nonzero(sizes > 1)[0] if int(at) not in self.silent]
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

    def partners(self) -> Indices:
        """For each element of the first side the second's that it is; -1 where that is not told."""
        sizes = self.sizes()
        alone = (sizes[0] == 1) & (sizes[1] == 1)
        alone[list(self.silent)] = False
        place = np.full(self.count, -1, np.int64)
        place[self.second] = np.arange(len(self.second))
        return np.where(alone[self.first], place[self.first], -1)


def rows_of(first: Elements, second: Elements, partners: Indices) -> dict[str, ParameterRow]:
    """The rows that partners give, of parameters whose every element has one and whose order can be
    said axis by axis: any other order is no layout that somebody chose."""
    owners = second.owners()
    rows: dict[str, ParameterRow] = {}
    for name, where in first.apart(partners).items():
        if where.size and bool((where >= 0).all()):
            pieces = _pieces(where, owners, second)
            if pieces is not None:
                words = describe(pieces, where.shape, second.shapes)
                rows[name] = ParameterRow(name, pieces, words, CONFIDENCE, REASON)
    return rows if _in_number(rows) else {}


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
    where: Indices, owners: Sequence[tuple[str, int]], second: Elements
) -> tuple[Piece, ...] | None:
    """The pieces of one parameter, by the second one's parameter that they come from."""
    names = list(second.shapes)
    found = [owners[int(at)] for at in where.reshape(-1)]
    held = np.array([names.index(name) for name, _ in found]).reshape(where.shape)
    flat = np.array([at for _, at in found], np.int64).reshape(where.shape)
    whole = View.of(where.shape)
    pieces: list[Piece] = []
    for number in np.unique(held):
        mask = held == number
        part = whole
        axis = _axis_of(mask)
        if axis is None:
            return None
        places = flat
        if axis >= 0:
            kept = np.nonzero(mask.any(axis=tuple(set(range(mask.ndim)) - {axis})))[0]
            part = whole.take(axis, [int(at) for at in kept])
            places = flat.take(kept, axis)
        size = int(np.prod(second.shapes[names[number]]))
        view = View.gathered(size, places)
        if _told_singly(view) > sum(where.shape):
            return None
        pieces.append(Piece(names[number], part, view))
    return tuple(pieces)


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
