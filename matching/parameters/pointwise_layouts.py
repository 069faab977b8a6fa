"""Layout rules of operators that keep or broadcast positions: elementwise, along an axis, joined,
looked up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.parameters.operand_call import (
    Call,
    Shape,
    Shapes,
    rows_apart,
    same_order,
)
from padiff_graph.matching.parameters.relations import (
    axis_orders,
    identity,
    product,
    same_relation,
    squeezed,
)

__all__ = ["concat", "elementwise", "gather", "layer_norm", "recurrent", "trailing"]


# -- elementwise


def elementwise(call: Call) -> View | None:
    """A full operand's relation is the result's; broadcast operands have to agree."""
    shapes = call.result()
    if shapes is None or math.prod(shapes[0]) != math.prod(shapes[1]):
        return None
    full = _full(call, math.prod(shapes[0]))
    if any(not same_relation(*pair) for pair in pairwise(full)):
        return None
    result = full[-1] if full else _agreed(call, shapes)
    if result is None:
        return None
    for pair, relation in enumerate(call.relations):
        if relation is None:
            operands = call.first_shapes[pair], call.second_shapes[pair]
            broadcast = _broadcast(result, shapes, operands)
            if broadcast is not None:
                call.parameters[pair] = broadcast
    return result


def _full(call: Call, size: int) -> list[View]:
    """The relations of operands as large as the result."""
    return [
        relation
        for relation in call.relations
        if relation is not None and relation.source == relation.size == size
    ]


def _agreed(call: Call, shapes: Shapes) -> View | None:
    """The first order of axes that all broadcast operands agree with."""
    if all(relation is None for relation in call.relations):
        return None
    return next((order for order in axis_orders(*shapes) if _agrees(call, shapes, order)), None)


def _agrees(call: Call, shapes: Shapes, order: View) -> bool:
    """Whether operands are related as an order of the result's axes says."""
    for pair, relation in enumerate(call.relations):
        if relation is None:
            continue
        operands = call.first_shapes[pair], call.second_shapes[pair]
        broadcast = _broadcast(order, shapes, operands)
        if broadcast is None or not same_relation(broadcast, relation):
            return False
    return True


def _broadcast(result: View, shapes: Shapes, operands: Shapes) -> View | None:
    """The relation of two operands that are broadcast to results of a known relation."""
    first, second = operands
    size = math.prod(first)
    if size != math.prod(second):
        return None
    if size == 1:
        return View.of(second)
    try:
        wide = View.of(first).expand(shapes[0])
        other = View.of(second).expand(shapes[1])
    except (IndexError, ValueError):
        return identity(first, second) if squeezed(first) == squeezed(second) else None
    if not result.stages and first == second and shapes[0] == shapes[1]:
        return View.of(second)
    section = _section(shapes[1], second)
    operand = wide.then(View(result.source, shapes[1], result.stages)).then(section)
    operand = View(operand.source, second, operand.stages)
    return operand if operand.permutation and other.size == result.size else None


def _section(shape: Shape, operand: Shape) -> View:
    """One place of a result for every element of an operand: coordinate 0 along what is
    broadcast."""
    section = View.of(shape)
    lead = len(shape) - len(operand)
    for axis, extent in enumerate(shape):
        if axis < lead or (operand[axis - lead] == 1 and extent != 1):
            section = section.take(axis, range(1))
    return section


# -- along the last axes


def trailing(call: Call) -> View | None:
    """Along the last axis, same extent: leading positions may be permuted, the axis itself too
    unless the operator depends on its order."""
    relation, shapes, operands = call.relation(0), call.result(), call.shapes(0)
    if relation is None or shapes is None or operands is None:
        return None
    pieces = rows_apart(relation, operands)
    if pieces is None:
        return None
    rows, columns = pieces
    if traits(call.first.op).ordered and columns.stages:
        return None
    size = math.prod(shapes[0])
    if size == rows.source:
        return rows
    if size == relation.source:
        return relation
    if shapes[0][-1:] == shapes[1][-1:] and rows.source * shapes[0][-1] == size:
        return product([rows, View.of(shapes[1][-1:])])
    return None


