"""Masks of a softmax: conventions differ more than what they do.

A mask is what no gradient passes: a constant, or made from integer inputs. Ports say it in many
ways (added 0 and -inf, -10000 or the least float; boolean; filled); the numbers decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import (
    broadcast,
    expand,
    read_through,
    shape_of,
    unscaled,
    view_of,
)
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.operands import present, whole
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import with_trait

__all__ = ["mask_into_softmax", "shift_of_softmax"]

HIDDEN = -1.0e3
"""What is at most this is as good as minus infinity in front of a softmax: chosen so that exp of it
is zero in every type, and the usual -1e4 and -1e9 are well below."""


@applies_to(*with_trait(lambda row: row.shift_free))
def shift_of_softmax(sweep: Sweep, draft: Draft) -> bool:
    """Softmax(x + c) = Softmax(x).

    Refuses padded operands: their padding is not shifted.
    """
    edge, *masks = draft.inputs
    if edge is None or edge.shift == 0.0 or view_of(edge).padded:
        return False
    operands = [edge._replace(shift=0.0), *masks]
    sweep.replace(draft, sweep.made_of(draft, draft.op, operands, draft.attrs))
    return True


@applies_to("Softmax")
def mask_into_softmax(sweep: Sweep, draft: Draft) -> bool:
    """Softmax(x + mask) = Softmax(x, mask), Softmax(Where(mask, x, -inf)) = Softmax(x, mask).

    Refuses where the sum or choice is read elsewhere too, reshaped or scaled, where a gradient
    passes what would be a mask, and where nothing else remains. Leaves several learned summands (a
    relative position bias) one sum, and masks of zeros out.
    """
    edge = draft.inputs[0]
    inner = sweep.behind(edge, "Where", "Add")
    if edge is None or inner is None or not sweep.alone(inner) or not unscaled(edge):
        return False
    if shape_of(edge) != inner.shape and not view_of(edge).permutation:
        return False
    told = _masked(sweep, inner)
    through = None if told is None else read_through(told[0], edge)
    if told is None or through is None:
        return False
    aligned = [_aligned(mask, inner.shape, edge) for mask in told[1]]
    if None in aligned:
        return False
    masks = [mask for mask in aligned if not _adds_nothing(sweep, mask)]
    operands = [through, *draft.inputs[1:], *masks]
    sweep.replace(draft, sweep.made_of(draft, "Softmax", operands, draft.attrs, inner))
    return True


def _masked(sweep: Sweep, inner: Draft) -> tuple[Edge, Sequence[Edge]] | None:
    """The scores and the masks over them, where a sum or choice is of both."""
    if inner.op == "Where":
        choice = _choice(sweep, inner)
        if choice is None or shape_of(choice[0]) != inner.shape:
            return None
        return choice[0], choice[1:]
    parts = [part for operand in present(inner) for part in _opened(sweep, operand)]
    learned = [part for part in parts if sweep.builder.source(part).gradient]
    masks = [part for part in parts if not sweep.builder.source(part).gradient]
    if not learned or not masks:
        return None
    if len(learned) == 1:
        return (learned[0], masks) if shape_of(learned[0]) == inner.shape else None
    total = sweep.builder.add("Add", learned, {}, inner.outputs, native=inner.native, like=inner)
    return sweep.builder.read(total), masks


def _opened(sweep: Sweep, operand: Edge) -> Sequence[Edge]:
    """The parts of a summand that brings its mask along: a relative position bias that several
    blocks add."""
    inner = sweep.behind(operand, "Add", "Where")
    if inner is None or not whole(operand, inner):
        return [operand]
    parts: Sequence[Edge] | None = present(inner)
    if inner.op == "Where":
        parts = _choice(sweep, inner)
    elif all(sweep.builder.source(part).gradient for part in present(inner)):
        parts = None
    if parts is None:
        return [operand]
    by = (*inner.native, *operand.through)
    return [part._replace(through=(*part.through, *by)) for part in parts]


def _choice(sweep: Sweep, where: Draft) -> tuple[Edge, Edge] | None:
    """(scores, condition) of a Where whose other choice is far below any score."""
    edges = present(where)
    if len(edges) != 3 or sweep.builder.source(edges[0]).gradient:
        return None
    condition, yes, no = edges
    for scores, hidden in ((yes, no), (no, yes)):
        number = sweep.builder.scalar(hidden)
        if sweep.builder.source(scores).gradient and number is not None and number <= HIDDEN:
            return scores, condition
    return None


def _aligned(mask: Edge, shape: tuple[int, ...], edge: Edge) -> Edge | None:
    """The mask as the softmax sees it: moved as its operand is."""
    through = read_through(expand(mask, shape), edge)
    return None if through is None else broadcast(through, shape_of(edge))


def _adds_nothing(sweep: Sweep, mask: Edge | None) -> bool:
    """Whether a mask adds zero everywhere."""
    number = sweep.builder.scalar(mask)
    return number is not None and not isinstance(number, bool) and number == 0
