"""Sums, products, powers, bounds, element types."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.draft import FLOATS
from padiff_graph.capture.normal.edges import broadcast, expand, reshape, shape_of
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "boolean",
    "cast",
    "clip",
    "combine",
    "divide",
    "fixed_power",
    "multiply",
    "paired",
    "power",
    "product",
    "raised",
    "slope",
    "sum_of",
    "where",
]

FLOAT_ORDER = {
    "float16": 1,
    "bfloat16": 1,
    "float32": 2,
    "float64": 3,
    "complex64": 2,
    "complex128": 3,
}

"""Floats by width; what is wider holds every value of what is narrower."""
COMPUTED = ("float32", "bool", "int64", "int32")
"""Types that a known constant is cast to at once."""
WIDEST = 3.0e38
"""A bound beyond this is none: float32 ends at 3.4e38."""
INVERTED = 4096
"""Known denominators of at most this many elements are inverted: chosen so that tables of
frequencies are, and nothing of a weight's size is held twice."""


def sum_of(call: Call, terms: Sequence[tuple[Edge, float]], constant: float = 0.0) -> Edge:
    """sum of coefficient * operand + constant. Operands that hold one number join the constant."""
    shape = call.shape
    tensors = []
    for edge, coefficient in terms:
        number = call.scalar(edge)
        if number is not None and not isinstance(number, complex):
            constant += coefficient * number
        else:
            tensors.append(call.affine(edge, coefficient) if coefficient != 1.0 else edge)
    if not tensors:
        return expand(call.constant(constant, call.type().dtype), shape)
    if len(tensors) == 1:
        return expand(call.affine(tensors[0], 1.0, constant), shape)
    total = call.draft("Add", [broadcast(edge, shape) for edge in tensors])
    return call.affine(total, 1.0, constant) if constant else total


def product(call: Call, factors: Sequence[Edge], constant: float = 1.0) -> Edge:
    """constant * the product of the operands. Operands that hold one number join the constant."""
    shape = call.shape
    tensors = []
    for edge in factors:
        number = call.scalar(edge)
        if number is not None and not isinstance(number, complex):
            constant *= number
        else:
            tensors.append(edge)
    if not tensors:
        return expand(call.constant(constant, call.type().dtype), shape)
    if len(tensors) == 1:
        return expand(call.affine(tensors[0], constant), shape)
    whole = call.draft("Mul", [broadcast(edge, shape) for edge in tensors])
    return call.affine(whole, constant) if constant != 1.0 else whole


def combine(
    first: str = "self", second: str = "other", sign: float = 1.0, weight: str = "alpha"
) -> Row:
    """A row for first + sign * weight * second; both, the second or the weight may be numbers."""

    def row(call: Call) -> Result:
        factor = sign * (call.number(weight, 1) or 0)
        terms, constant = [], 0.0
        for role, coefficient in ((first, 1.0), (second, factor)):
            edge = call.operand(role)
            if edge is None:
                constant += coefficient * call.number(role)
            else:
                terms.append((edge, float(coefficient)))
        if call.type().dtype == "bool":
            return call.draft("Or", [broadcast(edge, call.shape) for edge, _ in terms])
        return sum_of(call, terms, constant)

    return row


def multiply(first: str = "self", second: str = "other") -> Row:
    """A row for a product of two operands, either of which may be a number."""

    def row(call: Call) -> Result:
        factors, constant = [], 1.0
        for role in (first, second):
            edge = call.operand(role)
            if edge is None:
                constant *= call.number(role)
            else:
                factors.append(edge)
        if call.type().dtype == "bool":
            return call.draft("And", [broadcast(edge, call.shape) for edge in factors])
        return product(call, factors, constant)

    return row


def divide(first: str = "self", second: str = "other") -> Row:
    """A row for a quotient: numerator * Pow(denominator, -1)."""

    def row(call: Call) -> Result:
        if call.get("rounding_mode"):
            if call.get("rounding_mode") == "floor":
                return paired("FloorDiv", first, second)(call)
            raise Unsupported("a division that truncates")
        above, below = call.operand(first), call.operand(second)
        if call.type().dtype not in FLOATS:
            raise Unsupported("a division of integers")
        factors = [] if above is None else [above]
        constant = call.number(first) if above is None else 1.0
        number = call.number(second) if below is None else call.scalar(below)
        if number is not None:
            if number == 0:
                raise Unsupported("a division by zero")
            return product(call, factors, constant / number)
        assert below is not None
        known = call.known(below)
        if known is not None and known.size <= INVERTED:
            with np.errstate(divide="ignore"):
                return product(
                    call, [*factors, call.constant(1.0 / known, call.type().dtype)], constant
                )
        inverse = call.draft(
            "Pow",
            [below],
            {"exponent": -1.0},
            call.typed(below, shape_of(below), call.type().dtype),
        )
        return product(call, [*factors, inverse], constant)

    return row


