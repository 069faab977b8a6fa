"""In which order a parameter holds another one's elements: one that layouts and known conventions
explain, or one of somebody's own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.candidates import head_sizes, may_have_gates
from padiff_graph.matching.parameters.conventions import Shape, gate_orders, rotary_orders
from padiff_graph.matching.parameters.relations import axis_orders, flattened_orders, squeezed
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["ElementOrders"]


@dataclass(frozen=True)
class ElementOrders:
    """The orders that the parameters of a pair of models may have.

    Attributes:
        matching: of the two.
        heads: how many features a head may have.
        gated: whether there are recurrent cells.
    """

    matching: Matching
    heads: Sequence[int]
    gated: bool

    @classmethod
    def of(cls, matching: Matching) -> ElementOrders:
        """Those of a matching's models."""
        return cls(matching, head_sizes(matching), may_have_gates(matching))

    def odd(self, row: ParameterRow) -> bool:
        """Whether the elements of a row stand in an order that needs a word: not as they are, on
        other axes, or by the gates of a cell."""
        shapes = _whole_shapes(row, self.matching)
        if shapes is None:
            return not self.gated and _parts_exchanged(row)
        return not _ordered(row, _plain_orders(*shapes, self.gated))

    def rotary(self, row: ParameterRow) -> int:
        """How many pieces of a parameter stand in an order of rotary features; 0 where another
        piece stands in none that needs no word."""
        shapes = _whole_shapes(row, self.matching)
        return _turned(row, shapes, self.heads) if shapes is not None else 0


def _whole_shapes(row: ParameterRow, matching: Matching) -> tuple[Shape, Shape] | None:
    """The shapes of a parameter that is the whole of one other, and of that one, without axes of
    one element; None elsewhere."""
    names = {piece.second for piece in row.pieces}
    if row.status != "mapped" or len(names) != 1:
        return None
    shape = tuple(matching.first.graph.parameters[row.first].type.shape)
    other = tuple(matching.second.graph.parameters[row.pieces[0].second].type.shape)
    read = sum(piece.second_view.size for piece in row.pieces)
    filled = sum(piece.first_view.size for piece in row.pieces)
    held = row.pieces[0].first_view.source, row.pieces[0].second_view.source
    if held != (math.prod(shape), math.prod(other)):
        return None  # parts of complex numbers
    if not math.prod(shape) == math.prod(other) == read == filled:
        return None
    return squeezed(shape), squeezed(other)


def _parts_exchanged(row: ParameterRow) -> bool:
    """Whether two parts of one parameter stand the other way round in one that holds more."""
    starts = sorted(
        (piece.second, piece.first_view.start, piece.second_view.start) for piece in row.pieces
    )
    return any(
        one == other and before > behind
        for (one, _, before), (other, _, behind) in itertools.pairwise(starts)
    )


def _ordered(row: ParameterRow, orders: Iterable[View]) -> bool:
    """Whether one of these orders of the second parameter's elements gives the first."""
    return any(all(_stands_in(piece, [order]) for piece in row.pieces) for order in orders)


def _turned(row: ParameterRow, shapes: tuple[Shape, Shape], heads: Sequence[int]) -> int:
    """How many pieces of a parameter stand in an order of rotary features; 0 where another piece
    stands in none that needs no word."""
    plain, rotary = list(_axis_orders(*shapes)), list(_rotary_orders(*shapes, heads))
    turned = [piece for piece in row.pieces if not _stands_in(piece, plain)]
    return len(turned) if all(_stands_in(piece, rotary) for piece in turned) else 0


def _stands_in(piece: Piece, orders: Iterable[View]) -> bool:
    return any(order.then(piece.first_view).same(piece.second_view) for order in orders)


def _plain_orders(shape: Shape, other: Shape, gated: bool) -> Iterator[View]:
    """The orders that need no word: as it is, other axes, gates of a recurrent cell."""
    yield View.of(other).reshape(shape)
    yield from _axis_orders(shape, other)
    for _, turned in gate_orders(other) if gated else ():
        yield from (turned.then(order) for order in _axis_orders(shape, other))


def _axis_orders(shape: Shape, other: Shape) -> Iterator[View]:
    rows = other[0] if other else 1
    yield from axis_orders(other, shape)
    yield from flattened_orders(other, shape)
    yield View.of((rows, math.prod(other[1:]))).transpose((1, 0))


def _rotary_orders(shape: Shape, other: Shape, heads: Sequence[int]) -> Iterator[View]:
    """The orders of rotary features."""
    for _, turned in rotary_orders(other, heads):
        yield from (turned.then(order) for order in _axis_orders(shape, other))
