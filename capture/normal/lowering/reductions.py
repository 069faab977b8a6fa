"""Reductions, over axes that the view of the operand puts last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.call import Call, Result, Row
from padiff_graph.capture.normal.edges import reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.lowering.elementwise import fixed_power
from padiff_graph.capture.normal.lowering.named_rows import named_attributes

__all__ = ["argument", "reduce_over", "reduction", "root_of_squares"]


def reduction(op: str, operand: str = "self", axes: str = "dim", **attributes: Any) -> Row:
    """A row for a reduction; no axes means all of them. A second native result holds indices."""

    def row(call: Call) -> Result:
        attrs = named_attributes(call, attributes)
        results = max(1, len(call.record.outputs))
        return reduce_over(call, op, call[operand], call.numbers(axes), attrs, results)

    return row


def _last(edge: Edge, axes: Sequence[int]) -> tuple[Edge, tuple[int, ...]]:
    """The operand as [*kept, n] with the given axes as its last one, and these counted from the
    end.

    No axes means all of them.
    """
    shape = shape_of(edge)
    rank = len(shape)
    over = sorted({int(axis) % rank for axis in axes}) if axes and rank else list(range(rank))
    kept = [axis for axis in range(rank) if axis not in over]
    lead = tuple(shape[axis] for axis in kept)
    count = math.prod(shape[axis] for axis in over)
    operand = reshape(transpose(edge, [*kept, *over]), (*lead, count))
    return operand, tuple(axis - rank for axis in over)


def reduce_over(
    call: Call, op: str, edge: Edge, axes: Sequence[int], attrs: dict[str, Any], results: int = 1
) -> Result:
    """A reduction over axes, which the operand's view puts last as one."""
    operand, over = _last(edge, axes)
    kinds = [call.type(output) for output in range(results)]
    types = [TensorType(shape_of(operand)[:-1], kind.dtype) for kind in kinds]
    reduced = call.results(op, [operand], {"axes": over, **attrs}, *types)
    return [reshape(edge, kind.shape) for edge, kind in zip(reduced, kinds, strict=True)]


def root_of_squares(call: Call, edge: Edge, axes: Sequence[int]) -> Edge:
    """The 2-norm over axes."""
    squares, over = _last(fixed_power(call, edge, 2.0), axes)
    kind = TensorType(shape_of(squares)[:-1], call.type().dtype)
    total = call.draft("ReduceSum", [squares], {"axes": over}, kind)
    return reshape(fixed_power(call, total, 0.5), call.shape)


def argument(call: Call, op: str, edge: Edge, axis: int) -> Edge:
    """ArgMax or ArgMin along an axis, which the view puts last."""
    operand, (axis,) = _last(edge, [axis])
    kind = TensorType(shape_of(operand)[:-1], call.type().dtype)
    return reshape(call.draft(op, [operand], {"axis": axis}, kind), call.shape)
