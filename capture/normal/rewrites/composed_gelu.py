"""Gelu spelled out."""

from __future__ import annotations

import math

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.operands import both_orders, power_below, same_reading
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["composed_gelu"]

CUBIC = 0.044715
"""Factor of x^3 in the approximation (Hendrycks and Gimpel 2016, section 2)."""
ROOT = math.sqrt(2.0 / math.pi)
"""Factor inside its tanh (the same)."""
WRITTEN = 1e-3
"""Relative distance within which constants in a model's code are these: chosen so that 0.7979 is
ROOT."""


@applies_to("Mul")
def composed_gelu(sweep: Sweep, draft: Draft) -> bool:
    """x * (1 + Erf(x / sqrt 2)) = 2 Gelu(x).
    x * (1 + Tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = 2 Gelu(x; tanh).

    Refuses where x is scaled or shifted, and other constants. Leaves the factor of 2 to the
    readers.
    """
    for x, gate in both_orders(draft):
        inner = sweep.behind(gate, "Erf", "Tanh")
        inside = None if inner is None else inner.inputs[0]
        if inner is None or inside is None or (x.scale, x.shift) != (1.0, 0.0):
            continue
        if (gate.scale, gate.shift) != (1.0, 1.0) or not view_of(gate).identity:
            continue
        cubic: list[Draft] | None = []
        if inner.op == "Tanh":
            cubic = _cubic(sweep, inside, x)
        elif not _reads(inside, x, math.sqrt(0.5)):
            cubic = None
        if cubic is not None:
            attrs = {"approximate": "tanh" if inner.op == "Tanh" else "none"}
            sweep.replace(draft, sweep.made_of(draft, "Gelu", [x], attrs, *cubic, inner), 2.0)
            return True
    return False


def _cubic(sweep: Sweep, edge: Edge, x: Edge) -> list[Draft] | None:
    """The drafts of sqrt(2 / pi) * (x + 0.044715 x^3), where an edge reads that; None where it does
    not."""
    inner = sweep.behind(edge, "Add", "Mul")
    if inner is None or edge.shift != 0.0 or not view_of(edge).identity:
        return None
    told = _is_sum if inner.op == "Add" else _is_product
    for linear, cubic in both_orders(inner):
        power = sweep.behind(cubic, "Pow")
        if power is not None and told(edge, x, linear, cubic, power):
            return [power, inner]
    return None


def _is_sum(edge: Edge, x: Edge, linear: Edge, cubic: Edge, power: Draft) -> bool:
    """Whether scale * (linear + cubic) is ROOT x + ROOT CUBIC x^3."""
    cubed = power_below(power, 3.0)
    return (
        cubed is not None
        and _reads(linear, x, ROOT / edge.scale)
        and _reads(cubed, x, 1.0)
        and _near(cubic.scale * edge.scale, ROOT * CUBIC)
    )


def _is_product(edge: Edge, x: Edge, linear: Edge, bracket: Edge, power: Draft) -> bool:
    """Whether scale * linear * bracket is ROOT CUBIC x (x^2 + 1 / CUBIC), the factor out of the
    bracket."""
    squared = power_below(power, 2.0)
    if squared is None or bracket.scale == 0.0:
        return False
    return (
        _reads(linear, x, linear.scale / x.scale)
        and _reads(squared, x, 1.0)
        and _near(bracket.shift / bracket.scale, 1.0 / CUBIC)
        and _near(edge.scale * linear.scale * bracket.shift, ROOT)
    )


def _reads(edge: Edge, x: Edge, scale: float) -> bool:
    """Whether an edge reads scale * x."""
    return edge.shift == 0.0 and _near(edge.scale, scale * x.scale) and same_reading(edge, x)


def _near(value: float, constant: float) -> bool:
    return math.isclose(value, constant, rel_tol=WRITTEN)
