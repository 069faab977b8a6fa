"""Operators, attributes and marks of matched operations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import (
    LEAVES,
    differing_attributes,
    same_family,
    traits,
)
from padiff_graph.matching.difference.compared import (
    Compared,
    attribute_difference,
    built_differently,
)
from padiff_graph.matching.difference.operands import operand_differences
from padiff_graph.matching.result import Difference

__all__ = ["matched_pairs"]

MARKS = {
    "gradient_hook": "gradient.hook",
    "custom_function": "gradient.custom_backward",
    "no_grad": "gradient.detached",
}
"""A mark that decides a gradient -> the cause where one side only has it; the most telling first.
"""
SAME_PRODUCT = frozenset({"Conv", "Linear"})
"""Operators of which one is a case of the other: a convolution over one place is a Linear."""


GROUPS, INSTANCE = "GroupNormalization", "InstanceNormalization"
"""Norms of which the second is a case of the first: a group for each channel."""


def matched_pairs(compared: Compared) -> Iterator[Difference]:
    """All that differs between operations that correspond."""
    users = compared.first.users(), compared.second.users()
    for match in compared.matches:
        a, b = compared.pair(match)
        if a.op in LEAVES or b.op in LEAVES:
            continue
        if {a.op, b.op} == {GROUPS, INSTANCE}:
            a, b = _by_groups(a), _by_groups(b)
        if a.op != b.op:
            yield from _operators(a, b)
            continue
        cropped = _cropped(compared.first, users[0][a.id]) or _cropped(
            compared.second, users[1][b.id]
        )
        apart = not _reads_partners(compared, a, b)
        yield from _attributes(a, b, cropped, apart)
        yield from _marks(a, b)
        yield from operand_differences(compared, match)


def _by_groups(norm: NormalNode) -> NormalNode:
    """An InstanceNormalization as a GroupNormalization of single channels."""
    if norm.op == GROUPS:
        return norm
    channels = norm.outputs[0].shape[1]
    return replace(norm, op=GROUPS, attrs={**norm.attrs, "num_groups": channels})


def _operators(a: NormalNode, b: NormalNode) -> Iterator[Difference]:
    if {a.op, b.op} == SAME_PRODUCT:
        return
    ops = {"first_op": a.op, "second_op": b.op}
    if same_family(a.op, b.op):
        yield attribute_difference((a, b), "operation.replaced", "op", (a.op, b.op), ops)
    else:
        yield built_differently((a, b), "construction.operator", ops)


def _reads_partners(compared: Compared, a: NormalNode, b: NormalNode) -> bool:
    """Whether the first operands of two operations are matched with each other; a draw reads
    nothing, and so nothing else."""
    if not (a.inputs and b.inputs):
        return True
    x, y = a.inputs[0], b.inputs[0]
    return x is not None and y is not None and compared.partner.get(x.source) == y.source


def _attributes(a: NormalNode, b: NormalNode, cropped: bool, apart: bool) -> Iterator[Difference]:
    """`cropped`: whether readers of one side's result take a part only; `apart`: whether both read
    values that are not each other's."""
    known = traits(a.op).attributes
    for name in differing_attributes(a.op, a.attrs, b.attrs):
        if _void(a, b, name):
            continue
        values = a.attrs.get(name), b.attrs.get(name)
        cause_id = f"attribute.{name}" if name in known else "attribute.native"
        # which row gets no gradient, padding that is cut off again, a power of another value (of a
        # norm or of its square): numbers decide
        decided = (
            name == "padding_idx" or (name == "pads" and cropped) or (name == "exponent" and apart)
        )
        facts = {"op": a.op}
        yield attribute_difference((a, b), cause_id, name, values, facts, decided=decided)


def _void(a: NormalNode, b: NormalNode, name: str) -> bool:
    """Whether an attribute says nothing here: a kernel of one element has no dilation, a norm that
    does not keep statistics no momentum, and a pooling that steps by its kernel no other step."""
    if name == "strides" and "kernel_shape" in a.attrs:
        return all(node.attrs.get("kernel_shape") == node.attrs.get(name) for node in (a, b))
    if name == "dilations":
        kernel = _kernel(a)
        return kernel is not None and math.prod(kernel) == 1
    return name == "momentum" and not (_keeps(a) and _keeps(b))


def _keeps(norm: NormalNode) -> bool:
    """Whether a norm updates running statistics by a momentum."""
    return bool(norm.attrs.get("training")) and norm.attrs.get("momentum") is not None


def _kernel(node: NormalNode) -> Sequence[int] | None:
    """The extents of a convolution's or pooling's kernel, where they are known."""
    kernel: Sequence[int] | None = node.attrs.get("kernel_shape")
    if kernel is not None or len(node.inputs) < 2:
        return kernel
    weight = node.inputs[1]
    if weight is None or weight.view is None:
        return None
    return weight.view.shape[2:]


def _cropped(graph: NormalGraph, users: Sequence[tuple[int, int]]) -> bool:
    """Whether every reader takes a part only: more padding, cut off again, is another way to
    pad."""
    edges = [graph.nodes[user].inputs[position] for user, position in users]
    return bool(edges) and all(
        edge is not None and edge.view is not None and edge.view.size < edge.view.source
        for edge in edges
    )


def _marks(a: NormalNode, b: NormalNode) -> Iterator[Difference]:
    """Marks on one side only that decide what gradient passes."""
    own = a.marks & MARKS.keys(), b.marks & MARKS.keys()
    if own[0] == own[1]:
        return
    alone = own[0] ^ own[1]
    cause_id = next(cause for mark, cause in MARKS.items() if mark in alone)
    names = ", ".join(sorted(own[0])) or "none", ", ".join(sorted(own[1])) or "none"
    marks = {"op": a.op, "first_marks": names[0], "second_marks": names[1]}
    yield attribute_difference((a, b), cause_id, "marks", names, marks)
