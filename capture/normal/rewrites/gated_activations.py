"""Activations that multiply by a gate of the same value, and the bounds that such gates are made
of."""

from __future__ import annotations

import math

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import unscaled, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.operands import both_orders, same_operand, same_reading
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["clip_unscaled", "composed_hard_sigmoid", "x_times_hard_sigmoid", "x_times_sigmoid"]

SLOPE, CENTRE = 1.0 / 6.0, 0.5
"""HardSigmoid inside HardSwish, by its definition."""
WRITTEN = 5e-7
"""Relative distance within which constants in a model's code are these: some units in the last
place of float32, in which frameworks hold them. 0.16667 is another function."""


@applies_to("Clip")
def clip_unscaled(sweep: Sweep, draft: Draft) -> bool:
    """Clip(a x + b, l, h) = a Clip(x + b / a, l / a, h / a) for a > 0: relu6(x + 3) / 6 is a
    HardSigmoid.

    Leaves the factor to the readers.
    """
    edge = draft.inputs[0]
    if edge is None or edge.scale == 1.0 or edge.scale <= 0.0:
        return False
    bounds = {
        name: None if bound is None else bound / edge.scale for name, bound in draft.attrs.items()
    }
    operand = edge._replace(scale=1.0, shift=edge.shift / edge.scale)
    sweep.replace(draft, sweep.made_of(draft, "Clip", [operand], bounds), edge.scale)
    return True


@applies_to("Clip")
def composed_hard_sigmoid(sweep: Sweep, draft: Draft) -> bool:
    """Clip(x + b, 0, h) = h Clip(x / h + b / h, 0, 1) = h HardSigmoid(x; 1 / h, b / h).

    Refuses operands that are not shifted (a relu6 stays a Clip), scaled or padded.
    """
    edge, height = draft.inputs[0], draft.attrs["max"]
    if edge is None or edge.scale != 1.0 or edge.shift == 0.0 or view_of(edge).padded:
        return False
    if draft.attrs["min"] != 0.0 or not height:
        return False
    operand, attrs = edge._replace(shift=0.0), {"alpha": 1.0 / height, "beta": edge.shift / height}
    sweep.replace(draft, sweep.made_of(draft, "HardSigmoid", [operand], attrs), height)
    return True


@applies_to("Mul")
def x_times_hard_sigmoid(sweep: Sweep, draft: Draft) -> bool:
    """x * HardSigmoid(x; 1/6, 1/2) = HardSwish(x).

    Refuses other slopes, and gates that are read elsewhere too.
    """
    for x, gate in both_orders(draft):
        inner = _gate(sweep, gate, "HardSigmoid")
        inside = None if inner is None else inner.inputs[0]
        if inner is None or inside is None or not same_operand(x, inside):
            continue
        if _near(inner.attrs["alpha"], SLOPE) and _near(inner.attrs["beta"], CENTRE):
            sweep.replace(draft, sweep.made_of(draft, "HardSwish", [x], {}, inner))
            return True
    return False


@applies_to("Mul")
def x_times_sigmoid(sweep: Sweep, draft: Draft) -> bool:
    """x * Sigmoid(a x) = Swish(x; a): SiLU for a = 1, the quick Gelu for a = 1.702.

    Refuses shifted operands, and gates that are read elsewhere too.
    """
    for x, gate in both_orders(draft):
        inner = _gate(sweep, gate, "Sigmoid")
        inside = None if inner is None else inner.inputs[0]
        if inner is None or inside is None or inside.scale == 0.0:
            continue
        if inside.shift == x.shift == 0.0 and same_reading(x, inside):
            alpha = {"alpha": inside.scale / x.scale}
            sweep.replace(draft, sweep.made_of(draft, "Swish", [x], alpha, inner))
            return True
    return False


def _gate(sweep: Sweep, gate: Edge, op: str) -> Draft | None:
    """The draft of this operator that a factor is, as it is."""
    inner = sweep.behind(gate, op)
    if inner is None or not sweep.alone(inner):
        return None
    return inner if unscaled(gate) and view_of(gate).identity else None


def _near(value: float, constant: float) -> bool:
    return math.isclose(value, constant, rel_tol=WRITTEN)
