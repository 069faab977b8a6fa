"""Which operations are the same public operation called alike, and whose backward may be meant to
be no derivative.

The normal form speaks of an operation by some of its native attributes. What it does not speak of
must be equal by name, or be a setting of how and not of what: else two operations that look alike
may have been asked for different things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import attributes_equal, differing_attributes, traits
from padiff_graph.matching.result import Match, Matching

__all__ = ["own_backwards", "same_calls"]

IN_THE_TYPE = frozenset(
    {
        "chunks",
        "decrease_axis",
        "dtype",
        "has_biases",
        "infer_flags",
        "input_size",
        "keepdim",
        "keepdims",
        "num_classes",
        "out_d",
        "out_h",
        "out_w",
        "output_padding",
        "output_shape",
        "output_size",
        "reduce_all",
        "shape",
        "size",
        "sizes",
    }
)
"""Attributes that the type of an operand or result shows already, where a row does not ask for
them."""
HOW = frozenset(
    {
        "align_mode",
        "copy",
        "cudnn_enable",
        "cudnn_enabled",
        "data_format",
        "exhaustive_search",
        "fix_seed",
        "implicit",
        "interp_method",
        "memory_format",
        "non_blocking",
        "padding_algorithm",
        "path",
        "place",
        "seed",
        "sorted",
        "sparse",
        "sparse_grad",
        "use_cudnn",
        "workspace_size_MB",
    }
)
"""Attributes that choose a kernel, a layout in memory or a spelling, and no other result."""

FLOAT32 = 1e-6
"""How far two tables may be apart that both frameworks compute in float32 (its unit is 6e-8, over a
few operations), and two numbers of attributes that it holds."""


def same_calls(
    matching: Matching, doubted: tuple[Set[int], Set[int]]
) -> frozenset[tuple[int, int]]:
    """Native operations of both sides that are one public operation called with the same
    attributes.

    Args:
        matching: of the two models.
        doubted: native operations of either side that structure tells a difference of.
    """
    partner = matching.partner()
    calls: set[tuple[int, int]] = set()
    for match in matching.matches:
        a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if not _one_operator(a, b) or not _same_operands(matching, match, partner):
            continue
        fine = doubted[0].isdisjoint(a.native) and doubted[1].isdisjoint(b.native)
        natives = a.native[-1], b.native[-1]
        if fine and _spoken((matching.first, matching.second), natives):
            calls.add(natives)
    return frozenset(calls)


def _one_operator(a: NormalNode, b: NormalNode) -> bool:
    """Whether two nodes are known operators of one name, with equal attributes."""
    if a.leaf or a.opaque or b.opaque or a.op != b.op or not (a.native and b.native):
        return False
    return not differing_attributes(a.op, a.attrs, b.attrs, FLOAT32)


def _same_operands(matching: Matching, match: Match, partner: Mapping[int, int]) -> bool:
    """Whether both read the same operands in the same places, the same elements in the same
    order."""
    a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
    pairs = dict(match.operands)
    present = [at for at, edge in enumerate(a.inputs) if edge is not None]
    if not present or sorted(pairs) != present or len(pairs) != sum(map(bool, b.inputs)):
        return False
    for place, other in pairs.items():
        mine, theirs = a.inputs[place], b.inputs[other]
        if mine is None or theirs is None or not (a.commutative or place == other):
            return False
        if partner.get(mine.source) != theirs.source:
            return False
        source = matching.first.nodes[mine.source], matching.second.nodes[theirs.source]
        if source[0].leaf and not _same_leaf(matching, *source):
            return False
        if not _same_reading(mine, theirs, traits(a.op).elementwise):
            return False
    return True


def _same_leaf(matching: Matching, first: NormalNode, second: NormalNode) -> bool:
    """Whether two leaves hold the same numbers in the same order: parameters through the parameter
    map, tables and other constants by value."""
    if first.op == "Parameter" and second.op == "Parameter":
        return any(
            row.first == first.name
            and [piece.second for piece in row.pieces] == [second.name]
            and row.pieces[0].first_view.same(row.pieces[0].second_view)
            for row in matching.parameters
        )
    mine, theirs = first.constant, second.constant
    if mine is None or theirs is None:
        return mine is theirs
    if mine.size != theirs.size:
        return False
    mine, theirs = mine.reshape(-1), theirs.reshape(-1)
    if mine.dtype.kind not in "fc":
        return bool(np.array_equal(mine, theirs))
    return bool(np.allclose(mine, theirs, rtol=FLOAT32, atol=FLOAT32, equal_nan=True))


def _same_reading(first: Edge, second: Edge, elementwise: bool) -> bool:
    """Whether two operands read the same elements in the same order, scaled and shifted alike, and
    of one shape where the axes matter to the operation."""
    mine, theirs = first.view, second.view
    if mine is None or theirs is None or not (elementwise or mine.shape == theirs.shape):
        return False
    if not attributes_equal((first.scale, first.shift), (second.scale, second.shift), FLOAT32):
        return False
    if mine.size != theirs.size or mine.source != theirs.source:
        return False
    return mine.reshape(theirs.shape).same(theirs)


def own_backwards(normal: NormalGraph) -> frozenset[int]:
    """Native operations whose backward may be no derivative of their forward by design: those the
    normal form does not know, and those with attributes that it does not speak of."""
    opaque = {native for node in normal.nodes if node.opaque for native in node.native}
    silent = {
        native
        for native in normal.unasked
        if any(not _neutral(name, value) for name, value in _left(normal, native))
    }
    return frozenset(opaque | silent)


def _spoken(normals: tuple[NormalGraph, NormalGraph], natives: tuple[int, int]) -> bool:
    """Whether all attributes of both are accounted for: by the normal form, or equal by name."""
    records = normals[0].graph.record(natives[0]), normals[1].graph.record(natives[1])
    for side, record in enumerate(records):
        theirs = records[1 - side].attrs
        for name, value in _left(normals[side], record.id):
            if _neutral(name, value):
                continue
            if name not in theirs or not attributes_equal(value, theirs[name], FLOAT32):
                return False
    return True


def _left(normal: NormalGraph, native: int) -> Sequence[tuple[str, Any]]:
    """The attributes of an operation that the normal form does not speak of."""
    attrs = normal.graph.record(native).attrs
    return [(name, attrs[name]) for name in normal.unasked.get(native, ())]


def _neutral(name: str, value: Any) -> bool:
    empty = isinstance(value, (tuple, str)) and not value
    return value is None or empty or name in IN_THE_TYPE or name in HOW
