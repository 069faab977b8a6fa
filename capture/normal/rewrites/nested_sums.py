"""Sums and products of any number of operands, in their least shapes, shifts behind them."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import affine, broadcast, shape_of, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.operands import present
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import with_trait

__all__ = ["least_operands", "nested_sum_or_product", "shift_out_of_sum"]


@applies_to("Add", "Mul")
def nested_sum_or_product(sweep: Sweep, draft: Draft) -> bool:
    """(x + y) + z = Add(x, y, z), (x * y) * z = Mul(x, y, z).

    Refuses where the inner one is read elsewhere too, moved on the way, or a scaled factor. Leaves
    one node, the first nested operand taken apart.
    """
    for position, edge in enumerate(draft.inputs):
        inner = sweep.behind(edge, draft.op)
        if edge is None or inner is None or not _flattens(sweep, draft, edge, inner):
            continue
        members = _members(edge, inner, draft.shape)
        inputs = [*draft.inputs[:position], *members, *draft.inputs[position + 1 :]]
        sweep.replace(draft, sweep.made_of(draft, draft.op, inputs, {}, inner, native=edge.through))
        return True
    return False


def _flattens(sweep: Sweep, draft: Draft, edge: Edge, inner: Draft) -> bool:
    """Whether the operands of an inner node may stand among those of the outer one."""
    if draft.op == "Mul" and (edge.shift != 0.0 or edge.scale != 1.0):
        return False
    whole = view_of(edge).identity and shape_of(edge) == inner.shape
    return whole and sweep.alone(inner) and None not in inner.inputs


def _members(edge: Edge, inner: Draft, shape: tuple[int, ...]) -> list[Edge]:
    """scale * (a + b) + shift: the scale goes with each, the shift with the first."""
    first, *rest = [affine(member, edge.scale, 0.0) for member in present(inner)]
    return [broadcast(member, shape) for member in (affine(first, 1.0, edge.shift), *rest)]


@applies_to(*with_trait(lambda row: row.elementwise and (row.variadic or len(row.operands) > 1)))
def least_operands(sweep: Sweep, draft: Draft) -> bool:
    """x + expand(b) = x + b, also where the expansion came to light by another rule.

    Refuses where the operands alone would not have the result's shape. Changes the draft in place.
    """
    least = [None if edge is None else broadcast(edge, draft.shape) for edge in draft.inputs]
    shapes = [shape_of(edge) for edge in least if edge is not None]
    if least == draft.inputs or np.broadcast_shapes(*shapes) != draft.shape:
        return False
    draft.inputs[:] = least
    return True


@applies_to("Add")
def shift_out_of_sum(sweep: Sweep, draft: Draft) -> bool:
    """(x + c) + y = (x + y) + c.

    Leaves padded operands alone: their padding is not shifted. Leaves the shift to the readers.
    """
    total = 0.0
    inputs: list[Edge | None] = []
    for edge in draft.inputs:
        if edge is not None and edge.shift != 0.0 and not view_of(edge).padded:
            total += edge.shift
            edge = edge._replace(shift=0.0)
        inputs.append(edge)
    if inputs == draft.inputs:
        return False
    sweep.replace(draft, sweep.made_of(draft, "Add", inputs, {}), 1.0, total)
    return True
