"""Layout rules of operators with weights or channels: products, convolutions, norms, pooling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.operand_call import (
    Call,
    Shapes,
    channels_apart,
    rows_apart,
    same_order,
)
from padiff_graph.matching.parameters.relations import identity, parts, product, same_relation

__all__ = [
    "conv",
    "conv_as_linear",
    "factors_apart",
    "linear",
    "linear_as_conv",
    "matmul",
    "norm",
    "space",
]


# -- products


def linear(call: Call) -> View | None:
    """Rows as they come, input features as the weight's rows, output features as its columns."""
    shapes, operands, weights = call.result(), call.shapes(0), call.shapes(1)
    if shapes is None or operands is None or weights is None:
        return same_order(call)
    if len(weights[0]) != 2 or len(weights[1]) != 2:
        return same_order(call)
    if weights[1] != weights[0]:
        return None
    wide_in, wide_out = weights[0]
    relation = call.relation(0)
    pieces = None if relation is None else rows_apart(relation, operands)
    columns = View.of((wide_in,)) if pieces is None else pieces[1]
    features = call.wanted_features(wide_out)
    call.say(1, product([columns, features]))
    call.say(2, features)
    return None if pieces is None else product([pieces[0], features])


def factors_apart(relation: View, shapes: Shapes) -> list[View] | None:
    """The relation of a product's operand taken apart into batch, rows and columns."""
    first, second = shapes
    lead = len(second) - 2
    extents = math.prod(first[:-2]), first[-2], first[-1]
    return parts(relation, extents, (range(lead), (lead,), (lead + 1,)))


def matmul(call: Call) -> View | None:
    """Rows of the left, columns of the right; both must have the contracted axis in one order."""
    shapes, left, right = call.result(), call.shapes(0), call.shapes(1)
    relations = call.relation(0), call.relation(1)
    if shapes is None or left is None or right is None:
        return same_order(call)
    if relations[0] is None or relations[1] is None:
        return same_order(call)
    if any(len(shape) < 2 for shape in (*left, *right, *shapes)):
        return same_order(call)
    if left[0][-2:] != left[1][-2:] or right[0][-1] != right[1][-1]:
        return None
    a, b = factors_apart(relations[0], left), factors_apart(relations[1], right)
    if a is None or b is None or not same_relation(a[2], b[1]):
        return None
    batch = _batch(a[0], b[0], math.prod(shapes[0][:-2]))
    return None if batch is None else product([batch, a[1], b[2]])


def _batch(left: View, right: View, count: int) -> View | None:
    """The relation of the batch, which one of the factors may lack or repeat."""
    if left.source == right.source == count:
        return left if same_relation(left, right) else None
    if left.source == count and not right.stages:
        return left
    if right.source == count and not left.stages:
        return right
    return None


# -- convolutions and channels


def conv(call: Call) -> View | None:
    """Batch and channels may be permuted, space not."""
    shapes, operands, weights = call.result(), call.shapes(0), call.shapes(1)
    if shapes is None or operands is None or weights is None:
        return same_order(call)
    if math.prod(weights[0]) != math.prod(weights[1]) or min(map(len, operands)) < 2:
        return same_order(call)
    pieces = channels_apart(call.relation(0), operands)
    channels = View.of((operands[1][1],)) if pieces is None else pieces[1]
    features = _conv_weight(call, channels, shapes[1][1], weights)
    if features is None:
        return None
    call.say(2, features)
    if pieces is None or pieces[2].stages or math.prod(shapes[0][2:]) != math.prod(shapes[1][2:]):
        return None
    return product([pieces[0], features, View.of(shapes[1][2:] or (1,))])


def _conv_weight(call: Call, channels: View, out: int, weights: Shapes) -> View | None:
    """Notes the weight's relation; answers with that of the output channels, None where none
    fits."""
    features = call.wanted_features(out)
    transposed = call.first.op == "ConvTranspose"
    group = int(call.first.attrs.get("group", 1) or 1)
    inner = weights[1][0 if transposed else 1]
    kernel = View.of((math.prod(weights[1][2:]),))
    if group == 1 and channels.size == inner:
        order = [channels, features] if transposed else [features, channels]
        call.say(1, product([*order, kernel]))
    elif channels.stages and group == channels.size == out:
        # depthwise: channels stay what they were
        features = channels
        call.say(1, product([channels, View.of((weights[1][1],)), kernel]))
    elif not channels.stages and not features.stages:
        call.say(1, identity(*weights))
    else:
        return None
    return features


def norm(call: Call) -> View | None:
    """Normalisation with parameters for each channel; the input's relation stays."""
    relation, operands = call.relation(0), call.shapes(0)
    if relation is None or operands is None:
        return same_order(call)
    pieces = channels_apart(relation, operands)
    if pieces is None or (_grouped(call) and pieces[1].stages):
        return None
    for role in range(1, 5):
        call.say(role, pieces[1])
    return relation


