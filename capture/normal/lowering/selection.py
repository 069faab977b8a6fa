"""Parts, copies and rows of a tensor, and writing into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from padiff_graph.capture.normal.builder import reduced
from padiff_graph.capture.normal.call import Call, Unsupported
from padiff_graph.capture.normal.edges import expand, moved, repeat, reshape, shape_of, view_of
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "assign_box",
    "concat",
    "gather",
    "known_index",
    "lookup",
    "pad",
    "pieces",
    "stack",
    "tiled",
    "unbound",
]


def concat(call: Call, parts: Sequence[Edge], axis: int) -> Edge:
    """Concat; nothing for a single part, parts without elements left out."""
    rank = len(call.shape)
    axis %= rank
    filled = [part for part in parts if call.rank(part) == rank and shape_of(part)[axis] > 0]
    kept = filled or list(parts[:1])
    if len(kept) == 1:
        return call.touch(kept[0])
    values = [value for value in map(call.known, kept) if value is not None]
    if len(values) == len(kept):
        return call.constant(np.concatenate(values, axis), call.type().dtype)
    return call.draft("Concat", kept, {"axis": axis})


def stack(call: Call, parts: Sequence[Edge], axis: int) -> Edge:
    """Concat of the parts with a new axis."""
    shape = list(call.shape)
    axis %= len(shape)
    shape[axis] = 1
    return concat(call, [reshape(part, shape) for part in parts], axis)


def pieces(call: Call, edge: Edge, axis: int, sizes: Sequence[int]) -> list[Edge | None]:
    """Consecutive slices of an axis."""
    found: list[Edge | None] = []
    at = 0
    for size in sizes:
        found.append(call.take(edge, axis, range(at, at + size)))
        at += size
    return found


def unbound(call: Call, edge: Edge, axis: int) -> list[Edge | None]:
    """Every coordinate of an axis by itself."""
    axis %= call.rank(edge)
    shape = shape_of(edge)
    rest = (*shape[:axis], *shape[axis + 1 :])
    return [reshape(call.take(edge, axis, range(at, at + 1)), rest) for at in range(shape[axis])]


def tiled(call: Call, edge: Edge, times: Sequence[int]) -> Edge:
    """Whole copies along each axis."""
    return repeat(edge, [int(count) for count in times], call.by)


def gather(
    call: Call,
    edge: Edge,
    index: Edge,
    axis: int,
    padding_idx: int = -1,
    *,
    by_frequency: bool = False,
) -> Edge:
    """Rows of an axis: movement where the index is known, Gather where it is data."""
    axis %= call.rank(edge)
    shape = shape_of(edge)
    known = None if by_frequency else call.known(index)
    if known is not None and known.dtype.kind in "iu" and known.size:
        known = reduced(known)
        rows = [int(row) + shape[axis] if row < 0 else int(row) for row in known.reshape(-1)]
        if min(rows) >= 0 and max(rows) < shape[axis]:
            taken = call.take(edge, axis, _stepped(rows))
            chosen = reshape(taken, (*shape[:axis], *known.shape, *shape[axis + 1 :]))
            # What the rows were computed from is part of the movement.
            by = (*call.builder.source(index).native, *index.through)
            chosen = moved(chosen, view_of(chosen), *by)
            return expand(chosen, (*shape[:axis], *shape_of(index), *shape[axis + 1 :]))
    kind = call.typed(edge, (*shape[:axis], *shape_of(index), *shape[axis + 1 :]))
    attrs = {"axis": axis, "padding_idx": padding_idx, "scale_grad_by_freq": by_frequency}
    return reshape(call.draft("Gather", [edge, index], attrs, kind), call.shape)


def _stepped(rows: Sequence[int]) -> Sequence[int] | range:
    """Rows as a range where they lie evenly."""
    steps = {after - before for before, after in pairwise(rows)} or {1}
    step = steps.pop()
    if steps or step == 0:
        return rows
    return range(rows[0], rows[-1] + (1 if step > 0 else -1), step)


def lookup(
    call: Call, table: Edge, index: Edge, padding_idx: int | None, *, by_frequency: bool = False
) -> Edge:
    """An embedding: rows of a table. The row of `padding_idx` gets no gradient; `by_frequency`
    divides a row's gradient by how often it is read."""
    row = -1 if padding_idx is None else int(padding_idx)
    if row < -1:
        row += shape_of(table)[0]
    if row >= 0 and call.known(index) is not None:
        attrs = {"axis": 0, "padding_idx": row, "scale_grad_by_freq": by_frequency}
        return call.draft("Gather", [table, index], attrs)
    return gather(call, table, index, 0, row, by_frequency=by_frequency)


