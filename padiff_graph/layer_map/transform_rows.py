"""How a parameter's transform stands in a map's file: in words, or as pieces of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.alignment.correspondence import ParameterEntry
from padiff_graph.capture.normal.index_map import Stage, View
from padiff_graph.capture.normal.index_step import Step
from padiff_graph.errors import UsageError
from padiff_graph.layer_map.map_fields import (
    Shape,
    check_keys,
    members,
    name_of,
    shape_of,
    told,
    whole,
)
from padiff_graph.matching.result import Piece

__all__ = ["check_filled", "piece_in", "piece_out", "said_by_words", "view_by_words"]

WORDS = ("identity", "transpose", "reshape")
"""Transforms that words alone say."""
SUMS = ("", "added", "held")
"""What a piece may be in a sum."""
REPEATED = 1 << 24
"""Elements of a parameter that repeats its source at most; chosen far above what a model broadcasts
(a scale for each channel) and far below what fills a memory."""


# -- in words


def said_by_words(entry: ParameterEntry) -> bool:
    """Whether words alone say the transform."""
    if len(entry.row.pieces) != 1:
        return False
    piece = entry.row.pieces[0]
    shape = entry.seconds[piece.second]
    if piece.summed or not piece.first_view.identity or piece.second_view.size != math.prod(shape):
        return False
    words = entry.row.transform
    kind = _kind(words)
    if kind not in WORDS or (kind == "transpose" and words != "transpose"):
        return False
    return view_by_words(words, entry.shape, shape, entry.row.first).same(piece.second_view)


def view_by_words(words: str, shape: Shape, second: Shape, where: str) -> View:
    """The view of a second parameter that gives the first one's elements in order.

    Args:
        shape, second: of the first model's parameter and of the second's.
    Raises:
        UsageError: the words need pieces, or do not lead from one shape to the other.
    """
    if math.prod(second) != math.prod(shape):
        raise UsageError(
            f"{where}: {list(second)} has {math.prod(second)} elements and {list(shape)} "
            f"{math.prod(shape)}; a part needs pieces"
        )
    kind = _kind(words) or "identity"
    if kind == "identity" and shape != second:
        raise UsageError(
            f"{where}: identity between {list(second)} and {list(shape)}; "
            "write reshape or transpose"
        )
    if kind == "transpose":
        return _transposed(shape, second, where)
    if kind not in WORDS:
        raise UsageError(
            f"{where}: the transform {words!r} needs pieces; "
            "by words alone there are identity, transpose and reshape"
        )
    return View.of(second).reshape(shape)


def _kind(words: str) -> str:
    """The first word, which names the transform."""
    return words.split()[0].rstrip(",") if words else ""


def _transposed(shape: Shape, second: Shape, where: str) -> View:
    turned = View.of(second).transpose(tuple(reversed(range(len(second)))))
    if _without_ones(turned.shape) != _without_ones(shape):
        raise UsageError(
            f"{where}: {list(second)} transposed is {list(turned.shape)}, expected {list(shape)}"
        )
    return turned.reshape(shape)


def _without_ones(shape: Sequence[int]) -> Shape:
    return tuple(extent for extent in shape if extent != 1)


# -- as pieces


def piece_out(piece: Piece) -> dict[str, Any]:
    """A piece as the file holds it."""
    out: dict[str, Any] = {
        "of": piece.second,
        "into": _view_out(piece.first_view),
        "from": _view_out(piece.second_view),
    }
    return {**out, "sum": piece.summed} if piece.summed else out


def piece_in(piece: Any, shape: Shape, seconds: Mapping[str, Shape], where: str) -> Piece:
    """A piece as the file holds it, read.

    Raises:
        UsageError: it does not fit the parameters' shapes.
    """
    check_keys(piece, {"of", "into", "from"}, {"sum"}, f"{where}, pieces")
    name = name_of(piece["of"], f"{where}, piece")
    if name not in seconds:
        raise UsageError(
            f"{where}: a piece is of {name}, which is not among torch: {sorted(seconds)}"
        )
    target = _view_in(piece["into"], math.prod(shape), where)
    source = _view_in(piece["from"], math.prod(seconds[name]), where)
    if target.size != source.size:
        raise UsageError(f"{where}: a piece puts {source.size} elements into {target.size} places")
    summed = piece.get("sum", "")
    if summed not in SUMS:
        raise UsageError(f"{where}: the sum of a piece is 'added' or 'held', found {told(summed)}")
    return Piece(name, target, source, summed)


def _view_out(view: View) -> dict[str, Any]:
    out: dict[str, Any] = {"shape": list(view.shape)}
    if view.stages:
        out["steps"] = [_stage_out(stage) for stage in view.stages]
    return out


def _stage_out(stage: Stage) -> dict[str, Any]:
    strides = [list(step) if isinstance(step, tuple) else step for step in stage.steps]
    return {"shape": list(stage.shape), "strides": strides, "start": stage.offset}


def _view_in(written: Any, source: int, where: str) -> View:
    check_keys(written, {"shape"}, {"steps"}, f"{where}, view")
    shape = shape_of(written["shape"], f"{where}, view")
    stages: list[Stage] = []
    size = source
    for step in members(written, "steps", f"{where}, view"):
        stages.append(_stage_in(step, size, where))
        size = math.prod(stages[-1].shape)
    if math.prod(shape) != size:
        raise UsageError(
            f"{where}: a view of {source} elements cannot have shape {list(shape)} by these steps"
        )
    return View(source, shape, tuple(stages))


def _stage_in(written: Any, source: int, where: str) -> Stage:
    """One step over `source` elements, none of which lies outside."""
    where = f"{where}, step"
    check_keys(written, {"shape", "strides"}, {"start"}, where)
    shape = shape_of(written["shape"], where)
    strides = members(written, "strides", where)
    if len(strides) != len(shape):
        raise UsageError(f"{where}: expected a stride for each axis of {list(shape)}")
    steps = tuple(
        _step_in(step, extent, where) for step, extent in zip(strides, shape, strict=True)
    )
    stage = Stage(shape, steps, whole(written.get("start", 0), "start", where))
    if math.prod(shape):
        low, high = _ends(stage)
        if low < 0 or high >= source:
            raise UsageError(f"{where}: a view reads elements {low} to {high} of {source}")
    return stage


def _step_in(written: Any, extent: int, where: str) -> Step:
    """A stride, or a table with a place for each coordinate."""
    if not isinstance(written, list):
        return whole(written, "a stride", where)
    if len(written) != extent:
        raise UsageError(f"{where}: expected a table of {extent} places, found {len(written)}")
    return tuple([whole(place, "a place", where) for place in written])


def _ends(stage: Stage) -> tuple[int, int]:
    """The lowest and the highest element that a step reads; no axis of it is empty."""
    low = high = stage.offset
    for extent, step in zip(stage.shape, stage.steps, strict=True):
        reach = (0, step * (extent - 1)) if isinstance(step, int) else step
        low, high = low + min(reach), high + max(reach)
    return low, high


# -- what the pieces fill


def check_filled(entry: ParameterEntry, where: str = "the layer map") -> None:
    """Every element of a first parameter comes from exactly one element of one piece.

    Raises:
        UsageError: pieces overlap, leave gaps, or repeat few elements to a size that no model has.
    """
    pieces = entry.row.pieces
    size = math.prod(entry.shape)
    put = sum(piece.first_view.size for piece in pieces if piece.summed != "added")
    where = f"{where}, parameter {entry.paddle_name}"
    if put != size:
        fault = "overlap" if put > size else "leave gaps"
        raise UsageError(f"{where}: its pieces {fault}: they put {put} elements into {size}")
    read = sum(math.prod(shape) for shape in entry.seconds.values())
    if size > max(read, REPEATED):
        raise UsageError(f"{where}: {read} elements are repeated to {size}")
    if len(pieces) == 1 and pieces[0].first_view.identity:
        return
    try:
        filled = np.zeros(size, bool)
        for piece in pieces:
            piece.first_view.scatter(filled, np.ones(piece.first_view.size, bool))
    except MemoryError:
        raise UsageError(f"{where}: {size} elements do not fit into memory") from None
    if not filled.all():
        raise UsageError(
            f"{where}: its pieces overlap and leave {size - np.count_nonzero(filled)} elements open"
        )
