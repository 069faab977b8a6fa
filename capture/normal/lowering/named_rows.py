"""Rows that are made from names: one operand, attributes, an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import reshape, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "along_last",
    "identity",
    "mean_slope",
    "named_attributes",
    "on_axis",
    "reshaped",
    "unary",
]


def unary(op: str, operand: str = "self", **attributes: Any) -> Row:
    """A row for one operand and attributes, as of `named_attributes`."""

    def row(call: Call) -> Result:
        attrs = named_attributes(call, attributes)
        return call.draft(op, [call[operand]], attrs)

    return row


def mean_slope(operand: str = "self") -> Row:
    """A row for a leaky ReLU whose slope is drawn while it trains, and the mean of its bounds
    outside of that."""

    def row(call: Call) -> Result:
        alpha = 0.5 * (call.number("lower") + call.number("upper"))
        if "random" in call.record.marks:
            raise Unsupported("a slope that is drawn")
        return call.draft("LeakyRelu", [call[operand]], {"alpha": alpha})

    return row


def named_attributes(call: Call, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a row: a string names the native attribute, anything else is the value."""
    return {
        name: call.number(native) if isinstance(native, str) else native
        for name, native in attributes.items()
    }


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
        attrs = named_attributes(call, attributes)
        return on_axis(call, op, call[operand], call.number(axis, -1), attrs, results)

    return row


def on_axis(
    call: Call,
    op: str,
    edge: Edge,
    axis: int,
    attrs: dict[str, Any],
    results: int = 1,
    *,
    kept: Sequence[TensorType] = (),
) -> Result:
    """A node along one axis: the operand with that axis last, the results with it put back. `kept`
    are results in front of those that the native operation has, which it keeps to itself."""
    if call.rank(edge) == 0:
        edge = reshape(edge, (1,))
    rank = call.rank(edge)
    axis %= rank
    order = [*(at for at in range(rank) if at != axis), axis]
    back = sorted(range(rank), key=order.__getitem__)
    kinds = [*kept, *(call.type(output) for output in range(results))]
    types = []
    for kind in kinds:
        shape = kind.shape or (1,)
        if len(shape) != rank:  # the axis is gone
            shape = (*shape[:axis], 1, *shape[axis:])
        types.append(TensorType(tuple(shape[at] for at in order), kind.dtype))
    made = call.results(op, [transpose(edge, order)], {"axis": axis - rank, **attrs}, *types)
    put_back = [
        reshape(transpose(result, back), kind.shape)
        for result, kind in zip(made, kinds, strict=True)
    ]
    return put_back[len(kept) :]
