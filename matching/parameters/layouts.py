"""How relations of operands become relations of results, and what that says of parameters.

One rule for each layout of operators. Each gets the relations of a matched pair's operands and
answers with the relation of its result, and of the operands that are parameters: a linear layer
whose input features come in another order reads its weight in that order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import Layout, same_family, traits
from padiff_graph.matching.parameters.operand_call import (
    Call,
    Rule,
    Shapes,
    channels_apart,
    rows_apart,
    same_order,
)
from padiff_graph.matching.parameters.pointwise_layouts import (
    concat,
    elementwise,
    gather,
    layer_norm,
    recurrent,
    trailing,
)
from padiff_graph.matching.parameters.product_layouts import (
    conv,
    conv_as_linear,
    factors_apart,
    linear,
    linear_as_conv,
    matmul,
    norm,
    space,
)
from padiff_graph.matching.parameters.relations import identity, separable, squeezed

__all__ = ["fits", "related"]

BY_ROW = frozenset({Layout.LINEAR, Layout.ROWS, Layout.TRAILING})
"""Layouts that keep rows apart from what stands in a row."""
BY_CHANNEL = frozenset({Layout.CONVOLUTION, Layout.CHANNELS, Layout.SPACE})
"""Layouts that keep batch, channels and space apart."""

RULES: Mapping[Layout, Rule] = {
    Layout.UNKNOWN: same_order,
    Layout.ELEMENTWISE: elementwise,
    Layout.TRAILING: trailing,
    Layout.ROWS: layer_norm,
    Layout.LINEAR: linear,
    Layout.MATMUL: matmul,
    Layout.CONVOLUTION: conv,
    Layout.CHANNELS: norm,
    Layout.SPACE: space,
    Layout.GATHER: gather,
    Layout.CONCAT: concat,
    Layout.RECURRENT: recurrent,
}
"""How each layout carries relations."""
CROSS: Mapping[tuple[str, str], Rule] = {
    ("Conv", "Linear"): conv_as_linear,
    ("Linear", "Conv"): linear_as_conv,
}
"""How pairs of different operators do."""


def related(call: Call) -> list[View | None]:
    """Relations of the results, None where none can be told; fills `call.parameters`."""
    ops = call.first.op, call.second.op
    main = _fitting(_rule(*ops)(call), call.result())
    count = min(len(call.first.outputs), len(call.second.outputs))
    plain = main is not None and not main.stages
    return [main, *(_further(call.result(output), plain) for output in range(1, count))]


def _rule(first: str, second: str) -> Rule:
    """The rule of two operators. Those of one family with one layout stand in for one another."""
    layouts = traits(first).layout, traits(second).layout
    if first == second or (same_family(first, second) and layouts[0] is layouts[1]):
        return RULES[layouts[0]]
    return CROSS.get((first, second), same_order)


def _fitting(relation: View | None, shapes: Shapes | None) -> View | None:
    """A relation in the shape of the second result; None where it does not fit."""
    if relation is None or shapes is None:
        return relation
    if relation.source != math.prod(shapes[0]) or relation.size != math.prod(shapes[1]):
        return None
    return relation.reshape(shapes[1])


def _further(shapes: Shapes | None, plain: bool) -> View | None:
    """The relation of a further result: known only where the first one is plain (the same
    order)."""
    if shapes is None or not plain or squeezed(shapes[0]) != squeezed(shapes[1]):
        return None
    return identity(*shapes)


def fits(node: NormalNode, relation: View | None, shapes: Shapes) -> bool:
    """Whether an operand of this relation keeps apart what the operator keeps apart: batch, rows
    and the contracted axis of a product, rows and features of a linear layer, channels and space.
    """
    if relation is None:
        return False
    if not relation.stages:
        return True
    layout = traits(node.op).layout
    if layout is Layout.MATMUL and min(map(len, shapes)) >= 2:
        return factors_apart(relation, shapes) is not None
    if layout in BY_ROW:
        return bool(shapes[1]) and rows_apart(relation, shapes) is not None
    if layout in BY_CHANNEL:
        return channels_apart(relation, shapes) is not None
    return separable(relation) is not None
