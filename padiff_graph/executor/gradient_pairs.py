"""Gradients of both sides laid side by side: of the cuts that a region reads, and of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.executor.partition import Cut
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.executor.transfer import laid, pair_gradients, zeros
from padiff_graph.executor.value_names import value_name
from padiff_graph.matching.result import ParameterRow

__all__ = ["input_gradients", "parameter_gradients"]

Gradients = Mapping[Value, Array | None]


def input_gradients(
    sides: tuple[Side, Side], cuts: Iterable[Cut], first: Gradients, second: Gradients
) -> list[TensorPair]:
    """Gradients of these cuts that either side reads; a side that does not read one has none."""
    tensors: list[TensorPair] = []
    for cut in cuts:
        tensors += _of_cut(sides, cut, first, second)
    return tensors


def _of_cut(
    sides: tuple[Side, Side], cut: Cut, first: Gradients, second: Gradients
) -> list[TensorPair]:
    firsts, seconds = _arrived(cut.first, first), _arrived(cut.second, second)
    if not firsts and not seconds:
        return []
    # truth values on one side and ones and zeros on the other: what leads there is compared above
    values = [(sides[0], value) for value in cut.first]
    values += [(sides[1], value) for value in cut.second]
    if not all(differentiable(side.dtype(value)) for side, value in values):
        return []
    names = value_name(sides[0], cut.first[0]), value_name(sides[1], cut.second[0])
    if not cut.exact:
        ours, theirs = firsts.get(cut.first[0]), seconds.get(cut.second[0])
        return [TensorPair("input", *names, ours, theirs, cut=cut.index)]
    dtype = next(iter((*firsts.values(), *seconds.values()))).dtype
    pairs = pair_gradients(
        cut,
        _filled(sides[0], cut.first, firsts, dtype),
        _filled(sides[1], cut.second, seconds, dtype),
    )
    return [
        TensorPair(
            "input", *names, ours if firsts else None, theirs if seconds else None, cut=cut.index
        )
        for ours, theirs in pairs
    ]


def _arrived(values: tuple[Value, ...], gradients: Gradients) -> dict[Value, Array]:
    arrived = {value: gradients.get(value) for value in values}
    return {value: array for value, array in arrived.items() if array is not None}


def _filled(
    side: Side,
    values: tuple[Value, ...],
    arrived: Mapping[Value, Array],
    dtype: np.dtype[np.generic],
) -> dict[Value, Array]:
    """A gradient for every value, zero where none arrived."""
    return {
        value: arrived[value] if value in arrived else np.zeros(side.shape(value), dtype)
        for value in values
    }


def parameter_gradients(
    sides: tuple[Side, Side],
    rows: Mapping[str, ParameterRow],
    first: Mapping[str, Array],
    second: Mapping[str, Array],
    outputs: Iterable[Array],
) -> list[TensorPair]:
    """Gradients of the parameters that either side reads, through the parameter map.

    `outputs`: what the region yields, of which parameters' gradients are sums.
    """
    sizes = [array.size for array in outputs]
    tensors: list[TensorPair] = []
    for name in _concerned(rows, first, second):
        row, own = rows[name], sides[0].parameters.get(name)
        arrived = any(piece.second in second for piece in row.pieces)
        if own is None or own.dtype.kind not in "fc" or not (arrived or name in first):
            continue
        if not (name in first and arrived) and _frozen(sides, row):
            continue  # whether a path leads to what neither model trains is nobody's concern
        names = name, " + ".join(piece.second for piece in row.pieces)
        theirs = _mapped(sides[1], row, own.shape, first, second) if arrived else None
        largest = max(own.shape, default=1)
        positions = max((size / largest for size in sizes), default=1.0)
        tensors.append(TensorPair("parameter", *names, first.get(name), theirs, positions))
    return tensors


def _concerned(
    rows: Mapping[str, ParameterRow], first: Mapping[str, Array], second: Mapping[str, Array]
) -> list[str]:
    """Rows of which a gradient arrived: on the first side, or on the second alone."""
    covered = {piece.second for name in first if name in rows for piece in rows[name].pieces}
    alone = {name for name in second if name not in covered}
    if not alone:  # as a rule; a region has a few parameters, and a model thousands of rows
        return [name for name in rows if name in first and rows[name].pieces]
    return [
        name
        for name, row in rows.items()
        if row.pieces and (name in first or any(piece.second in alone for piece in row.pieces))
    ]


def _mapped(
    side: Side,
    row: ParameterRow,
    shape: tuple[int, ...],
    first: Mapping[str, Array],
    second: Mapping[str, Array],
) -> Array:
    """The second's gradient laid out like the first's; zero where a piece got none."""
    like = first[row.first] if row.first in first else next(iter(second.values()))
    filled = {
        piece.second: second[piece.second]
        if piece.second in second
        else zeros(side.parameters[piece.second].shape, like)
        for piece in row.pieces
    }
    return laid(row, zeros(shape, like), filled)


def _frozen(sides: tuple[Side, Side], row: ParameterRow) -> bool:
    """Whether neither model trains a parameter."""
    first, second = sides[0].graph.parameters, sides[1].graph.parameters
    return (
        row.first in first
        and not first[row.first].trainable
        and all(
            piece.second in second and not second[piece.second].trainable for piece in row.pieces
        )
    )
