"""Gelu spelled out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

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
"""Relative distance within which constants in a model's code are meant for these: chosen so that
0.7979 is ROOT."""
EXACT = 5e-7
"""Relative distance within which they are these: some units in the last place of float32, in which
frameworks hold them. What is meant for a Gelu and is another function says so in its attribute."""


@applies_to("Mul")
def composed_gelu(sweep: Sweep, draft: Draft) -> bool:
    """x * (1 + Erf(x / sqrt 2)) = 2 Gelu(x).
    x * (1 + Tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = 2 Gelu(x; tanh).

    Refuses where x is scaled or shifted, and other constants; rounded ones are told in the
    attribute. Leaves the factor of 2 to the readers.
    """
    for x, gate in both_orders(draft):
        inner = sweep.behind(gate, "Erf", "Tanh")
        inside = None if inner is None else inner.inputs[0]
        if inner is None or inside is None or (x.scale, x.shift) != (1.0, 0.0):
            continue
        if (gate.scale, gate.shift) != (1.0, 1.0) or not view_of(gate).identity:
            continue
        made = _curve(sweep, inside, x) if inner.op == "Tanh" else _line(inside, x)
        if made is not None:
            attrs = {"approximate": made.approximate}
            below = (*made.drafts, inner)
            sweep.replace(draft, sweep.made_of(draft, "Gelu", [x], attrs, *below), 2.0)
            return True
    return False


class _Inside(NamedTuple):
    """What a Gelu's gate reads: the setting that it means, and the drafts of it."""

    approximate: str
    drafts: list[Draft]


def _line(edge: Edge, x: Edge) -> _Inside | None:
    """x / sqrt 2, where an edge reads that."""
    if not _reads(edge, x):
        return None
    factor = edge.scale / x.scale
    if not _near(factor, math.sqrt(0.5)):
        return None
    exact = _near(factor, math.sqrt(0.5), EXACT)
    return _Inside("none" if exact else f"none, with erf({_digits(factor)} x)", [])


def _curve(sweep: Sweep, edge: Edge, x: Edge) -> _Inside | None:
    """sqrt(2 / pi) * (x + 0.044715 x^3), where an edge reads that."""
    inner = sweep.behind(edge, "Add", "Mul")
    if inner is None or edge.shift != 0.0 or not view_of(edge).identity:
        return None
    factors_of = _of_sum if inner.op == "Add" else _of_product
    for linear, cubic in both_orders(inner):
        power = sweep.behind(cubic, "Pow")
        factors = None if power is None else factors_of(edge, x, linear, cubic, power)
        if power is None or factors is None or factors[0] == 0.0:
            continue
        written = factors[0], factors[1] / factors[0]
        meant = list(zip(written, (ROOT, CUBIC), strict=True))
        if all(_near(*pair) for pair in meant):
            exact = all(_near(*pair, EXACT) for pair in meant)
            own = "tanh({} (x + {} x^3))".format(*map(_digits, written))
            return _Inside("tanh" if exact else own, [power, inner])
    return None


def _of_sum(
    edge: Edge, x: Edge, linear: Edge, cubic: Edge, power: Draft
) -> tuple[float, float] | None:
    """Factors of x and x^3 in scale * (linear + cubic)."""
    cubed = power_below(power, 3.0)
    if cubed is None or not _reads(linear, x) or not _is(cubed, x):
        return None
    return linear.scale / x.scale * edge.scale, cubic.scale * edge.scale


def _of_product(
    edge: Edge, x: Edge, linear: Edge, bracket: Edge, power: Draft
) -> tuple[float, float] | None:
    """Factors of x and x^3 in scale * linear * bracket, the bracket reading x^2."""
    squared = power_below(power, 2.0)
    if squared is None or not _reads(linear, x) or not _is(squared, x):
        return None
    factor = linear.scale / x.scale * edge.scale
    return factor * bracket.shift, factor * bracket.scale


def _reads(edge: Edge, x: Edge) -> bool:
    """Whether an edge reads x, times any factor."""
    return edge.shift == 0.0 and edge.scale != 0.0 and same_reading(edge, x)


def _is(edge: Edge, x: Edge) -> bool:
    """Whether an edge reads x as it is."""
    return _reads(edge, x) and _near(edge.scale, x.scale, EXACT)


def _digits(number: float) -> str:
    """A number as float32 holds it, in as many digits as that always keeps: the same text for both
    frameworks, of which one holds the numbers of the code in float32."""
    return f"{np.float32(number):.6g}"


def _near(value: float, constant: float, share: float = WRITTEN) -> bool:
    return math.isclose(value, constant, rel_tol=share)
