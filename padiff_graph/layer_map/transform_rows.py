"""How a parameter's transform stands in a map's file: in words, or as pieces of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from padiff_graph.alignment.correspondence import ParameterEntry
from padiff_graph.capture.normal.index_map import Stage, View
from padiff_graph.errors import UsageError
from padiff_graph.matching.result import Piece

__all__ = ["Shape", "check_keys", "piece_in", "piece_out", "said_by_words", "view_by_words"]

Shape = tuple[int, ...]
WORDS = ("identity", "transpose", "reshape")
"""Transforms that words alone say."""


def check_keys(row: Any, needed: set[str], allowed: set[str], where: str) -> None:
    """A row is a mapping that has what is needed, and nothing that is not known.

    Raises:
        UsageError: naming what is missing or unknown.
    """
    if not isinstance(row, Mapping):
        raise UsageError(f"{where}: expected a mapping, found {row!r}")
    missing, unknown = needed - set(row), set(row) - needed - allowed
    if missing:
        raise UsageError(
            f"{where}: {', '.join(sorted(missing))} is missing; found {', '.join(map(str, row))}"
        )
    if unknown:
        raise UsageError(
            f"{where}: unknown entries {', '.join(sorted(map(str, unknown)))}; "
            f"known are {', '.join(sorted(needed | allowed))}"
        )


# -- in words


def said_by_words(entry: ParameterEntry) -> bool:
    """Whether words alone say the transform."""
    if len(entry.row.pieces) != 1:
        return False
    piece = entry.row.pieces[0]
    shape = entry.seconds[piece.second]
    if not piece.first_view.identity or piece.second_view.size != math.prod(shape):
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
    return {
        "of": piece.second,
        "into": _view_out(piece.first_view),
        "from": _view_out(piece.second_view),
    }


def piece_in(piece: Any, shape: Shape, seconds: Mapping[str, Shape], where: str) -> Piece:
    """A piece as the file holds it, read.

    Raises:
        UsageError: it does not fit the parameters' shapes.
    """
    check_keys(piece, {"of", "into", "from"}, set(), f"{where}, pieces")
    name = str(piece["of"])
    if name not in seconds:
        raise UsageError(
            f"{where}: a piece is of {name}, which is not among torch: {sorted(seconds)}"
        )
    target = _view_in(piece["into"], math.prod(shape), where)
    source = _view_in(piece["from"], math.prod(seconds[name]), where)
    if target.size != source.size:
        raise UsageError(f"{where}: a piece puts {source.size} elements into {target.size} places")
    return Piece(name, target, source)


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
    stages = tuple(_stage_in(stage) for stage in written.get("steps") or ())
    shape = tuple(int(extent) for extent in written["shape"])
    size = math.prod(stages[-1].shape) if stages else source
    if math.prod(shape) != size:
        raise UsageError(
            f"{where}: a view of {source} elements cannot have shape {list(shape)} by these steps"
        )
    low, high = _ends(stages[0]) if stages else (0, source - 1)
    if size and (low < 0 or high >= source):
        raise UsageError(f"{where}: a view reads elements {low} to {high} of {source}")
    return View(source, shape, stages)


def _stage_in(written: Any) -> Stage:
    strides = tuple(
        tuple(step) if isinstance(step, Sequence) else int(step) for step in written["strides"]
    )
    return Stage(tuple(written["shape"]), strides, int(written.get("start", 0)))


def _ends(stage: Stage) -> tuple[int, int]:
    """The lowest and the highest element that a stage reads."""
    low = high = stage.offset
    for extent, step in zip(stage.shape, stage.steps, strict=True):
        if isinstance(step, tuple):
            reach = step
        else:
            reach = (0, step * (extent - 1))
        low, high = low + min(reach), high + max(reach)
    return low, high
