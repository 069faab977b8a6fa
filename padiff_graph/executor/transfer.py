"""Moving numbers from one side to the other through points and parameter rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.capture.late_array import LateArray, late
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.partition import Cut
from padiff_graph.matching.result import ParameterRow, Piece, Point

__all__ = [
    "cotangents",
    "fed",
    "laid",
    "mapped",
    "pair_gradients",
    "paired",
    "put",
    "read",
    "zeros",
]


def read(view: View, array: Array) -> Array:
    """The operand of a view; no copy where the view moves nothing."""
    if view.identity and array.size == view.size:
        return array.reshape(view.shape)
    return view.apply(array)


def fed(
    cut: Cut, second: Mapping[Value, Array], shapes: Mapping[Value, tuple[int, ...]]
) -> dict[Value, Array]:
    """What the first side's values of a cut are, given the second's."""
    if not cut.exact:
        return {cut.first[0]: second[cut.second[0]]}
    made: dict[Value, Array] = {}
    for value in cut.first:
        points = [point for point in cut.points if point.first == value]
        if len(points) == 1 and points[0].first_view.identity:
            made[value] = np.asarray(
                read(points[0].second_view, second[points[0].second]).reshape(shapes[value]),
                order="C",
            )
            continue
        target = np.zeros(shapes[value], second[points[0].second].dtype)
        for point in points:
            point.first_view.scatter(target, read(point.second_view, second[point.second]))
        made[value] = target
    return made


def paired(
    cut: Cut, first: Mapping[Value, Array], second: Mapping[Value, Array]
) -> list[tuple[Array, Array]]:
    """The values of both sides, laid side by side, point by point."""
    return [
        (
            read(point.first_view, first[point.first]),
            read(point.second_view, second[point.second]).reshape(point.first_view.shape),
        )
        for point in cut.points
    ]


def pair_gradients(
    cut: Cut, first: Mapping[Value, Array], second: Mapping[Value, Array]
) -> list[tuple[Array, Array]]:
    """Gradients side by side. Where a point reads an element of one side several times (a
    broadcast), that element's gradient is the sum of its copies' gradients on the other side."""
    if not cut.exact:
        return [
            (first[ours], second[theirs])
            for ours, theirs in zip(cut.first, cut.second, strict=True)
        ]
    return [_pair(point, first[point.first], second[point.second]) for point in cut.points]


def _pair(point: Point, first: Array, second: Array) -> tuple[Array, Array]:
    if not point.first_view.injective:
        return first.reshape(-1), _gathered(point.first_view, read(point.second_view, second))
    if not point.second_view.injective:
        return _gathered(point.second_view, read(point.first_view, first)), second.reshape(-1)
    ours = read(point.first_view, first)
    return ours, read(point.second_view, second).reshape(point.first_view.shape)


def _gathered(view: View, values: Array) -> Array:
    """Sums values over the source elements that a view reads."""
    total = np.zeros(view.source, values.dtype)
    indices = view.indices()
    keep = indices >= 0
    np.add.at(total, indices[keep], values.reshape(-1)[keep])
    return total


def cotangents(
    cut: Cut, second: Mapping[Value, Array], shapes: Mapping[Value, tuple[int, ...]]
) -> dict[Value, Array]:
    """The first side's cotangents for given ones of the second: the same weights on the same
    elements."""
    if not cut.exact:
        return {}
    made: dict[Value, Array] = {}
    times = Counter(point.first for point in cut.points)
    for point in cut.points:
        source = second[point.second]
        once = times[point.first] == 1  # else what is made is added to
        if once and point.first_view.identity and point.second_view.injective:
            made[point.first] = np.asarray(
                read(point.second_view, source).reshape(shapes[point.first]), order="C"
            )
            continue
        target = made.setdefault(point.first, np.zeros(shapes[point.first], source.dtype))
        if not point.first_view.injective:
            target += _gathered(point.first_view, read(point.second_view, source)).reshape(
                target.shape
            )
        elif not point.second_view.injective:
            # each copy of the second's element carries an equal share of its cotangent
            indices = point.second_view.indices()
            copies = np.bincount(indices[indices >= 0], minlength=point.second_view.source)
            share = source.reshape(-1) / np.maximum(copies, 1)
            point.first_view.scatter(target, read(point.second_view, share.astype(source.dtype)))
        else:
            point.first_view.scatter(target, read(point.second_view, source))
    return made


def mapped(row: ParameterRow, own: Array, second: Mapping[str, Array]) -> Array:
    """The value of one parameter of the first model that the rows give it; elements that no piece
    covers keep `own`. Late where one of them is.

    A complex parameter beside real ones goes by its parts: its views are of twice as many
    elements."""
    read_late = any(isinstance(second[piece.second], LateArray) for piece in row.pieces)
    if not read_late and not isinstance(own, LateArray):
        return _mapped(row, own, second)
    needed = {piece.second: second[piece.second] for piece in row.pieces}
    # where nothing of its own stays, only its shape and dtype are held
    kept = zeros(own.shape, own) if _whole(row) else own

    def now() -> Array:
        arrays = {name: np.asarray(array) for name, array in needed.items()}
        return _mapped(row, np.asarray(kept), arrays)

    return late(own.shape, own.dtype, now)


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of another array's dtype, to be read: one number in memory."""
    return np.broadcast_to(np.zeros((), like.dtype), shape)


def laid(row: ParameterRow, own: Array, second: Mapping[str, Array]) -> Array:
    """Gradients of the second model in the layout of one parameter of the first: of a sum each term
    has that of the whole."""
    if any(piece.summed for piece in row.pieces):
        row = replace(row, pieces=tuple([replace(piece, summed="") for piece in row.pieces]))
    return mapped(row, own, second)


def _whole(row: ParameterRow) -> bool:
    one = row.pieces[0]
    return len(row.pieces) == 1 and one.first_view.identity and not one.summed


def _mapped(row: ParameterRow, own: Array, second: Mapping[str, Array]) -> Array:
    values = [read(piece.second_view, second[piece.second]) for piece in row.pieces]
    in_parts = row.pieces[0].first_view.source == 2 * own.size
    if in_parts:
        own = np.asarray(own, np.result_type(own.dtype, np.complex64))
    elif own.dtype.kind == "c" and all(value.dtype.kind != "c" for value in values):
        own = own.real  # zeros of the second's kind, of which only a part is read here
    if _whole(row) and not in_parts:
        return np.asarray(values[0].reshape(own.shape), own.dtype, order="C")
    target = np.array(own, order="C")
    for piece, value in zip(row.pieces, values, strict=True):
        piece.first_view.scatter(target, put(piece, target, value))
    return target


def put(piece: Piece, target: Array, value: Array) -> Array:
    """What a piece puts into its parameter, given what stands there already."""
    if piece.summed == "added":
        return np.asarray(piece.first_view.apply(target) + value.reshape(piece.first_view.shape))
    return np.zeros_like(value) if piece.summed == "held" else value
