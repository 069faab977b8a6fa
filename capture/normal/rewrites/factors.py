"""Factors on operands that move on to the readers of the result."""

from __future__ import annotations

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import Scale, traits, with_trait

__all__ = [
    "scale_out_of_elementwise",
    "scale_out_of_matmul",
    "scale_out_of_product",
]

_HOMOGENEOUS = with_trait(lambda row: row.scale in (Scale.ANY, Scale.POSITIVE))
_PRODUCTS = with_trait(lambda row: row.scale is Scale.EACH and not row.elementwise)


def scale_out_of_elementwise(sweep: Sweep, draft: Draft) -> bool:
    """(a x) * (b y + c) = a b (x * (y + c / b)), (a x) ** n = a ** n x ** n, f(a x) = a f(x).

    Which f let which factors pass, their rows say. Refuses shifted operands of f and of powers, and
    negative factors where f or the power asks for positive ones. Leaves the factor to the readers.
    """
    inputs, factor = _TAKEN.get(draft.op, _of_homogeneous)(draft)
    if factor == 1.0:
        return False
    sweep.replace(draft, sweep.made_of(draft, draft.op, inputs, draft.attrs), factor)
    return True


_Taken = tuple[list["Edge | None"], float]
"""Operands without their factors, and the product of these."""


def _of_mul(draft: Draft) -> _Taken:
    factor = 1.0
    inputs: list[Edge | None] = []
    for edge in draft.inputs:
        if edge is not None and edge.scale not in (0.0, 1.0):
            factor *= edge.scale
            edge = edge._replace(scale=1.0, shift=edge.shift / edge.scale)
        inputs.append(edge)
    return inputs, factor


def _of_power(draft: Draft) -> _Taken:
    exponent = draft.attrs["exponent"]
    edge = draft.inputs[0]
    if exponent is None or edge is None or not _has_factor(edge):
        return draft.inputs, 1.0
    if edge.scale < 0.0 and not float(exponent).is_integer():
        return draft.inputs, 1.0
    return [edge._replace(scale=1.0)], edge.scale**exponent


def _of_homogeneous(draft: Draft) -> _Taken:
    edge = draft.inputs[0]
    if edge is None or not _has_factor(edge) or len(draft.outputs) != 1:
        return draft.inputs, 1.0
    if edge.scale < 0.0 and traits(draft.op).scale is not Scale.ANY:
        return draft.inputs, 1.0
    return [edge._replace(scale=1.0)], edge.scale


_TAKEN = {"Mul": _of_mul, "Pow": _of_power}
applies_to(*_TAKEN, *_HOMOGENEOUS)(scale_out_of_elementwise)


def _has_factor(edge: Edge) -> bool:
    """Whether an operand is a multiple of what it reads; zero times anything is no factor."""
    return edge.scale not in (0.0, 1.0) and edge.shift == 0.0


@applies_to("MatMul")
def scale_out_of_matmul(sweep: Sweep, draft: Draft) -> bool:
    """(a x) @ (b y) = a b (x @ y), before biases are looked for."""
    return scale_out_of_product(sweep, draft)


@applies_to(*_PRODUCTS)
def scale_out_of_product(sweep: Sweep, draft: Draft) -> bool:
    """(a x) @ (b W) = a b (x @ W), for Linear and Conv alike, once biases have been found.

    Refuses products with a bias, which would be scaled too. Leaves shifted operands alone.
    """
    if any(edge is not None for edge in draft.inputs[2:]):
        return False
    factor = 1.0
    inputs: list[Edge | None] = []
    for edge in draft.inputs:
        if edge is not None and _has_factor(edge):
            factor *= edge.scale
            edge = edge._replace(scale=1.0)
        inputs.append(edge)
    if inputs == draft.inputs:
        return False
    sweep.replace(draft, sweep.made_of(draft, draft.op, inputs, draft.attrs), factor)
    return True
