"""What passes ask of operators and attributes; the rows are in `operator_table.py`.

traits(node.op).elementwise
traits(node.op).scale is Scale.EACH
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.normal.operator_table import OPERATORS
from padiff_graph.capture.normal.operator_traits import Layout, Operator, Scale

__all__ = [
    "LEAVES",
    "STATIC_LEAVES",
    "Layout",
    "Operator",
    "Scale",
    "attributes_equal",
    "differing_attributes",
    "same_family",
    "told_by_view",
    "traits",
    "with_trait",
]

OPAQUE = Operator()
"""What is known of an operator that stays itself: nothing."""
LEAVES = frozenset(op for op, row in OPERATORS.items() if row.leaf)
STATIC_LEAVES = LEAVES - {"Input"}
"""Leaves that are the same whatever goes in."""
INFORMATIVE = frozenset({"axis", "axes"})
"""Attributes told for the reader where the operand's view already says them (see `told_by_view`).
"""
BOOLEANS = (bool, np.bool_)
TOLERANCE = 1e-5
"""Relative distance within which numbers of attributes are equal: chosen so that float32 spellings
(0.8999999761581421 is 0.9) are, and 1e-5 and 1e-6 are not."""


def traits(op: str) -> Operator:
    """The row of an operator; that of an opaque one says nothing."""
    return OPERATORS.get(op, OPAQUE)


def with_trait(asked: Callable[[Operator], bool]) -> tuple[str, ...]:
    """Names of the operators whose row fulfils a condition, in the table's order."""
    return tuple(op for op, row in OPERATORS.items() if asked(row))


def same_family(first: str, second: str) -> bool:
    """Whether two operators stand in for one another when a port uses the wrong one."""
    family = traits(first).family
    return bool(family) and family == traits(second).family


def told_by_view(op: str, attribute: str) -> bool:
    """Whether the attribute is only for the reader: the operand's view puts the axes in one
    place."""
    return attribute in INFORMATIVE and traits(op).trailing


def attributes_equal(a: Any, b: Any, near: float = TOLERANCE) -> bool:
    """Whether two attribute values are the same number, tuple, string or array.

    Floats to `near`: frameworks hold some of them in float32. A number equals its other spelling
    (1, 1.0), a bool only a bool.
    """
    if isinstance(a, BOOLEANS) or isinstance(b, BOOLEANS):
        return isinstance(a, BOOLEANS) and isinstance(b, BOOLEANS) and bool(a) == bool(b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return _same_arrays(np.asarray(a), np.asarray(b), near)
    for kinds, equal in _COMPARISONS:
        if isinstance(a, kinds) and isinstance(b, kinds):
            return equal(a, b, near)
    return bool(a == b)


def _same_numbers(a: Any, b: Any, near: float) -> bool:
    return math.isclose(a, b, rel_tol=near) or (math.isnan(a) and math.isnan(b))


def _same_members(a: Any, b: Any, near: float) -> bool:
    return len(a) == len(b) and all(attributes_equal(x, y, near) for x, y in zip(a, b, strict=True))


def _same_arrays(a: Any, b: Any, near: float) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "OUSV" or b.dtype.kind in "OUSV":
        return bool(np.array_equal(a, b))
    return bool(np.allclose(a, b, rtol=near, atol=0.0, equal_nan=True))


def _same_entries(a: Any, b: Any, near: float) -> bool:
    return a.keys() == b.keys() and all(attributes_equal(a[key], b[key], near) for key in a)


_COMPARISONS: tuple[tuple[Any, Callable[[Any, Any, float], bool]], ...] = (
    ((int, float, np.number), _same_numbers),
    ((tuple, list), _same_members),
    (Mapping, _same_entries),
)
"""How two values of one kind are compared."""


def differing_attributes(
    op: str, first: Mapping[str, Any], second: Mapping[str, Any], near: float = TOLERANCE
) -> tuple[str, ...]:
    """Names of the attributes that differ between two nodes of one operator, those left out that
    the operand's view tells; floats to `near`."""

    def agree(name: str) -> bool:
        both = name in first and name in second
        return both and attributes_equal(first[name], second[name], near)

    names = dict.fromkeys((*first, *second))
    return tuple(name for name in names if not told_by_view(op, name) and not agree(name))
