"""Softmax that a model spells out."""

from __future__ import annotations

import math

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import moved, plain, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.composed_norms import as_read, spread
from padiff_graph.capture.normal.rewrites.operands import both_orders, power_below
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["composed_softmax"]


@applies_to("Mul")
def composed_softmax(sweep: Sweep, draft: Draft) -> bool:
    """Exp(y) * Pow(ReduceSum(Exp(y)), -1) = Softmax(y), with Softmax(x - ReduceMax(x)) =
    Softmax(x).

    Refuses a sum over other elements than the powers, or one that does not go back to the rows it
    was taken from. Leaves a shift that is no maximum of the same rows a sum.
    """
    for powers, factor in both_orders(draft):
        raised = sweep.behind(powers, "Exp")
        inside = power_below(sweep.source(factor), -1.0)
        total = None if inside is None else sweep.behind(inside, "ReduceSum")
        if raised is None or inside is None or total is None or not plain(powers):
            continue
        if not (_as_is(inside) and _as_is(factor)) or shape_of(powers) != draft.shape:
            continue
        if _replaces(sweep, draft, raised, total, factor):
            return True
    return False


def _as_is(edge: Edge) -> bool:
    return unscaled(edge) and view_of(edge).identity


def _replaces(sweep: Sweep, draft: Draft, raised: Draft, total: Draft, factor: Edge) -> bool:
    """Puts the softmax in place of the product, where the rows of the sum are the product's."""
    over, y = total.inputs[0], raised.inputs[0]
    if over is None or y is None or over.source != raised.id or not unscaled(over):
        return False
    if shape_of(y) != draft.shape:
        return False
    taken = view_of(over)
    if not taken.size == taken.source == math.prod(draft.shape):
        return False
    rows = spread(total.shape, taken.shape[-1], along_rows=True)
    back = taken.inverse(draft.shape)
    if back is None or not as_read(factor, draft.shape, taken).same(rows):
        return False
    x, parts = _without_maximum(sweep, y, taken, rows)
    new = sweep.made_of(
        draft,
        "Softmax",
        [moved(x, view_of(x).then(taken))],
        {"axis": -1},
        *parts,
        raised,
        total,
        sweep.builder.drafts[factor.source],
        kind=TensorType(taken.shape, draft.outputs[0].dtype),
    )
    sweep.replace_moved(draft, new, back, taken)
    return True


def _without_maximum(
    sweep: Sweep, y: Edge, taken: View, rows: View
) -> tuple[Edge, tuple[Draft, ...]]:
    """What the maximum of its own rows is subtracted from, and the drafts that do; y and none where
    y is no such difference."""
    inner = sweep.behind(y, "Add")
    if inner is None or not plain(y):
        return y, ()
    for x, shift in both_orders(inner):
        largest = sweep.behind(shift, "ReduceMax")
        over = None if largest is None else largest.inputs[0]
        if largest is None or over is None or shape_of(x) != inner.shape:
            continue
        if (over.source, over.output) != (x.source, x.output) or not _opposite(x, shift, over):
            continue
        read = view_of(over).same(view_of(x).then(taken))
        if read and as_read(shift, inner.shape, taken).same(rows):
            return x, (largest, inner)
    return y, ()


def _opposite(x: Edge, shift: Edge, over: Edge) -> bool:
    """Whether a shift subtracts the largest of x, scaled as x is."""
    unshifted = (x.shift, shift.shift, over.shift) == (0.0, 0.0, 0.0)
    scales = math.isclose(shift.scale * over.scale, -x.scale, rel_tol=1e-6)
    return unshifted and scales and over.scale > 0.0
