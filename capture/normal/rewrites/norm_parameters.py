"""Scale and bias behind a normalisation over rows, as its operands."""

from __future__ import annotations

import math

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import reshape, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.composed_norms import as_read, spread
from padiff_graph.capture.normal.rewrites.operands import both_orders
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import Layout, traits, with_trait

__all__ = ["scale_and_bias_into_norm"]

_NORMS = with_trait(lambda row: row.layout is Layout.ROWS)


@applies_to("Mul", "Add")
def scale_and_bias_into_norm(sweep: Sweep, draft: Draft) -> bool:
    """norm(x) * w = norm(x; scale w), norm(x) + b = norm(x; bias b), w and b learned.

    Refuses what is not one number for each normalised element, a scale behind a bias, a norm that
    is read elsewhere too, scaled or shifted. Leaves the movement between the two to the readers.
    """
    role = traits(draft.op).neutral
    for normed, parameter in both_orders(draft):
        norm = sweep.behind(normed, *_NORMS)
        if norm is None or not _lacks(norm, role) or not sweep.alone(norm):
            continue
        if not unscaled(normed) or not sweep.learned(parameter):
            continue
        back = _back(draft, norm, normed)
        if back is None or not _by_place(parameter, draft, norm, back):
            continue
        operands = list(norm.inputs)
        operands[traits(norm.op).operands.index(role)] = reshape(parameter, _normalised(norm))
        new = sweep.made_of(
            draft,
            norm.op,
            operands,
            norm.attrs,
            norm,
            native=normed.through,
            kind=norm.outputs[0],
        )
        sweep.replace_moved(draft, new, view_of(normed), back)
        return True
    return False


def _lacks(norm: Draft, role: str) -> bool:
    """Whether the place of an operand is free, and what is in the others would not be changed by
    it."""
    operands = traits(norm.op).operands
    if role not in operands:
        return False
    free = norm.inputs[operands.index(role) : len(operands)]
    return bool(free) and all(edge is None for edge in free)


def _normalised(norm: Draft) -> tuple[int, ...]:
    """The extents over which a norm runs."""
    return norm.shape[norm.attrs["axis"] :]


def _back(draft: Draft, norm: Draft, normed: Edge) -> View | None:
    """The view that reads the product and yields what the norm does."""
    view = view_of(normed)
    if not view.permutation or shape_of(normed) != draft.shape:
        return None
    return view.inverse(norm.shape)


def _by_place(parameter: Edge, draft: Draft, norm: Draft, back: View) -> bool:
    """Whether a parameter is one number for each normalised element."""
    count = math.prod(_normalised(norm))
    if math.prod(shape_of(parameter)) != count:
        return False
    rows = (math.prod(norm.shape[: norm.attrs["axis"]]),)
    return as_read(parameter, draft.shape, back).same(spread(rows, count, along_rows=False))
