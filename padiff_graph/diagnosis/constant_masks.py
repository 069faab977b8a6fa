"""Constant masks that hide other places in the other model: triangles by their diagonal, others by
how much they hide."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.findings.cause import Cause

__all__ = ["other_mask"]

HIDDEN = 1e4
"""So far below its largest number a mask hides from a softmax in every dtype."""
DEEP = 1e30
"""What infinities are cut to."""


def other_mask(reader: NormalNode, first: NormalNode, second: NormalNode) -> Cause | None:
    """That the constant masks that an operation reads are set in other places; None where they are
    no masks, or equal."""
    mine, theirs = _set(first.constant), _set(second.constant)
    if mine is None or theirs is None or mine.shape != theirs.shape or not mine.size:
        return None
    if np.array_equal(mine, theirs):
        return None
    facts: dict[str, object] = {"op": reader.op, "shape": tuple(theirs.shape)}
    facts |= {"first_mask": _told(mine), "second_mask": _told(theirs)}
    return Cause.of("mask.other", **facts)


def _set(constant: Array | None) -> Array | None:
    """Which places of a constant are true, or hidden from a softmax; None of other numbers."""
    if constant is None or constant.dtype.kind not in "bf":
        return None
    if constant.dtype.kind == "b":
        return constant
    values = np.clip(np.nan_to_num(constant.astype(np.float64), nan=0.0), -DEEP, DEEP)
    hidden: Array = values <= values.max(initial=0.0) - HIDDEN
    return hidden if hidden.any() else None


def _told(places: Array) -> str:
    """A triangle by its diagonal, and how many places are set."""
    count = f"{int(places.sum())} of {places.size} places"
    name = _triangle(places)
    return f"{name} ({count})" if name else count


def _triangle(places: Array) -> str:
    """ "triu(1)" or "tril(0)" as both frameworks call it; "" for what is no triangle."""
    if places.ndim < 2:
        return ""
    rows, columns = places.shape[-2:]
    flat = places.reshape(-1, rows, columns)
    if not flat[0].any() or flat[0].all() or not (flat == flat[0]).all():
        return ""
    row, column = np.nonzero(flat[0])
    for name, make, diagonal in (
        ("triu", np.triu, int((column - row).min())),
        ("tril", np.tril, int((column - row).max())),
    ):
        if np.array_equal(flat[0], make(np.ones((rows, columns), bool), diagonal)):
            return f"{name}({diagonal})"
    return ""
