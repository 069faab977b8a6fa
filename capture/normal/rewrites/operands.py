"""What rules ask of the operands of a draft."""

from __future__ import annotations

from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "both_orders",
    "power_below",
    "present",
    "same_operand",
    "same_reading",
    "same_value",
    "whole",
]


def present(draft: Draft) -> list[Edge]:
    """The operands that are there."""
    return [edge for edge in draft.inputs if edge is not None]


def both_orders(draft: Draft) -> tuple[tuple[Edge, Edge], ...]:
    """The two operands of a commutative draft, either first; nothing where it has not just two."""
    if len(draft.inputs) != 2:
        return ()
    first, second = draft.inputs
    if first is None or second is None:
        return ()
    return (first, second), (second, first)


def whole(edge: Edge, draft: Draft) -> bool:
    """Whether an operand is the draft's result as it is, in its shape."""
    return unscaled(edge) and view_of(edge).identity and shape_of(edge) == draft.shape


def same_reading(first: Edge, second: Edge) -> bool:
    """Whether two operands read the same elements of the same draft, scales and shifts aside."""
    same = (first.source, first.output) == (second.source, second.output)
    return same and view_of(first).same(view_of(second))


def same_operand(first: Edge, second: Edge) -> bool:
    """Whether two operands read the same elements of the same draft, scaled alike."""
    alike = (first.scale, first.shift) == (second.scale, second.shift)
    return alike and same_reading(first, second)


def power_below(draft: Draft | None, exponent: float) -> Edge | None:
    """What a draft raises to a constant power; None where it is no such power."""
    if draft is None or draft.op != "Pow" or draft.attrs["exponent"] != exponent:
        return None
    return draft.inputs[0]


def same_value(builder: Builder, first: Draft, second: Draft, deep: int = 1) -> bool:
    """Whether two drafts compute the same thing from the same operands, or from operands that do,
    `deep` drafts further up; models compute some values twice."""
    if first is second:
        return True
    if first.leaf or "random" in first.marks | second.marks:
        return False
    if (first.op, first.attrs, len(first.inputs)) != (second.op, second.attrs, len(second.inputs)):
        return False
    pairs = zip(first.inputs, second.inputs, strict=True)
    return all(_same_input(builder, a, b, deep) for a, b in pairs)


def _same_input(builder: Builder, a: Edge | None, b: Edge | None, deep: int) -> bool:
    if a is None or b is None:
        return a is b
    if deep and a.source != b.source:
        sources = builder.drafts[a.source], builder.drafts[b.source]
        if same_value(builder, *sources, deep - 1):
            b = b._replace(source=a.source)
    return same_operand(a, b)
