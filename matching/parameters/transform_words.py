"""Transforms of parameters in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.cover import box
from padiff_graph.matching.parameters.relations import axis_orders
from padiff_graph.matching.result import Piece

__all__ = ["describe"]

AXES = ("rows", "columns")


def describe(
    pieces: Sequence[Piece], shape: Sequence[int], seconds: Mapping[str, tuple[int, ...]]
) -> str:
    """Says how a parameter of a shape is made of others.

    Args:
        pieces: where its elements come from.
        shape: its own.
        seconds: shapes of the second model's parameters by name.
    """
    if not pieces:
        return ""
    if len(pieces) == 1:
        one = pieces[0]
        if not one.first_view.identity:
            return _piece(one, tuple(shape), seconds[one.second])
        return _whole(one.second_view, tuple(shape), seconds[one.second])
    shown = [_piece(piece, tuple(shape), seconds[piece.second]) for piece in pieces]
    axis = _joined(pieces, shape)
    how = (
        "made of"
        if axis is None
        else "stacked from"
        if all(len(seconds[piece.second]) < len(shape) for piece in pieces)
        else f"{_axis(axis, len(shape))} joined from"
    )
    return f"{how} {', '.join(shown)}"


@lru_cache(maxsize=1 << 12)
def _whole(view: View, shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    if view.identity:
        return "identity" if shape == other else f"reshape {_shape(other)} to {_shape(shape)}"
    if view.size == math.prod(other):
        moved = _moved(view, other, shape)
        return moved or "elements in another order"
    return _part(view, shape, other)


def _piece(piece: Piece, shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    into = box(piece.first_view, shape)
    where = "" if into is None else _range(into, shape)
    source = (
        piece.second
        if piece.second_view.size == math.prod(other)
        else f"{piece.second} ({_part(piece.second_view, piece.first_view.shape, other)})"
    )
    return f"{source} at {where}" if where else source


def _part(view: View, shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    read = box(view, other)
    if read is None:
        return f"{view.size} of {math.prod(other)} elements"
    words = _range(read, other) + f" of {_shape(other)}"
    taken = View.of(other)
    for axis, coordinates in enumerate(read):
        if len(coordinates) != other[axis]:
            taken = taken.take(axis, _coordinates(coordinates))
    if taken.same(view):
        return words
    for order in axis_orders(taken.shape, shape):
        if taken.then(order).same(view):
            return f"{words}, transposed"
    return f"{words}, in another order"


def _coordinates(found: np.ndarray) -> Sequence[int] | range:
    start, stop = int(found[0]), int(found[-1]) + 1
    return range(start, stop) if stop - start == len(found) else found.tolist()


def _range(read: Sequence[np.ndarray], shape: Sequence[int]) -> str:
    said = []
    for axis, coordinates in enumerate(read):
        if len(coordinates) == shape[axis]:
            continue
        name = _axis(axis, len(shape))
        start, stop = int(coordinates[0]), int(coordinates[-1]) + 1
        steps = set(np.diff(coordinates).tolist())
        if len(coordinates) == 1:
            said.append(f"{name.rstrip('s') if name in AXES else name} {start}")
        elif steps == {1}:
            said.append(f"{name} {start}:{stop}")
        elif len(steps) == 1:
            said.append(f"{name} {start}:{stop}:{steps.pop()}")
        else:
            said.append(
                f"{len(coordinates)} {name}"
                if name in AXES
                else f"{len(coordinates)} places of {name}"
            )
    return ", ".join(said)


def _axis(axis: int, rank: int) -> str:
    return AXES[axis] if rank <= 2 else f"axis {axis}"


def _moved(view: View, other: tuple[int, ...], shape: tuple[int, ...]) -> str:
    for order in axis_orders(other, shape):
        if order.same(view):
            one = [extent for extent in other if extent != 1]
            if len(one) == 2:
                return (
                    "transpose"
                    if len(other) == len(shape)
                    else f"transpose, {_shape(other)} to {_shape(shape)}"
                )
            return f"axes of {_shape(other)} permuted to {_shape(shape)}"
    matrix = [extent for extent in (other[0] if other else 1, math.prod(other[1:]))]
    if View.of(matrix).transpose((1, 0)).same(view):
        return f"transpose of {_shape(tuple(matrix))}, to {_shape(shape)}"
    return ""


def _joined(pieces: Sequence[Piece], shape: Sequence[int]) -> int | None:
    """The axis along which the pieces stand one behind the other."""
    axes: set[int] = set()
    for piece in pieces:
        read = box(piece.first_view, shape)
        if read is None:
            return None
        axes.update(
            axis for axis, coordinates in enumerate(read) if len(coordinates) != shape[axis]
        )
    return axes.pop() if len(axes) == 1 else None


def _shape(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(extent) for extent in shape)}]"
