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
        if known is not None and known.size <= 4096:
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
    low = None if low is None or low <= -3.0e38 else float(low)
    high = None if high is None or high >= 3.0e38 else float(high)
    if low == 0.0 and high is None:
        return call.draft("Relu", [edge])
    return call.draft("Clip", [edge], {"min": low, "max": high})


def paired(op: str, first: str = "self", second: str = "other") -> Row:
    """A row for an element-wise operator of two operands, the second of which may be a number."""

    def row(call: Call) -> Result:
        shape = call.shape
        pair = []
        for role in (first, second):
            edge = call.operand(role)
            pair.append(
                call.constant(call.number(role)) if edge is None else broadcast(edge, shape)
            )
        if op in ("Min", "Max"):
            for edge, bound in (pair, pair[::-1]):
                number = call.scalar(bound)
                if number is not None and call.scalar(edge) is None:
                    return expand(
                        clip(
                            call,
                            expand(edge, shape),
                            number if op == "Max" else None,
                            number if op == "Min" else None,
                        ),
                        shape,
                    )
        return call.draft(op, pair)

    return row


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
    """Another element type: nothing where no value can change, a Cast where one can.

    Integers and booleans as floats, wider floats and wider integers are the same numbers.
    """
    native = call.record.inputs[0]
    kind = call.builder.graph.type_of(native) if native is not None else None
    own = kind.dtype if kind else call.builder.dtype(edge)
    if own == to:
        return call.touch(edge)
    into_float, from_float = to in FLOAT_ORDER, own in FLOAT_ORDER
    if into_float and not from_float:
        harmless = FLOAT_ORDER[to] >= 2 or own == "bool"
    elif into_float and from_float:
        harmless = FLOAT_ORDER[to] > FLOAT_ORDER[own] and to.startswith(
            "complex"
        ) == own.startswith("complex")
    elif from_float or to == "bool":
        harmless = False
    else:
        harmless = own == "bool" or to in ("int64", "int32") or (own, to) == ("uint8", "int16")
    if harmless:
        return call.touch(edge)
    known = call.known(edge)
    if known is not None and to in ("float32", "bool", "int64", "int32"):
        with np.errstate(
            invalid="ignore"
        ):  # minus infinity as an integer, in a place that a mask leaves out
            return call.constant(np.asarray(known).astype(to), to)
    return call.draft("Cast", [edge], {"to": to}, TensorType(shape_of(edge), to))
