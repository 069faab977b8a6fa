"""What constants alone decide is a constant, computed where that is simple."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.normal.builder import Builder, Draft

__all__ = ["fold"]

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
    "Sign": np.sign,
    "Mod": np.mod,
    "Sin": np.sin,
    "Cos": np.cos,
    "Exp": np.exp,
    "Log": np.log,
    "Abs": np.abs,
    "Floor": np.floor,
    "Sqrt": np.sqrt,
    "Relu": lambda x: np.maximum(x, 0),
    "Clip": lambda x, min, max: np.clip(x, min, max),
    "CumSum": lambda x, axis, exclusive, reverse: _cumulative(x, exclusive, reverse),
    "Gather": lambda x, index, axis, padding_idx: np.take(x, index, axis),
    "GatherElements": lambda x, index, axis: np.take_along_axis(x, index, axis),
    "ReduceSum": lambda x, axes: x.sum(-1),
    "ReduceMean": lambda x, axes: x.mean(-1),
    "ReduceMax": lambda x, axes: x.max(-1),
    "ReduceMin": lambda x, axes: x.min(-1),
    "ReduceAny": lambda x, axes: x.any(-1),
    "ReduceAll": lambda x, axes: x.all(-1),
    "MatMul": np.matmul,
    "Trilu": lambda x, upper, diagonal: np.triu(x, diagonal) if upper else np.tril(x, diagonal),
}
"""Operators that are computed: (operands, attributes) -> value."""

GATHERS = frozenset({"Gather", "GatherElements", "GatherND", "Index"})


def _cumulative(x: Array, exclusive: bool, reverse: bool) -> Array:
    turned = x[..., ::-1] if reverse else x
    total = np.cumsum(turned, -1)
    if exclusive:
        total = total - turned
    return total[..., ::-1] if reverse else total


def fold(builder: Builder, draft: Draft) -> bool:
    """Turns a draft over constants into a Constant, in place; whether it was one."""
    if (
        draft.leaf
        or draft.marks & {"random", "custom_function"}
        or len(draft.outputs) != 1
        or not draft.inputs
    ):
        return False
    if draft.op in GATHERS and (number := builder.scalar(draft.inputs[0])) is not None:
        # Whatever is chosen from equal elements is that element.
        draft.constant = np.full(draft.shape, number)
        _become_constant(builder, draft)
        return True
    if draft.varies or any(
        edge is not None and builder.drafts[edge.source].op != "Constant" for edge in draft.inputs
    ):
        return False
    draft.constant = _value(builder, draft)
    _become_constant(builder, draft)
    return True


def _become_constant(builder: Builder, draft: Draft) -> None:
    """The draft stands for what it was computed from, too."""
    behind: list[int] = []
    for edge in draft.inputs:
        if edge is not None:
            source = builder.drafts[edge.source]
            behind += [*(source.native if source.op == "Constant" else ()), *edge.through]
    draft.native = tuple(dict.fromkeys([*behind, *draft.native]))
    draft.op, draft.inputs, draft.attrs, draft.marks = "Constant", [], {}, frozenset()
    draft.gradient = draft.opaque = draft.varies = False
    builder.reduce(draft)


def _value(builder: Builder, draft: Draft) -> Array | None:
    operands = [builder.known(edge) for edge in draft.inputs if edge is not None]
    known = [value for value in operands if value is not None]
    if len(known) != len(operands):
        return None
    with np.errstate(all="ignore"):
        if draft.op == "Pow" and draft.attrs["exponent"] is not None:
            value = np.asarray(np.asarray(known[0], np.float64) ** draft.attrs["exponent"])
        elif draft.op == "Pow":
            value = np.asarray(np.power(np.asarray(known[0], np.float64), known[1]))
        elif draft.op == "Cast":
            if draft.attrs["to"] in ("bfloat16", "float16"):
                return None
            value = np.asarray(known[0]).astype(draft.attrs["to"])
        elif draft.op in FUNCTIONS:
            value = np.asarray(FUNCTIONS[draft.op](*known, **draft.attrs))
        else:
            return None
    if value.shape != draft.shape:
        value = np.asarray(np.broadcast_to(value, draft.shape))
    kind = draft.outputs[0].dtype
    return (
        value.astype(kind)
        if kind in ("float32", "float64", "int64", "int32", "bool") and value.dtype.name != kind
        else value
    )