def _grouped(call: Call) -> bool:
    """Whether it matters which channels stand beside each other."""
    return "GroupNormalization" in (call.first.op, call.second.op)


def space(call: Call) -> View | None:
    """Pooling and the like: batch and channels may be permuted, space not."""
    relation, operands, shapes = call.relation(0), call.shapes(0), call.result()
    if relation is None or operands is None or shapes is None:
        return None
    pieces = channels_apart(relation, operands)
    if pieces is None or pieces[2].stages:
        return None
    if math.prod(shapes[0][2:]) != math.prod(shapes[1][2:]):
        return None
    if math.prod(shapes[0][:2]) != pieces[0].source * pieces[1].source:
        return None
    return product([pieces[0], pieces[1], View.of(shapes[1][2:] or (1,))])


# -- operators that differ and compute the same: a convolution over windows side by side (single
# places, patches) and a linear layer


def conv_as_linear(call: Call) -> View | None:
    """The first side has the convolution."""
    shapes, operands, weights = call.result(), call.shapes(0), call.shapes(1)
    if shapes is None or operands is None or weights is None:
        return None
    if not _as_matrix(weights[0], weights[1]):
        return None
    features, inner = weights[0][0], math.prod(weights[0][1:])
    call.say(1, View.of((features, inner)).transpose((1, 0)))
    call.say(2, View.of((features,)))
    relation, tiled = call.relation(0), _windows(call.first.attrs, operands[0], weights[0])
    back = None if tiled is None else tiled.inverse((tiled.size,))
    if relation is None or back is None:
        return None
    moved = back.then(relation)
    moved = View(moved.source, operands[1], moved.stages)
    last = len(operands[1]) - 1
    windows = moved.source // inner
    pieces = parts(moved, (windows, inner), (range(last), (last,)))
    if pieces is None:
        return None
    matrix = product([View.of((features,)), pieces[1]]).reshape((features, inner))
    call.say(1, matrix.transpose((1, 0)))
    flat = product([pieces[0], View.of((features,))])
    batch = operands[0][0]
    parted = View.of((batch, features, windows // batch)).transpose((0, 2, 1))
    return parted.reshape((windows * features,)).then(flat)


def linear_as_conv(call: Call) -> View | None:
    """The second side has the convolution."""
    shapes, operands, weights = call.result(), call.shapes(0), call.shapes(1)
    if shapes is None or operands is None or weights is None:
        return None
    if not _as_matrix(weights[1], weights[0]):
        return None
    features, inner = weights[1][0], math.prod(weights[1][1:])
    call.say(1, View.of((inner, features)).transpose((1, 0)))
    call.say(2, View.of((features,)))
    relation, tiled = call.relation(0), _windows(call.second.attrs, operands[1], weights[1])
    if relation is None or tiled is None:
        return None
    windows = tiled.size // inner
    pieces = parts(relation.then(tiled), (windows, inner), ((0,), (1,)))
    if pieces is None:
        return None
    matrix = product([pieces[1], View.of((features,))]).reshape((inner, features))
    call.say(1, matrix.transpose((1, 0)))
    flat = product([pieces[0], View.of((features,))])
    batch = operands[1][0]
    parted = View.of((batch, features, windows // batch)).transpose((0, 2, 1))
    order = parted.inverse((batch, features, windows // batch))
    return None if order is None else flat.then(order)


def _windows(
    attrs: Mapping[str, Any], operand: tuple[int, ...], weight: tuple[int, ...]
) -> View | None:
    """A convolution's operand [N, C, ...] as its windows, [windows, elements of one]; None where
    they do not lie side by side, so that each element stands in one."""
    kernel, space = weight[2:], operand[2:]
    plain = {"strides": kernel, "pads": (0,) * 2 * len(kernel), "dilations": (1,) * len(kernel)}
    told = (tuple(attrs.get(name, value)) == value for name, value in plain.items())
    divided = len(kernel) == len(space) and not any(
        extent % width for extent, width in zip(space, kernel, strict=True)
    )
    if not all(told) or not divided or operand[1] != weight[1]:
        return None
    blocks = [operand[0], operand[1]]
    for extent, width in zip(space, kernel, strict=True):
        blocks += [extent // width, width]
    places = range(2, len(blocks), 2)
    axes = (0, *places, 1, *(place + 1 for place in places))
    inner = math.prod(weight[1:])
    return View.of(blocks).transpose(axes).reshape((math.prod(operand) // inner, inner))


def _as_matrix(conv_weight: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether [out, in, ...] and [in, out] hold the same elements."""
    if math.prod(conv_weight) != math.prod(weight):
        return False
    return len(weight) == 2 and conv_weight[0] == weight[1]
