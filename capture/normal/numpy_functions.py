"""Operators in numpy, where one call of numpy does not say it: (operands, attributes) -> value.

Operands come as the normal form reads them: the axes in question last.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from padiff_graph.capture.normal.operator_traits import Array

__all__ = [
    "cast",
    "clip",
    "concat",
    "cumulative_sum",
    "gather",
    "gather_elements",
    "power",
    "product",
    "reducing",
    "relu",
    "sigmoid",
    "swish",
    "total",
    "triangle",
]


NOT_IN_NUMPY = ("bfloat16", "float16")
"""Types whose rounding is left to the frameworks: numpy has no bfloat16, and float16 goes with it.
"""


def total(*terms: Array) -> Array:
    """The sum of any number of operands."""
    return sum(terms[1:], terms[0])


def product(*factors: Array) -> Array:
    """The product of any number of operands."""
    return np.asarray(np.prod(np.broadcast_arrays(*factors), axis=0))


def power(x: Array, *above: Array, exponent: float | None) -> Array:
    """x to a constant exponent, or to that of the second operand."""
    base = np.asarray(x, np.float64)
    if exponent is not None:
        return np.asarray(base**exponent)
    return np.asarray(np.power(base, above[0]))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.asarray(np.maximum(x, 0))


def clip(x: Array, min: float | None, max: float | None) -> Array:
    """x between bounds, None where there is none."""
    return np.asarray(np.clip(x, min, max))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-x)))


def swish(x: Array, alpha: float) -> Array:
    """x * sigmoid(alpha x)."""
    return np.asarray(x / (1 + np.exp(-alpha * x)))


def cast(x: Array, to: str) -> Array | None:
    """x in another type."""
    return None if to in NOT_IN_NUMPY else np.asarray(x).astype(to)


def concat(*parts: Array, axis: int) -> Array:
    """Operands behind one another."""
    return np.concatenate(parts, axis)


def gather(
    data: Array, indices: Array, axis: int, padding_idx: int, scale_grad_by_freq: bool
) -> Array:
    """Rows of an axis."""
    return np.take(data, indices, axis)


def gather_elements(data: Array, indices: Array, axis: int) -> Array:
    """One element for each index."""
    return np.take_along_axis(data, indices, axis)


def cumulative_sum(x: Array, axis: int, exclusive: bool, reverse: bool) -> Array:
    """Sums up to each element of the last axis."""
    turned = x[..., ::-1] if reverse else x
    sums = np.cumsum(turned, -1)
    if exclusive:
        sums = sums - turned
    return sums[..., ::-1] if reverse else sums


def triangle(x: Array, upper: bool, diagonal: int) -> Array:
    """What is above or below a diagonal, zero elsewhere."""
    return np.triu(x, diagonal) if upper else np.tril(x, diagonal)


def reducing(function: Callable[..., Array]) -> Callable[..., Array]:
    """A reduction of numpy over the last axis, as an operator with `axes`."""

    def reduce(x: Array, axes: tuple[int, ...]) -> Array:
        return np.asarray(function(x, -1))

    return reduce
