"""Constant masks that hide other places in the other model: triangles by their diagonal, others by
how much they hide."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.diagnosis.plain_names import plain_name
from padiff_graph.findings.cause import Cause

__all__ = ["other_mask"]

HIDDEN = 1e4
"""So far below its largest number a mask hides from a softmax in every dtype."""
SPREADING = frozenset(
    {"add", "cast", "expand", "expand_as", "full_like", "assign", "scalar_tensor"}
)
"""Operations that bring a number to the shape of what it fills: Paddle adds it to zeros."""
SPREAD = 3
"""Most of them, one behind the other."""
CHOICE = 3
"""Operands of a choice: where, this, else that."""
DEEP = 1e30
"""What infinities are cut to."""


_Read = tuple[ComputationGraph, NormalNode, NormalNode]
"""A captured graph, an operation of it, and the constant that this reads."""


def other_mask(first: _Read, second: _Read) -> Cause | None:
    """That the constant masks that an operation reads hide other places; None where they are no
    masks, where they are equal, or where it is not known which truth value hides."""
    mine, theirs = _hidden(*first), _hidden(*second)
    if mine is None or theirs is None or not mine.size:
        return None
    mine, theirs = _broadcast(mine), _broadcast(theirs)
    if mine.shape != theirs.shape:
        return None
    if np.array_equal(mine, theirs):
        return None
    facts: dict[str, object] = {"op": second[1].op, "shape": tuple(theirs.shape)}
    facts |= {"first_mask": _told(mine), "second_mask": _told(theirs)}
    return Cause.of("mask.other", **facts)


def _hidden(graph: ComputationGraph, reader: NormalNode, table: NormalNode) -> Array | None:
    """Which places a constant hides from a softmax, or are true of it where another operation reads
    it; None of other numbers."""
    constant = table.constant
    if constant is None or constant.dtype.kind not in "bf":
        return None
    if constant.dtype.kind == "b" and reader.op != "Softmax":
        return constant
    edge = next(edge for edge in reader.inputs if edge is not None and edge.source == table.id)
    if constant.dtype.kind == "b" and abs(edge.scale) < HIDDEN:
        hiding = _hiding(graph, reader)
        return None if hiding is None else constant == hiding
    values = np.clip(np.nan_to_num(constant.astype(np.float64) * edge.scale, nan=0.0), -DEEP, DEEP)
    hidden: Array = values <= values.max(initial=0.0) - HIDDEN
    return hidden if hidden.any() else None


def _hiding(graph: ComputationGraph, reader: NormalNode) -> bool | None:
    """Which truth value hides, by the one operation that fills, or attends as one; None where
    several or none do."""
    told: list[bool] = []
    for record in map(graph.record, reader.native):
        name = plain_name(record.op)
        if name == "masked_fill":
            told.append(True)
        elif name == "scaled_dot_product_attention":  # in both frameworks what is true is shown
            told.append(False)
        elif name == "where" and len(record.inputs) == CHOICE:
            filled = [_fills(graph, value) for value in record.inputs[1:]]
            told += [filled[0]] if filled[0] != filled[1] else []
    return told[0] if len(told) == 1 else None


def _fills(graph: ComputationGraph, value: Value | None, deep: int = SPREAD) -> bool:
    """Whether a value is a number that hides, spread over a shape."""
    if value is None:
        return False
    record = graph.record(value.node)
    if record.constant is not None:
        return bool(record.constant.size) and float(np.max(record.constant)) <= -HIDDEN
    spread = deep > 0 and plain_name(record.op) in SPREADING
    return spread and any(_fills(graph, operand, deep - 1) for operand in record.inputs)


def _broadcast(places: Array) -> Array:
    """The places without axes of one in front, along which a reader repeats them."""
    axes = [axis for axis, extent in enumerate(places.shape) if extent > 1]
    kept: Array = places.reshape(places.shape[axes[0] if axes else places.ndim :])
    return kept


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
