"""What constants alone decide is a constant, computed where that is simple."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.operator_traits import Array
from padiff_graph.capture.normal.traits import traits

__all__ = ["fold"]

UNFOLDED = frozenset({"random", "custom_function"})
"""Marks of operations that stay as they are."""
RESULTS = ("float32", "float64", "int64", "int32", "bool")
"""Types that a computed constant takes on; others keep what numpy made."""


def fold(builder: Builder, draft: Draft) -> bool:
    """Turns a draft over constants into a Constant, in place; whether it was one.

    The value is not known where numpy does not say it simply, or where an operand's is not.
    """
    if draft.leaf or draft.marks & UNFOLDED or len(draft.outputs) != 1 or not draft.inputs:
        return False
    if traits(draft.op).selects and (number := builder.scalar(draft.inputs[0])) is not None:
        # Whatever is chosen from equal elements is that element.
        draft.constant = np.full(draft.shape, number)
    elif draft.varies or not _constants_alone(builder, draft):
        return False
    else:
        draft.constant = _value(builder, draft)
    _become_constant(builder, draft)
    return True


def _constants_alone(builder: Builder, draft: Draft) -> bool:
    """Whether a draft reads nothing but constants."""
    return all(
        edge is None or builder.drafts[edge.source].op == "Constant" for edge in draft.inputs
    )


def _become_constant(builder: Builder, draft: Draft) -> None:
    """The draft stands for what it was computed from, too."""
    behind: list[int] = []
    for edge in draft.inputs:
        source = None if edge is None else builder.drafts[edge.source]
        if edge is None or source is None:
            continue
        if source.op == "Constant":
            behind += source.native
        behind += edge.through
    draft.native = tuple(dict.fromkeys([*behind, *draft.native]))
    draft.op, draft.inputs, draft.attrs, draft.marks = "Constant", [], {}, frozenset()
    draft.gradient = draft.opaque = draft.varies = False
    builder.reduce(draft)


def _value(builder: Builder, draft: Draft) -> Array | None:
    """The draft's value by numpy; None where an operand is not known or numpy does not say it
    simply."""
    compute = traits(draft.op).numpy
    operands = [builder.known(edge) for edge in draft.inputs if edge is not None]
    known = [operand for operand in operands if operand is not None]
    if compute is None or len(known) != len(operands):
        return None
    with np.errstate(all="ignore"):
        result = compute(*known, **draft.attrs)
    return None if result is None else _typed(np.asarray(result), draft)


def _typed(value: Array, draft: Draft) -> Array:
    """A value in the shape and type of the draft's result."""
    if value.shape != draft.shape:
        value = np.asarray(np.broadcast_to(value, draft.shape))
    kind = draft.outputs[0].dtype
    if kind in RESULTS and value.dtype.name != kind:
        return value.astype(kind)
    return value
