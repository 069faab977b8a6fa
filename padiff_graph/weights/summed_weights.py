"""Weights of the first model that are added to each other, where the second keeps their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.result import ParameterRow, Piece

__all__ = ["summed_up"]


def summed_up(rows: Sequence[ParameterRow], values: Mapping[str, Array]) -> dict[str, Array]:
    """The first model's weights, with all of each sum in the one that holds it in the map and zeros
    in the others: how it is spread over them changes nothing."""
    summed = dict(values)
    pieces = [(row.first, piece) for row in rows for piece in row.pieces]
    for name, piece in pieces:
        if piece.summed != "held" or name not in values:
            continue
        for other, beside in pieces:
            if beside.second == piece.second and not beside.summed and other in values:
                _move(summed, (name, piece), (other, beside))
    return summed


def _move(values: dict[str, Array], source: tuple[str, Piece], target: tuple[str, Piece]) -> None:
    """Adds what stands in some elements of one weight to those of another that are made of the same
    elements of the second model."""
    ours, theirs = source[1], target[1]
    size = theirs.second_view.source
    total = np.zeros(size, values[target[0]].dtype)
    ours.second_view.scatter(total, ours.first_view.apply(values[source[0]]))
    values[target[0]] = _changed(
        values[target[0]],
        theirs.first_view,
        theirs.first_view.apply(values[target[0]]) + theirs.second_view.apply(total),
    )
    left = np.zeros(ours.first_view.size, values[source[0]].dtype)
    values[source[0]] = _changed(values[source[0]], ours.first_view, left)


def _changed(array: Array, view: View, numbers: Array) -> Array:
    changed = np.array(array)
    view.scatter(changed, numbers.reshape(view.shape))
    return changed
