"""Rows that are made from names: one operand, attributes, an axis."""

from __future__ import annotations

from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.call import Call, Result, Row
from padiff_graph.capture.normal.edges import reshape, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = ["along_last", "identity", "on_axis", "reshaped", "unary"]


def unary(op: str, operand: str = "self", **attributes: Any) -> Row:
    """A row for one operand and attributes: a string names the native attribute, anything else is the value."""

    def row(call: Call) -> Result:
        attrs = {
            name: call.number(native) if isinstance(native, str) else native
            for name, native in attributes.items()
        }
        return call.draft(op, [call[operand]], attrs)

    return row


def identity(operand: str = "self") -> Row:
    """A row for what changes no value."""

    def row(call: Call) -> Result:
        return call.touch(call[operand])

    return row


def reshaped(operand: str = "self") -> Row:
    """A row for another shape over the same order: the shape is that of the native result."""

    def row(call: Call) -> Result:
        return call.reshape(call[operand], call.shape)

    return row


def along_last(
    op: str, operand: str = "self", axis: str = "dim", results: int = 1, **attributes: Any
) -> Row:
    """A row for what runs along one axis, which the view puts last."""

    def row(call: Call) -> Result:
        attrs = {
            name: call.number(native) if isinstance(native, str) else native
            for name, native in attributes.items()
        }
        return on_axis(call, op, call[operand], call.number(axis, -1), attrs, results)

    return row


def on_axis(
    call: Call, op: str, edge: Edge, axis: int, attrs: dict[str, Any], results: int = 1
) -> Result:
    """A node along one axis: the operand with that axis last, the results with it put back."""
    rank = call.rank(edge)
    if rank == 0:
        edge, rank = reshape(edge, (1,)), 1
    axis %= rank
    order = [*(at for at in range(rank) if at != axis), axis]
    back = sorted(range(rank), key=order.__getitem__)
    operand = edge if axis == rank - 1 else transpose(edge, order)
    types = []
    for output in range(results):
        native = call.type(output)
        shape = native.shape or (1,)
        if len(shape) != rank:
            shape = (*shape[:axis], 1, *shape[axis:])
        types.append(TensorType(tuple(shape[at] for at in order), native.dtype))
    found = call.results(op, [operand], {"axis": axis - rank, **attrs}, *types)
    return [
        reshape(result if axis == rank - 1 else transpose(result, back), call.type(output).shape)
        for output, result in enumerate(found)
    ]
