"""Products of equals and powers of powers as one power."""

from __future__ import annotations

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import read_through, shape_of, unscaled
from padiff_graph.capture.normal.rewrites.operands import present, same_operand
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["power_of_power", "product_of_equals"]


@applies_to("Mul")
def product_of_equals(sweep: Sweep, draft: Draft) -> bool:
    """x * x = Pow(x, 2), and so on for more.

    Refuses operands that are broadcast.
    """
    edges = present(draft)
    if len(edges) != len(draft.inputs) or len(edges) < 2 or shape_of(edges[0]) != draft.shape:
        return False
    if not all(same_operand(edges[0], edge) for edge in edges[1:]):
        return False
    exponent = float(len(edges))
    sweep.replace(draft, sweep.made_of(draft, "Pow", edges[:1], {"exponent": exponent}))
    return True


@applies_to("Pow")
def power_of_power(sweep: Sweep, draft: Draft) -> bool:
    """Pow(Pow(x, a), b) = Pow(x, a b): 1 / sqrt(x) is one power.

    Refuses where the inner one is read elsewhere too, where something is multiplied or added
    between them, and where a sign would come back: (x ** 2) ** 0.5 is |x|. A root inside is of what
    is positive.
    """
    edge, outside = draft.inputs[0], draft.attrs["exponent"]
    inner = sweep.behind(edge, "Pow")
    if edge is None or inner is None or outside is None or not sweep.alone(inner):
        return False
    inside, below = inner.attrs["exponent"], inner.inputs[0]
    if inside is None or below is None or not unscaled(edge):
        return False
    if float(inside).is_integer() and not float(outside).is_integer():
        return False
    through = read_through(below, edge)
    if through is None:
        return False
    exponent = {"exponent": inside * outside}
    sweep.replace(draft, sweep.made_of(draft, "Pow", [through], exponent, inner))
    return True