def layer_norm(call: Call) -> View | None:
    """Normalisation over the last axes: rows may be permuted, and the axes as the parameters
    are."""
    relation, operands = call.relation(0), call.shapes(0)
    axis = call.first.attrs.get("axis", -1)
    if relation is None or operands is None or call.second.attrs.get("axis", -1) != axis:
        return same_order(call)
    axes = -axis if isinstance(axis, int) and axis < 0 else 1
    pieces = rows_apart(relation, operands, axes)
    if pieces is None:
        return None
    for role in (1, 2):
        call.say(role, pieces[1])
    return relation


def recurrent(call: Call) -> View | None:
    """Weights come in one order on both sides; time, batch and features as they are."""
    for pair, operands in enumerate(zip(call.first_shapes, call.second_shapes, strict=True)):
        if call.relations[pair] is None:
            whole = identity(*operands)
            if whole is not None:
                call.parameters[pair] = whole
    relation, shapes = call.relation(0), call.result()
    if relation is None or shapes is None or relation.stages:
        return None
    return identity(*shapes)


# -- looked up and joined


def gather(call: Call) -> View | None:
    """An embedding: rows as the indices come, features as the table has them."""
    shapes, table, indices = call.result(), call.shapes(0), call.shapes(1)
    axes = call.first.attrs.get("axis", 0), call.second.attrs.get("axis", 0)
    if shapes is None or table is None or indices is None or axes != (0, 0):
        return same_order(call)
    if table[0] != table[1]:
        return None
    width = math.prod(table[0][1:])
    own = call.relation(0)
    if own is not None and own.stages:
        return None
    features = View.of((width,))
    if own is None:
        features = call.wanted_features(width)
        call.say(0, product([View.of(table[1][:1]), features]))
    relation = call.relation(1)
    return None if relation is None else product([relation, features])


def concat(call: Call) -> View | None:
    """The order of axes that every operand agrees with."""
    shapes = call.result()
    axes = call.first.attrs.get("axis"), call.second.attrs.get("axis")
    count = len(call.relations)
    if shapes is None or not count == len(call.first.inputs) == len(call.second.inputs):
        return None
    if not isinstance(axes[0], int) or not isinstance(axes[1], int):
        return None
    if list(call.roles) != sorted(call.roles):
        return None
    mine = _stretches(View.of(shapes[0]), call.first_shapes, axes[0])
    if mine is None or all(relation is None for relation in call.relations):
        return None
    for order in axis_orders(*shapes):
        theirs = _stretches(order, call.second_shapes, axes[1])
        related = None if theirs is None else _operands_of(call, mine, theirs)
        if related is not None:
            call.parameters.update(related)
            return order
    return None


def _stretches(whole: View, shapes: Sequence[Shape], axis: int) -> list[View] | None:
    """What of a whole each operand is, joined along an axis; None where one lacks the axis."""
    if any(not shape or axis >= len(shape) for shape in shapes):
        return None
    stretches = []
    start = 0
    for shape in shapes:
        stretch = range(start, start + shape[axis])
        stretches.append(whole.take(axis % len(whole.shape), stretch))
        start += shape[axis]
    return stretches


def _operands_of(call: Call, mine: list[View], theirs: list[View]) -> dict[int, View] | None:
    """The relations of operands that have none, as an order of the whole says; None where one that
    has one disagrees, or nothing fits."""
    said: dict[int, View] = {}
    for pair, relation in enumerate(call.relations):
        own, part = mine[pair], theirs[pair]
        if relation is None:
            orders = axis_orders(call.first_shapes[pair], call.second_shapes[pair])
            fitting = next((order for order in orders if own.then(order).same(part)), None)
            if fitting is None:
                return None
            said[pair] = fitting
        elif relation.source != own.size or not own.then(relation).same(part):
            return None
    return said
