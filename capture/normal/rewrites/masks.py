"""Masks: conventions differ more than what they do."""

from __future__ import annotations

from padiff_graph.capture.normal.builder import Draft
from padiff_graph.capture.normal.edges import broadcast, expand, read_through, shape_of, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import with_trait

__all__ = ["mask_into_softmax", "shift_of_softmax", "where_of_constant"]

HIDDEN = -1.0e3
"""What is at most this is as good as minus infinity in front of a softmax."""


@applies_to("Where")
def where_of_constant(sweep: Sweep, draft: Draft) -> bool:
    """where(all true, x, y) is x."""
    if draft.op != "Where" or len(draft.inputs) != 3:
        return False
    condition = sweep.builder.scalar(draft.inputs[0])
    if condition is None:
        return False
    chosen = draft.inputs[1 if condition else 2]
    if chosen is None:
        return False
    whole = expand(chosen, draft.shape, *draft.native)
    sweep.builder.replace(draft, whole)
    return True


@applies_to(*with_trait(lambda row: row.shift_free))
def shift_of_softmax(sweep: Sweep, draft: Draft) -> bool:
    """softmax(x + c) is softmax(x)."""
    edge = draft.inputs[0]
    if edge is None or edge.shift == 0.0 or view_of(edge).padded:
        return False
    operand = Edge(edge.source, edge.output, edge.view, edge.scale, 0.0, edge.through)
    sweep.replace(
        draft, sweep.made_of(draft, draft.op, [operand, *draft.inputs[1:]], dict(draft.attrs))
    )
    return True


@applies_to("Softmax")
def mask_into_softmax(sweep: Sweep, draft: Draft) -> bool:
    """softmax(x + mask) and softmax(where(mask, x, -inf)) take the mask as an operand.

    A mask is what no gradient passes: a constant, or made from integer inputs. Ports say it in many
    ways (added 0 and -inf, -10000 or the least float; boolean; filled); the numbers decide.
    """
    if draft.op != "Softmax":
        return False
    edge = draft.inputs[0]
    inner = sweep.source(edge)
    if (
        edge is None
        or inner is None
        or not sweep.alone(inner)
        or (edge.scale, edge.shift) != (1.0, 0.0)
        or not (shape_of(edge) == inner.shape or view_of(edge).permutation)
    ):
        return False
    if inner.op == "Where":
        condition, yes, no = inner.inputs
        if condition is None:
            return False
        scores = _unhidden(sweep, yes, no)
        masks = [condition]
    elif inner.op == "Add":
        operands = [
            part
            for operand in inner.inputs
            if operand is not None
            for part in _opened(sweep, operand)
        ]
        learned = [operand for operand in operands if _gradient(sweep, operand)]
        masks = [operand for operand in operands if not _gradient(sweep, operand)]
        if not masks or len(learned) != 1:
            return _split_sum(sweep, draft, inner, learned, masks, edge)
        scores = learned[0]
    else:
        return False
    if scores is None or _gradient(sweep, masks[0]) or shape_of(scores) != inner.shape:
        return False
    through = read_through(scores, edge)
    if through is None:
        return False
    aligned = [_aligned(mask, inner.shape, edge) for mask in masks]
    if any(mask is None for mask in aligned):
        return False
    aligned = [mask for mask in aligned if not _nothing(sweep, mask)]
    sweep.replace(
        draft,
        sweep.made_of(
            draft, "Softmax", [through, *draft.inputs[1:], *aligned], dict(draft.attrs), inner
        ),
    )
    return True


def _split_sum(
    sweep: Sweep, draft: Draft, inner: Draft, learned: list[Edge], masks: list[Edge], edge: Edge
) -> bool:
    """Several learned summands (a relative position bias) stay one sum."""
    if not masks or len(learned) < 2:
        return False
    aligned = [_aligned(mask, inner.shape, edge) for mask in masks]
    if any(mask is None for mask in aligned):
        return False
    total = sweep.builder.add("Add", learned, {}, inner.outputs, native=inner.native, like=inner)
    through = read_through(sweep.builder.read(total), edge)
    if through is None:
        return False
    sweep.replace(
        draft,
        sweep.made_of(
            draft, "Softmax", [through, *draft.inputs[1:], *aligned], dict(draft.attrs), inner
        ),
    )
    return True


def _opened(sweep: Sweep, operand: Edge) -> list[Edge]:
    """The parts of a summand that brings its mask along: a relative position bias that several blocks add."""
    inner = sweep.source(operand)
    if (
        inner is None
        or (operand.scale, operand.shift) != (1.0, 0.0)
        or not view_of(operand).identity
        or shape_of(operand) != inner.shape
    ):
        return [operand]
    parts: list[Edge | None] = [operand]
    if inner.op == "Add" and not all(
        _gradient(sweep, part) for part in inner.inputs if part is not None
    ):
        parts = list(inner.inputs)
    elif inner.op == "Where" and len(inner.inputs) == 3:
        condition, yes, no = inner.inputs
        scores = _unhidden(sweep, yes, no)
        if condition is not None and scores is not None and not _gradient(sweep, condition):
            parts = [scores, condition]
    return (
        [operand]
        if parts == [operand]
        else [
            Edge(
                part.source,
                part.output,
                part.view,
                part.scale,
                part.shift,
                (*part.through, *inner.native, *operand.through),
            )
            for part in parts
            if part is not None
        ]
    )


def _unhidden(sweep: Sweep, yes: Edge | None, no: Edge | None) -> Edge | None:
    """Which of a Where's choices are the scores, the other being far below any score."""
    if yes is None or no is None:
        return None
    return next(
        (
            one
            for one, other in ((yes, no), (no, yes))
            if _gradient(sweep, one) and _hidden(sweep, other)
        ),
        None,
    )


def _aligned(mask: Edge, shape: tuple[int, ...], edge: Edge) -> Edge | None:
    """The mask as the softmax sees it: moved as its operand is."""
    through = read_through(expand(mask, shape), edge)
    return None if through is None else broadcast(through, shape_of(edge))


def _gradient(sweep: Sweep, edge: Edge) -> bool:
    return sweep.builder.drafts[edge.source].gradient


def _nothing(sweep: Sweep, mask: Edge | None) -> bool:
    """Whether a mask adds zero everywhere."""
    number = sweep.builder.scalar(mask)
    return number is not None and not isinstance(number, bool) and number == 0


def _hidden(sweep: Sweep, edge: Edge) -> bool:
    """Whether an operand is a number far below any score."""
    number = sweep.builder.scalar(edge)
    return number is not None and number <= HIDDEN
