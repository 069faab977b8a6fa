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

__all__ = ["argument", "reduce_over", "reduction", "root_of_squares"]


def reduction(op: str, operand: str = "self", axes: str = "dim", **attributes: Any) -> Row:
    """A row for a reduction; no axes means all of them. A second native result holds indices."""

    def row(call: Call) -> Result:
        attrs = {
            name: call.number(native) if isinstance(native, str) else native
            for name, native in attributes.items()
        }
        edge = call[operand]
        return reduce_over(
            call, op, edge, call.numbers(axes), attrs, results=max(1, len(call.record.outputs))
        )

    return row


def reduce_over(
    call: Call, op: str, edge: Edge, axes: Sequence[int], attrs: dict[str, Any], results: int = 1
) -> Result:
    """A reduction over axes, which the operand's view puts last as one."""
    rank = call.rank(edge)
    over = sorted({int(axis) % rank for axis in axes}) if axes and rank else list(range(rank))
    rest = [axis for axis in range(rank) if axis not in over]
    shape = shape_of(edge)
    lead = tuple(shape[axis] for axis in rest)
    operand = edge if [*rest, *over] == list(range(rank)) else transpose(edge, [*rest, *over])
    operand = reshape(operand, (*lead, math.prod(shape[axis] for axis in over)))
    types = [TensorType(lead, call.type(output).dtype) for output in range(results)]
    found = call.results(
        op, [operand], {"axes": tuple(axis - rank for axis in over), **attrs}, *types
    )
    return [reshape(result, call.type(output).shape) for output, result in enumerate(found)]


def root_of_squares(call: Call, edge: Edge, axes: Sequence[int]) -> Edge:
    """The 2-norm over axes."""
    rank = call.rank(edge)
    over = sorted({int(axis) % rank for axis in axes}) if axes else list(range(rank))
    rest = [axis for axis in range(rank) if axis not in over]
    shape, dtype = shape_of(edge), call.type().dtype
    lead = tuple(shape[axis] for axis in rest)
    square = transpose(fixed_power(call, edge, 2.0), [*rest, *over])
    total = call.draft(
        "ReduceSum",
        [reshape(square, (*lead, math.prod(shape[axis] for axis in over)))],
        {"axes": tuple(axis - rank for axis in over)},
        TensorType(lead, dtype),
    )
    return reshape(fixed_power(call, total, 0.5), call.shape)


def argument(call: Call, op: str, edge: Edge, axis: int) -> Edge:
    """ArgMax or ArgMin along an axis, which the view puts last."""
    rank = call.rank(edge)
    axis %= rank
    order = [*(at for at in range(rank) if at != axis), axis]
    shape = tuple(shape_of(edge)[at] for at in order[:-1])
    return reshape(
        call.draft(
            op,
            [transpose(edge, order)],
            {"axis": axis - rank},
            TensorType(shape, call.type().dtype),
        ),
        call.shape,
    )
