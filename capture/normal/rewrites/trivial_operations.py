"""Operations that hand on an operand as it is."""

from __future__ import annotations

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import expand, reshape, shape_of
from padiff_graph.capture.normal.form import HELD
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import with_trait

__all__ = ["reduction_of_one", "where_of_constant"]


@applies_to("Where")
def where_of_constant(sweep: Sweep, draft: Draft) -> bool:
    """Where(all true, x, y) = x, Where(all false, x, y) = y.

    Refuses conditions that are not known or not the same everywhere. Leaves movement.
    """
    condition = sweep.builder.scalar(draft.inputs[0])
    if condition is None or len(draft.inputs) != 3:
        return False
    chosen = draft.inputs[1 if condition else 2]
    if chosen is None:
        return False
    sweep.builder.replace(draft, expand(chosen, draft.shape, *draft.native))
    return True


@applies_to(*with_trait(lambda row: row.keeps_one))
def reduction_of_one(sweep: Sweep, draft: Draft) -> bool:
    """ReduceMean([x]) = x, as do sums and extrema: pooling an image of one pixel.

    Refuses where the index is asked for too, where the type changes, and marked operations. Leaves
    movement.
    """
    edge, source = draft.inputs[0], sweep.source(draft.inputs[0])
    if edge is None or source is None or shape_of(edge)[-1:] != (1,):
        return False
    if len(draft.outputs) != 1 or not source.outputs or draft.marks & HELD:
        return False
    dtype = draft.outputs[0].dtype
    if source.outputs[edge.output].dtype != dtype or not dtype.startswith(("float", "bfloat")):
        return False
    sweep.builder.replace(draft, reshape(edge, draft.shape, *draft.native))
    return True
