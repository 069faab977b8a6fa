"""How relations of operands become relations of results, and what that says of parameters.

One function for each family of operators. Each gets the relations of a matched pair's operands and
answers with the relations of its results, and of the operands that are parameters: a linear layer
whose input features come in another order reads its weight in that order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import Layout, traits
from padiff_graph.matching.parameters.relations import (
    axis_orders,
    identity,
    parts,
    product,
    same_relation,
    separable,
)

__all__ = ["Call", "fits", "related"]


@dataclass
class Call:
    """A matched pair of operations with what is known of its operands.

    Attributes:
        first, second: the two nodes.
        first_shapes, second_shapes: of the paired operands.
        relations: of the paired operands, None where unknown (parameters, or a source without relation).
        roles: the first side's operand position of each pair.
        features: the relation of the output features, where the consumers decided on one.
        parameters: filled in: relations of operands by pair.
    """

    first: NormalNode
    second: NormalNode
    first_shapes: Sequence[tuple[int, ...]]
    second_shapes: Sequence[tuple[int, ...]]
    relations: Sequence[View | None]
    roles: Sequence[int]
    features: View | None = None
    parameters: dict[int, View] = field(default_factory=dict)

    def at(self, role: int) -> int | None:
        """The pair whose first side stands at an operand position."""
        return self.roles.index(role) if role in self.roles else None

    def relation(self, role: int) -> View | None:
        """The relation of the operands at a position."""
        pair = self.at(role)
        return None if pair is None else self.relations[pair]

    def shapes(self, role: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The shapes of the operands at a position."""
        pair = self.at(role)
        return None if pair is None else (self.first_shapes[pair], self.second_shapes[pair])

    def say(self, role: int, relation: View | None) -> None:
        """Notes the relation of a parameter operand."""
        pair = self.at(role)
        if (
            pair is not None
            and relation is not None
            and relation.size == math.prod(self.second_shapes[pair])
            and relation.source == math.prod(self.first_shapes[pair])
        ):
            self.parameters[pair] = relation.reshape(self.second_shapes[pair])

    def result(self, output: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The shapes of a result on both sides."""
        if output >= len(self.first.outputs) or output >= len(self.second.outputs):
            return None
        return self.first.outputs[output].shape, self.second.outputs[output].shape


Rule = Callable[[Call], "View | None"]


def related(call: Call) -> list[View | None]:
    """Relations of the results, None where none can be told; fills `call.parameters`."""
    pair = call.first.op, call.second.op
    rule = RULES[traits(pair[0]).layout] if pair[0] == pair[1] else CROSS.get(pair, _plain)
    found: list[View | None] = []
    main = rule(call)
    shapes = call.result()
    if (
        main is not None
        and shapes is not None
        and (main.source != math.prod(shapes[0]) or main.size != math.prod(shapes[1]))
    ):
        main = None
    if main is not None and shapes is not None:
        main = main.reshape(shapes[1])
    found.append(main)
    for output in range(1, min(len(call.first.outputs), len(call.second.outputs))):
        shapes = call.result(output)
        same = shapes is not None and _squeezed(shapes[0]) == _squeezed(shapes[1])
        found.append(
            identity(*shapes)
            if same and shapes is not None and main is not None and not main.stages
            else None
        )
    return found


def fits(
    node: NormalNode, relation: View | None, first: tuple[int, ...], second: tuple[int, ...]
) -> bool:
    """Whether an operand of this relation keeps apart what the operator keeps apart: batch, rows and
    the contracted axis of a product, rows and features of a linear layer, channels and space."""
    if relation is None:
        return False
    if not relation.stages:
        return True
    layout = traits(node.op).layout
    if layout is Layout.MATMUL and min(len(first), len(second)) >= 2:
        lead = len(second) - 2
        return (
            parts(
                relation,
                (math.prod(first[:-2]), first[-2], first[-1]),
                (range(lead), (lead,), (lead + 1,)),
            )
            is not None
        )
    if layout in BY_ROW:
        return bool(second) and _rows(relation, first, second, 1) is not None
    if layout in BY_CHANNEL:
        return _channels(relation, first, second) is not None
    return separable(relation) is not None


# -- families


def _plain(call: Call) -> View | None:
    """Any operator: operands that are the same in the same order give a result that is."""
    shapes = call.result()
    if shapes is None:
        return None
    for pair, (one, other) in enumerate(zip(call.first_shapes, call.second_shapes, strict=True)):
        if call.relations[pair] is None and _squeezed(one) == _squeezed(other):
            whole = identity(one, other)
            if whole is not None:
                call.parameters[pair] = whole
    known = [relation for relation in call.relations if relation is not None]
    if (
        not known
        or any(relation.stages for relation in known)
        or _squeezed(shapes[0]) != _squeezed(shapes[1])
    ):
        return None
    return identity(*shapes)


def _elementwise(call: Call) -> View | None:
    """A full operand's relation is the result's; broadcast operands have to agree."""
    shapes = call.result()
    if shapes is None:
        return None
    sizes = math.prod(shapes[0]), math.prod(shapes[1])
    result: View | None = None
    if sizes[0] == sizes[1]:
        for relation in call.relations:
            if relation is None or relation.source != sizes[0] or relation.size != sizes[1]:
                continue
            if result is not None and not same_relation(result, relation):
                return None
            result = relation
        if result is None:
            result = _agreed(call, shapes)
    if result is not None:
        for pair, relation in enumerate(call.relations):
            if relation is None:
                found = _broadcast(
                    result, shapes, call.first_shapes[pair], call.second_shapes[pair]
                )
                if found is not None:
                    call.parameters[pair] = found
    return result


def _agreed(call: Call, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> View | None:
    """The only order of axes that all broadcast operands agree with."""
    known = [
        (pair, relation) for pair, relation in enumerate(call.relations) if relation is not None
    ]
    if not known:
        return None
    for order in axis_orders(*shapes):
        for pair, relation in known:
            found = _broadcast(order, shapes, call.first_shapes[pair], call.second_shapes[pair])
            if found is None or not same_relation(found, relation):
                break
        else:
            return order
    return None


def _broadcast(
    result: View,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    first: tuple[int, ...],
    second: tuple[int, ...],
) -> View | None:
    """The relation of two operands that are broadcast to results of a known relation."""
    size = math.prod(first)
    if size != math.prod(second):
        return None
    if size == 1:
        return View.of(second)
    try:
        wide = View.of(first).expand(shapes[0])
        other = View.of(second).expand(shapes[1])
    except (IndexError, ValueError):
        return identity(first, second) if _squeezed(first) == _squeezed(second) else None
    if not result.stages and first == second and shapes[0] == shapes[1]:
        return View.of(second)
    # one place of the result for every element of the second operand: coordinate 0 along what is broadcast
    section = View.of(shapes[1])
    lead = len(shapes[1]) - len(second)
    for axis in range(len(shapes[1])):
        if axis < lead or (second[axis - lead] == 1 and shapes[1][axis] != 1):
            section = section.take(axis, range(1))
    found = wide.then(View(result.source, shapes[1], result.stages)).then(section)
    found = View(found.source, second, found.stages)
    return found if found.permutation and other.size == result.size else None


def _trailing(call: Call) -> View | None:
    """Along the last axis, same extent: leading positions may be permuted, the axis itself too unless
    the operator depends on its order."""
    relation, shapes = call.relation(0), call.result()
    operands = call.shapes(0)
    if relation is None or shapes is None or operands is None:
        return None
    pieces = _rows(relation, operands[0], operands[1], 1)
    if pieces is None:
        return None
    rows, columns = pieces
    if traits(call.first.op).ordered and columns.stages:
        return None
    if math.prod(shapes[0]) == rows.source:
        return rows
    if math.prod(shapes[0]) == relation.source:
        return relation
    return (
        product([rows, View.of(shapes[1][-1:])])
        if shapes[0][-1:] == shapes[1][-1:] and rows.source * shapes[0][-1] == math.prod(shapes[0])
        else None
    )


def _rows(
    relation: View, first: tuple[int, ...], second: tuple[int, ...], trailing: int
) -> tuple[View, View] | None:
    """A relation as one of leading positions and one along the trailing axes."""
    inner = math.prod(first[len(first) - trailing :])
    lead = len(second) - trailing
    if lead < 0 or math.prod(second[lead:]) != inner or inner == 0:
        return None
    found = parts(
        relation, (relation.source // inner, inner), (range(lead), range(lead, len(second)))
    )
    return None if found is None else (found[0], found[1])


def _layer_norm(call: Call) -> View | None:
    relation, operands = call.relation(0), call.shapes(0)
    if relation is None or operands is None:
        return _plain(call)
    axis = call.first.attrs.get("axis", -1)
    trailing = -axis if isinstance(axis, int) and axis < 0 else 1
    other = call.second.attrs.get("axis", -1)
    if other != axis:
        return _plain(call)
    pieces = _rows(relation, operands[0], operands[1], trailing)
    if pieces is None:
        return None
    for role in (1, 2):
        call.say(role, pieces[1])
    return relation


def _linear(call: Call) -> View | None:
    shapes = call.result()
    operands, weights = call.shapes(0), call.shapes(1)
    if (
        shapes is None
        or operands is None
        or weights is None
        or len(weights[0]) != 2
        or len(weights[1]) != 2
    ):
        return _plain(call)
    wide_in, wide_out = weights[0]
    if weights[1] != weights[0]:
        return None
    relation = call.relation(0)
    pieces = None if relation is None else _rows(relation, operands[0], operands[1], 1)
    columns = pieces[1] if pieces is not None else View.of((wide_in,))
    features = call.features if call.features is not None else View.of((wide_out,))
    call.say(1, product([columns, features]))
    call.say(2, features)
    if pieces is None:
        return None
    return product([pieces[0], features])


def _matmul(call: Call) -> View | None:
    shapes = call.result()
    left, right = call.shapes(0), call.shapes(1)
    one, other = call.relation(0), call.relation(1)
    if shapes is None or left is None or right is None or one is None or other is None:
        return _plain(call)
    if any(len(shape) < 2 for shape in (*left, *right, *shapes)):
        return _plain(call)
    rows, inner, columns = left[0][-2], left[0][-1], right[0][-1]
    if (rows, inner, columns) != (left[1][-2], left[1][-1], right[1][-1]):
        return None
    lead, lead_right = len(left[1]) - 2, len(right[1]) - 2
    a = parts(one, (one.source // (rows * inner), rows, inner), (range(lead), (lead,), (lead + 1,)))
    b = parts(
        other,
        (other.source // (inner * columns), inner, columns),
        (range(lead_right), (lead_right,), (lead_right + 1,)),
    )
    if a is None or b is None or not same_relation(a[2], b[1]):
        return None
    batch = math.prod(shapes[0][:-2])
    if a[0].source == batch and b[0].source == batch:
        if not same_relation(a[0], b[0]):
            return None
        return product([a[0], a[1], b[2]])
    if a[0].source == batch and not b[0].stages:
        return product([a[0], a[1], b[2]])
    if b[0].source == batch and not a[0].stages:
        return product([b[0], a[1], b[2]])
    return None


def _conv(call: Call) -> View | None:
    """Batch and channels may be permuted, space not."""
    shapes, operands, weights = call.result(), call.shapes(0), call.shapes(1)
    if shapes is None or operands is None or weights is None:
        return _plain(call)
    if (
        math.prod(weights[0]) != math.prod(weights[1])
        or len(operands[1]) < 2
        or len(operands[0]) < 2
    ):
        return _plain(call)
    transposed = call.first.op == "ConvTranspose"
    out = shapes[1][1]
    features = call.features if call.features is not None else View.of((out,))
    pieces = _channels(call.relation(0), operands[0], operands[1])
    channels = pieces[1] if pieces is not None else View.of((operands[1][1],))
    group = int(call.first.attrs.get("group", 1) or 1)
    inner = weights[1][0] if transposed else weights[1][1]
    kernel = View.of((math.prod(weights[1][2:]),))
    if group == 1 and channels.size == inner and not transposed:
        call.say(1, product([features, channels, kernel]))
    elif group == 1 and transposed and channels.size == inner:
        call.say(1, product([channels, features, kernel]))
    elif (
        channels.stages and group == channels.size == out
    ):  # depthwise: channels stay what they were
        features = View.of((out,)) if not channels.stages else channels
        call.say(1, product([channels, View.of((weights[1][1],)), kernel]))
    elif not channels.stages and not features.stages:
        call.say(1, identity(*weights))
    else:
        return None
    call.say(2, features)
    if pieces is None or pieces[2].stages or math.prod(shapes[0][2:]) != math.prod(shapes[1][2:]):
        return None
    return product([pieces[0], features, View.of(shapes[1][2:] or (1,))])


def _channels(
    relation: View | None, first: tuple[int, ...], second: tuple[int, ...]
) -> list[View] | None:
    """A relation of [N, C, ...] tensors taken apart into batch, channels and space."""
    if relation is None or len(first) < 2 or len(second) < 2:
        return None
    return parts(
        relation, (first[0], first[1], math.prod(first[2:])), ((0,), (1,), range(2, len(second)))
    )


def _norm(call: Call) -> View | None:
    """Normalisation with parameters for each channel; the input's relation stays."""
    relation, operands = call.relation(0), call.shapes(0)
    if relation is None or operands is None:
        return _plain(call)
    pieces = _channels(relation, operands[0], operands[1])
    if pieces is None or (call.first.op == "GroupNormalization" and pieces[1].stages):
        return None
    for role in range(1, 5):
        call.say(role, pieces[1])
    return relation


def _space(call: Call) -> View | None:
    """Pooling and the like: batch and channels may be permuted, space not."""
    relation, operands, shapes = call.relation(0), call.shapes(0), call.result()
    if relation is None or operands is None or shapes is None:
        return None
    pieces = _channels(relation, operands[0], operands[1])
    if (
        pieces is None
        or pieces[2].stages
        or (shapes[0][2:] != shapes[1][2:] and math.prod(shapes[0][2:]) != math.prod(shapes[1][2:]))
    ):
        return None
    if math.prod(shapes[0][:2]) != pieces[0].source * pieces[1].source:
        return None
    return product([pieces[0], pieces[1], View.of(shapes[1][2:] or (1,))])


def _gather(call: Call) -> View | None:
    """An embedding: rows as the indices come, features as the table has them."""
    shapes, table, indices = call.result(), call.shapes(0), call.shapes(1)
    if (
        shapes is None
        or table is None
        or indices is None
        or call.first.attrs.get("axis", 0) != 0
        or call.second.attrs.get("axis", 0) != 0
    ):
        return _plain(call)
    if table[0] != table[1]:
        return None
    width = math.prod(table[0][1:])
    own = call.relation(0)
    features = call.features if call.features is not None and own is None else View.of((width,))
    if own is None:
        call.say(0, product([View.of(table[1][:1]), features]))
    elif own.stages:
        return None
    relation = call.relation(1)
    return None if relation is None else product([relation, features])


def _concat(call: Call) -> View | None:
    """The order of axes that every operand agrees with."""
    shapes = call.result()
    if (
        shapes is None
        or len(call.relations) != len(call.first.inputs)
        or len(call.relations) != len(call.second.inputs)
    ):
        return None
    axes = call.first.attrs.get("axis"), call.second.attrs.get("axis")
    if not isinstance(axes[0], int) or not isinstance(axes[1], int):
        return None
    first_starts = _starts(call.first_shapes, axes[0], call.roles)
    if first_starts is None or list(call.roles) != sorted(call.roles):
        return None
    second_starts = _starts(call.second_shapes, axes[1], range(len(call.relations)))
    if second_starts is None:
        return None
    for order in axis_orders(*shapes):
        agrees, said = True, {}
        for pair, relation in enumerate(call.relations):
            one, other = call.first_shapes[pair], call.second_shapes[pair]
            part = order.take(
                axes[1] % len(shapes[1]),
                range(second_starts[pair], second_starts[pair] + other[axes[1]]),
            )
            own = View.of(shapes[0]).take(
                axes[0] % len(shapes[0]),
                range(first_starts[pair], first_starts[pair] + one[axes[0]]),
            )
            if relation is None:
                found = next(
                    (inner for inner in axis_orders(one, other) if own.then(inner).same(part)), None
                )
                if found is not None:
                    said[pair] = found
                else:
                    agrees = False
            elif relation.source != own.size or not own.then(relation).same(part):
                agrees = False
            if not agrees:
                break
        if agrees and any(relation is not None for relation in call.relations):
            call.parameters.update(said)
            return order
    return None


def _starts(shapes: Sequence[tuple[int, ...]], axis: int, roles: Sequence[int]) -> list[int] | None:
    starts, at = [], 0
    for shape in shapes:
        if not shape or axis >= len(shape):
            return None
        starts.append(at)
        at += shape[axis]
    return starts if len(roles) == len(shapes) else None


def _recurrent(call: Call) -> View | None:
    """Weights come in one order on both sides; time, batch and features as they are."""
    for pair, (one, other) in enumerate(zip(call.first_shapes, call.second_shapes, strict=True)):
        if call.relations[pair] is None:
            whole = identity(one, other)
            if whole is not None:
                call.parameters[pair] = whole
    relation, shapes = call.relation(0), call.result()
    if relation is None or shapes is None or relation.stages:
        return None
    return identity(*shapes)


# -- operators that differ and compute the same


def _swapped(call: Call) -> View | None:
    return _one_by_one(call, conv_first=False)


def _conv_linear(call: Call) -> View | None:
    return _one_by_one(call, conv_first=True)


def _one_by_one(call: Call, conv_first: bool) -> View | None:
    """A convolution over single places against a linear layer."""
    shapes, operands, weights = call.result(), call.shapes(0), call.shapes(1)
    if (
        shapes is None
        or operands is None
        or weights is None
        or math.prod(weights[0]) != math.prod(weights[1])
    ):
        return None
    conv, linear = (weights[0], weights[1]) if conv_first else (weights[1], weights[0])
    if len(linear) != 2 or conv[0] != linear[1]:
        return None
    features, inner = conv[0], math.prod(conv[1:])
    # weights: [out, in...] against [in, out]
    if conv_first:
        call.say(1, View.of((features, inner)).transpose((1, 0)))
    else:
        call.say(1, View.of((inner, features)).transpose((1, 0)))
    call.say(2, View.of((features,)))
    relation = call.relation(0)
    if relation is None or inner != conv[1]:
        return None
    pieces: list[View] | None
    if conv_first:
        n, c, space = operands[0][0], operands[0][1], math.prod(operands[0][2:])
        rows = View.of((n, c, space)).transpose((0, 2, 1)).inverse((n * c * space,))
        assert rows is not None
        moved = rows.then(relation)
        moved = View(moved.source, operands[1], moved.stages)
        pieces = parts(
            moved, (n * space, c), (range(len(operands[1]) - 1), (len(operands[1]) - 1,))
        )
        if pieces is None or pieces[1].stages:
            return None
        flat = product([pieces[0], View.of((features,))])
        back = View.of((n, features, space)).transpose((0, 2, 1)).reshape((n * space * features,))
        return back.then(flat)
    n, c, space = operands[1][0], operands[1][1], math.prod(operands[1][2:])
    moved = relation.then(View.of((n, c, space)).transpose((0, 2, 1)))
    pieces = parts(moved, (n * space, c), ((0, 1), (2,)))
    if pieces is None or pieces[1].stages:
        return None
    flat = product([pieces[0], View.of((features,))])
    order = View.of((n, features, space)).transpose((0, 2, 1)).inverse((n, features, space))
    assert order is not None
    return flat.then(order)


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)


BY_ROW = frozenset({Layout.LINEAR, Layout.ROWS, Layout.TRAILING})
"""Layouts that keep rows apart from what stands in a row."""
BY_CHANNEL = frozenset({Layout.CONVOLUTION, Layout.CHANNELS, Layout.SPACE})
"""Layouts that keep batch, channels and space apart."""

RULES: Mapping[Layout, Rule] = {
    Layout.UNKNOWN: _plain,
    Layout.ELEMENTWISE: _elementwise,
    Layout.TRAILING: _trailing,
    Layout.ROWS: _layer_norm,
    Layout.LINEAR: _linear,
    Layout.MATMUL: _matmul,
    Layout.CONVOLUTION: _conv,
    Layout.CHANNELS: _norm,
    Layout.SPACE: _space,
    Layout.GATHER: _gather,
    Layout.CONCAT: _concat,
    Layout.RECURRENT: _recurrent,
}
"""How each layout carries relations."""
CROSS: Mapping[tuple[str, str], Rule] = {
    ("Conv", "Linear"): _conv_linear,
    ("Linear", "Conv"): _swapped,
}