def pad(call: Call, edge: Edge, widths: Sequence[tuple[int, int]], mode: str, value: float) -> Edge:
    """Padding; negative widths cut. `widths` for every axis. Axes of one element that are not
    padded are left out: Paddle pads images as volumes of one slice."""
    for axis, (before, after) in enumerate(widths):
        if before < 0 or after < 0:
            places = range(max(-before, 0), shape_of(edge)[axis] - max(-after, 0))
            edge = call.take(edge, axis, places)
    added = [(max(before, 0), max(after, 0)) for before, after in widths]
    if not any(map(any, added)):
        return call.touch(edge)
    axes = list(zip(shape_of(edge), added, strict=True))
    kept = [(extent, width) for extent, width in axes if extent != 1 or any(width)]
    pads = tuple(width[side] for side in (0, 1) for _, width in kept)
    attrs = {"mode": mode, "pads": pads, "value": float(value) if mode == "constant" else None}
    kind = call.typed(edge, tuple(extent + sum(width) for extent, width in kept))
    operand = reshape(edge, tuple(extent for extent, _ in kept))
    whole = tuple(extent + sum(width) for extent, width in axes)
    return reshape(call.draft("Pad", [operand], attrs, kind), whole)


def assign_box(call: Call, edge: Edge, box: Sequence[tuple[int, int, int]], values: Edge) -> Edge:
    """The operand with x[a:b, c:d] = values, as nested Concat. `box`: (axis, start, stop)."""
    region = list(shape_of(edge))
    for axis, start, stop in box:
        region[axis] = stop - start
    if any(extent == 0 for extent in region):
        return edge
    values = expand(values, region)

    def written(part: Edge, left: Sequence[tuple[int, int, int]]) -> Edge:
        if not left:
            return values
        (axis, start, stop), *further = left
        extent = shape_of(part)[axis]
        inner = written(call.take(part, axis, range(start, stop)), further)
        parts = [inner]
        if start > 0:
            parts.insert(0, call.take(part, axis, range(start)))
        if stop < extent:
            parts.append(call.take(part, axis, range(stop, extent)))
        if len(parts) == 1:
            return inner
        return call.draft("Concat", parts, {"axis": axis}, call.typed(edge, shape_of(part)))

    whole = [
        (axis, start, stop)
        for axis, start, stop in box
        if (start, stop) != (0, shape_of(edge)[axis])
    ]
    return call.touch(written(edge, whole))


def known_index(call: Call, edge: Edge, axis: int, indices: Sequence[np.ndarray[Any, Any]]) -> Edge:
    """Adjacent axes indexed by known arrays: one axis, gathered by the flat position."""
    if any(value.dtype == np.bool_ for value in indices):
        if len(indices) > 1:
            raise Unsupported("several boolean indices")
        indices = list(np.nonzero(indices[0]))
    shape = shape_of(edge)
    extents = shape[axis : axis + len(indices)]
    wrapped = [
        np.where(value < 0, value + extent, value)
        for value, extent in zip(np.broadcast_arrays(*indices), extents, strict=True)
    ]
    flat = np.ravel_multi_index(tuple(wrapped), extents)
    merged = reshape(edge, (*shape[:axis], math.prod(extents), *shape[axis + len(indices) :]))
    return reshape(call.take(merged, axis, flat.reshape(-1).tolist()), call.shape)
