"""What constants alone decide is a constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.normal.builder import Draft
from padiff_graph.capture.normal.rewrites.rule import Sweep

__all__ = ["constant_operation"]

Array = np.ndarray[Any, Any]

FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "Add": lambda *x: sum(x[1:], x[0]),
    "Mul": lambda *x: np.asarray(np.prod(np.broadcast_arrays(*x), axis=0)),
    "Concat": lambda *x, axis: np.concatenate(x, axis),
    "Where": np.where,
    "Equal": np.equal,
    "NotEqual": np.not_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Not": np.logical_not,
    "FloorDiv": np.floor_divide,
    "Min": np.minimum,
    "Max": np.maximum,
    "Sin": np.sin,
    "Cos": np.cos,
    "Exp": np.exp,
    "Log": np.log,
    "Abs": np.abs,
    "Floor": np.floor,
    "CumSum": lambda x, **_: np.cumsum(x, -1),
    "Trilu": lambda x, upper, diagonal: np.triu(x, diagonal) if upper else np.tril(x, diagonal),
}
"""Operators that are computed: (operands, attributes) -> value."""
PLAIN = frozenset({"Concat", "Trilu"})
"""Those that take their attributes."""


def constant_operation(sweep: Sweep, draft: Draft) -> bool:
    """An operation over constants is a Constant, its value known where it is simple."""
    if draft.leaf or "random" in draft.marks or len(draft.outputs) != 1 or not draft.inputs:
        return False
    if any(edge is not None and sweep.builder.drafts[edge.source].op != "Constant" for edge in draft.inputs):
        return False
    value = _value(sweep, draft)
    new = sweep.made_of(draft, "Constant", (), {}, outputs=draft.outputs)
    new.locations, new.constant, new.marks = list(draft.locations), value, frozenset()
    sweep.builder.replace(draft, sweep.builder.read(new))
    return True


def _value(sweep: Sweep, draft: Draft) -> Array | None:
    operands = [sweep.builder.known(edge) for edge in draft.inputs if edge is not None]
    known = [value for value in operands if value is not None]
    if len(known) != len(operands):
        return None
    if draft.op == "Pow" and draft.attrs["exponent"] is not None:
        with np.errstate(all="ignore"):
            return np.asarray(np.asarray(known[0], np.float64) ** draft.attrs["exponent"])
    if draft.op == "Cast":
        return np.asarray(known[0]).astype(draft.attrs["to"]) if draft.attrs["to"] != "bfloat16" else None
    function = FUNCTIONS.get(draft.op)
    if function is None or (draft.op == "CumSum" and (draft.attrs["exclusive"] or draft.attrs["reverse"])):
        return None
    with np.errstate(all="ignore"):
        value = np.asarray(function(*known, **draft.attrs) if draft.op in PLAIN else function(*known))
    return value if value.shape == draft.shape else np.asarray(np.broadcast_to(value, draft.shape)) if value.size in (1, np.prod(draft.shape)) else None