def power(base: str = "self", exponent: str = "exponent") -> Row:
    """A row for powers; a constant exponent is an attribute."""

    def row(call: Call) -> Result:
        edge, above = call.operand(base), call.operand(exponent)
        number = call.number(exponent) if above is None else call.scalar(above)
        if edge is None:
            value = call.number(base)
            return call.draft(
                "Pow",
                [call.constant(value), broadcast(call[exponent], call.shape)],
                {"exponent": None},
            )
        if number is None:
            assert above is not None
            return call.draft(
                "Pow",
                [broadcast(edge, call.shape), broadcast(above, call.shape)],
                {"exponent": None},
            )
        if number == 1:
            return expand(edge, call.shape)
        return expand(fixed_power(call, edge, float(number)), call.shape)

    return row


def fixed_power(call: Call, edge: Edge, exponent: float) -> Edge:
    """The operand to a constant power."""
    return call.draft(
        "Pow", [edge], {"exponent": exponent}, call.typed(edge, shape_of(edge), call.type().dtype)
    )


def raised(exponent: float, operand: str = "self") -> Row:
    """A row for sqrt, rsqrt, reciprocal, square."""

    def row(call: Call) -> Result:
        return fixed_power(call, call[operand], exponent)

    return row


def clip(call: Call, edge: Edge, low: float | None, high: float | None) -> Edge:
    """The operand between bounds; None where there is none."""
    low = None if low is None or low <= -WIDEST else float(low)
    high = None if high is None or high >= WIDEST else float(high)
    if low == 0.0 and high is None:
        return call.draft("Relu", [edge])
    return call.draft("Clip", [edge], {"min": low, "max": high})


def paired(op: str, first: str = "self", second: str = "other") -> Row:
    """A row for an element-wise operator of two operands, the second of which may be a number."""

    def row(call: Call) -> Result:
        pair = []
        for role in (first, second):
            edge = call.operand(role)
            number = call.constant(call.number(role)) if edge is None else None
            pair.append(number if edge is None else broadcast(edge, call.shape))
        operands = [edge for edge in pair if edge is not None]
        bounded = _bounded(call, op, operands) if op in BOUNDS else None
        return call.draft(op, operands) if bounded is None else bounded

    return row


BOUNDS = {"Min": "max", "Max": "min"}
"""Which bound of a Clip the minimum or maximum with a number is."""


def _bounded(call: Call, op: str, pair: Sequence[Edge]) -> Edge | None:
    """Min or Max with a number as a Clip; None where there is no number, or two."""
    numbers = [call.scalar(edge) for edge in pair]
    for edge, own, number in zip(pair, numbers, reversed(numbers), strict=True):
        if own is None and number is not None:
            bounds = {"min": None, "max": None, BOUNDS[op]: number}
            whole = expand(edge, call.shape)
            return expand(clip(call, whole, bounds["min"], bounds["max"]), call.shape)
    return None


def boolean(op: str, number: str) -> Row:
    """A row for `&`, `|`, `~` and the like: ONNX's And, Or, Not on booleans, opaque on integers."""

    def row(call: Call) -> Result:
        if call.type().dtype != "bool":
            raise Unsupported(f"{call.record.op} works on bits here")
        if op == "Not":
            return call.draft(op, [call[number]])
        return paired(op, *number.split())(call)

    return row


def where(call: Call, condition: Edge, yes: Edge, no: Edge) -> Edge:
    """Where, with operands in their least shapes."""
    return call.draft("Where", [broadcast(edge, call.shape) for edge in (condition, yes, no)])


def slope(call: Call, weight: Edge) -> Edge:
    """PRelu's slope along the channels of the result."""
    count = shape_of(weight)
    rank = len(call.shape)
    if math.prod(count) == 1 or len(count) == rank:
        return broadcast(
            reshape(weight, (1,) * rank) if math.prod(count) == 1 else weight, call.shape
        )
    return reshape(weight, (1, math.prod(count)) + (1,) * (rank - 2))


def cast(call: Call, edge: Edge, to: str) -> Edge:
    """Another element type: nothing where no value can change, a Cast where one can."""
    native = call.record.inputs[0]
    kind = call.builder.graph.type_of(native) if native is not None else None
    if _harmless(kind.dtype if kind else call.builder.dtype(edge), to):
        return call.touch(edge)
    known = call.known(edge)
    if known is not None and to in COMPUTED:
        # minus infinity may become an integer, in a place that a mask leaves out
        with np.errstate(invalid="ignore"):
            return call.constant(np.asarray(known).astype(to), to)
    return call.draft("Cast", [edge], {"to": to}, TensorType(shape_of(edge), to))


def _harmless(own: str, to: str) -> bool:
    """Whether a cast changes no value: integers and booleans as floats, wider floats and wider
    integers are the same numbers."""
    if own == to:
        return True
    if to in FLOAT_ORDER and own in FLOAT_ORDER:
        alike = to.startswith("complex") == own.startswith("complex")
        return alike and FLOAT_ORDER[to] > FLOAT_ORDER[own]
    if to in FLOAT_ORDER:
        return FLOAT_ORDER[to] >= FLOAT_ORDER["float32"] or own == "bool"
    if own in FLOAT_ORDER or to == "bool":
        return False
    return own == "bool" or to in ("int64", "int32") or (own, to) == ("uint8", "int16")
