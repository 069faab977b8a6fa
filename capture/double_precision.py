"""Float64 that reaches through: an operation that answers in a narrower float is found out.

A region in float64 is the referee of what rounding did. An operation that computes in float32
whatever it is given would bring that rounding back unseen, or stop what reads it. What is whole
there and comes from whole numbers alone (one_hot) is exact and is only widened; what is computed
from whole numbers is computed from the same in float64; all else is refused in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node

__all__ = ["FrameworkTensors", "widened"]

Tensor = Any
Tensors = Sequence[Tensor | None]
FLOATS = frozenset({"float32", "float16", "bfloat16"})
"""Floats that float64 is wider than."""
NARROW = FLOATS | {"complex64"}
"""What is wider in float64, complex numbers among it."""
INTEGERS = frozenset({"bool", "uint8", "int8", "int16", "int32", "int64"})
"""Dtypes whose numbers float64 holds as well (beyond 2^53 no kernel computes on them as floats)."""


@dataclass(frozen=True)
class FrameworkTensors:
    """What is asked of a framework's tensors.

    Attributes:
        dtype: a tensor's dtype in graph spelling.
        array: its numbers on the host.
        double: the same in float64.
    """

    dtype: Callable[[Tensor], str]
    array: Callable[[Tensor], Array]
    double: Callable[[Tensor], Tensor]


def widened(
    node: Node,
    tensors: FrameworkTensors,
    operands: Tensors,
    results: Tensors,
    run: Callable[[Tensors], Tensors],
) -> Tensors:
    """The results of an operation in float64.

    Args:
        node: the operation.
        tensors: how to ask its tensors.
        operands: what it was run on; floats in float64.
        results: what it answered.
        run: runs it on other operands.

    Raises:
        NotRunnable: where it computes in a narrower float by itself.
    """
    if not results or not _narrow(tensors, results[0]):
        return results
    if all(operand is None or tensors.dtype(operand) in INTEGERS for operand in operands):
        if tensors.dtype(results[0]) in FLOATS and _whole(tensors.array(results[0])):
            return [_as_double(tensors, result) for result in results]
        results = run([_of_integers(tensors, operand) for operand in operands])
        if results and not _narrow(tensors, results[0]):
            return results
    raise NotRunnable(
        f"{node.op} of module {node.path or 'root'!r} ({node.source}) computes in"
        f" {tensors.dtype(results[0])} whatever it is given"
    )


def _narrow(tensors: FrameworkTensors, result: Tensor | None) -> bool:
    return result is not None and tensors.dtype(result) in NARROW


def _whole(array: Array) -> bool:
    """Whether all numbers are whole, which any float holds without rounding."""
    return bool(np.all(np.isfinite(array)) and np.array_equal(array, np.rint(array)))


def _as_double(tensors: FrameworkTensors, result: Tensor | None) -> Tensor | None:
    if result is None or tensors.dtype(result) not in FLOATS:
        return result
    return tensors.double(result)


def _of_integers(tensors: FrameworkTensors, operand: Tensor | None) -> Tensor | None:
    if operand is None or tensors.dtype(operand) == "bool":
        return operand
    return tensors.double(operand)
