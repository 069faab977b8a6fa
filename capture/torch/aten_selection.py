"""Rows for ATen operators that choose by index, write there, or run along axes."""

from __future__ import annotations

import math
from typing import Any

from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import expand, reshape, shape_of
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "arg_sort",
    "argument",
    "cumsum",
    "diff",
    "embedding",
    "gather_elements",
    "index",
    "index_put",
    "index_select",
    "norm",
    "one_hot",
    "scatter",
    "select_scatter",
    "slice_scatter",
    "sort",
    "top_k",
    "trilu",
    "variance",
    "vector_norm",
]


# -- by index


def embedding(call: Call) -> Result:
    """Rows of a table."""
    return rows.lookup(
        call,
        call["weight"],
        call["indices"],
        call.number("padding_idx", -1),
        by_frequency=bool(call.get("scale_grad_by_freq", False)),
    )


def index_select(call: Call) -> Result:
    """Rows of an axis."""
    return rows.gather(call, call["self"], call["index"], call.number("dim"))


def index(call: Call) -> Result:
    """x[i], x[:, i], x[i, j]: one index is Gather, known indices are movement."""
    edge, members = call["self"], call.members("indices")
    axes = tuple(axis for axis, member in enumerate(members) if member is not None)
    indices = [member for member in members if member is not None]
    if len(axes) == 1 and call.builder.dtype(indices[0]) not in ("bool", "uint8"):
        return rows.gather(call, edge, indices[0], axes[0])
    known = [value for value in map(call.known, indices) if value is not None]
    side_by_side = bool(axes) and axes == tuple(range(axes[0], axes[0] + len(axes)))
    if side_by_side and len(known) == len(indices):
        return rows.known_index(call, edge, axes[0], known)
    return call.draft("Index", [edge, *indices], {"axes": axes})


def gather_elements(call: Call) -> Result:
    """gather, take_along_dim."""
    indices = call.operand("index") or call["indices"]
    axis = call.number("dim") % call.rank(call["self"])
    return call.draft("GatherElements", [call["self"], indices], {"axis": axis})


def one_hot(call: Call) -> Result:
    """one_hot."""
    return call.draft("OneHot", [call["self"]], {"depth": call.shape[-1]})


def trilu(upper: bool) -> Row:
    """tril, triu."""

    def row(call: Call) -> Result:
        return call.draft(
            "Trilu", [call["self"]], {"upper": upper, "diagonal": call.number("diagonal", 0)}
        )

    return row


# -- writing


def scatter(reduction: str) -> Row:
    """scatter and scatter_add along an axis."""

    def row(call: Call) -> Result:
        updates = call.operand("src") or call.constant(call.number("value"))
        return call.draft(
            "ScatterElements",
            [call["self"], call["index"], updates],
            {"axis": call.number("dim") % call.rank(call["self"]), "reduction": reduction},
        )

    return row


def index_put(call: Call) -> Result:
    """x[i, j] = values."""
    indices = call.members("indices")
    axes = tuple(axis for axis, part in enumerate(indices) if part is not None)
    return call.draft(
        "IndexPut",
        [call["self"], call["values"], *(part for part in indices if part is not None)],
        {"axes": axes, "accumulate": bool(call.number("accumulate", False))},
    )


def slice_scatter(call: Call) -> Result:
    """The operand with a slice of one axis replaced."""
    edge, axis = call["self"], call.number("dim", 0) % call.rank(call["self"])
    if call.number("step", 1) != 1:
        raise Unsupported("a slice with steps is written")
    chosen = range(shape_of(edge)[axis])[slice(call.number("start"), call.number("end"))]
    return rows.assign_box(call, edge, [(axis, chosen.start, chosen.stop)], call["src"])


def select_scatter(call: Call) -> Result:
    """The operand with one coordinate of an axis replaced."""
    edge, axis = call["self"], call.number("dim") % call.rank(call["self"])
    index = call.number("index") % shape_of(edge)[axis]
    shape = list(shape_of(edge))
    lead, rest = shape[:axis], shape[axis + 1 :]
    written = reshape(expand(call["src"], [*lead, *rest]), [*lead, 1, *rest])
    return rows.assign_box(call, edge, [(axis, index, index + 1)], written)


# -- along axes


def cumsum(call: Call) -> Result:
    """Running sum."""
    return rows.on_axis(
        call, "CumSum", call["self"], call.number("dim"), {"exclusive": False, "reverse": False}
    )


def diff(call: Call) -> Result:
    """x[1:] - x[:-1] along an axis."""
    if call.number("n", 1) != 1:
        raise Unsupported("a repeated difference")
    axis = call.number("dim", -1)
    edge = _prolonged(call, axis)
    later, earlier = call.slice(edge, axis, 1, None), call.slice(edge, axis, 0, -1)
    return rows.sum_of(call, [(later, 1.0), (earlier, -1.0)])


def _prolonged(call: Call, axis: int) -> Edge:
    members = [call.operand("prepend"), call["self"], call.operand("append")]
    parts = [part for part in members if part is not None]
    if len(parts) == 1:
        return parts[0]
    shape = list(shape_of(call["self"]))
    shape[axis] = sum(shape_of(part)[axis] for part in parts)
    kind = call.typed(call["self"], shape)
    return call.draft("Concat", parts, {"axis": axis % len(shape)}, kind)


def argument(op: str) -> Row:
    """argmax, argmin; without an axis over the flat order."""

    def row(call: Call) -> Result:
        edge, axis = call["self"], call.number("dim")
        if axis is None:
            edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
        return rows.argument(call, op, edge, axis)

    return row


def top_k(call: Call) -> Result:
    """Largest or smallest values and where they stand."""
    return rows.on_axis(
        call,
        "TopK",
        call["self"],
        call.number("dim", -1),
        {"k": call.number("k"), "largest": bool(call.number("largest", True))},
        2,
    )


def sort(call: Call) -> Result:
    """Sorted values and where they stood."""
    return rows.on_axis(call, "Sort", call["self"], call.number("dim", -1), _direction(call), 2)


def arg_sort(call: Call) -> Result:
    """Where sorted values stood; the values themselves are not told."""
    edge, axis = call["self"], call.number("dim", -1)
    values = call.typed(edge, call.shape)
    return rows.on_axis(call, "Sort", edge, axis, _direction(call), kept=(values,))


def _direction(call: Call) -> dict[str, Any]:
    return {"descending": bool(call.number("descending", False))}


def variance(call: Call) -> Result:
    """var: the mean square of what is left of the mean."""
    unbiased = float(bool(call.number("unbiased", True)))
    attrs = {"correction": float(call.number("correction", unbiased))}
    return rows.reduce_over(call, "ReduceVariance", call["self"], call.numbers("dim"), attrs)


def variance_and_mean(call: Call) -> Result:
    """var_mean: both in one call."""
    mean = rows.reduce_over(call, "ReduceMean", call["self"], call.numbers("dim"), {})
    var = variance(call)
    assert var is not None and mean is not None
    return [*var, *mean]


def norm(call: Call) -> Result:
    """linalg_norm: without an order the 2-norm over the axes; of matrices "fro" alone."""
    order, axes = call.get("ord"), call.numbers("dim")
    by_matrix = not axes and call.rank(call["self"]) != 1
    if order is not None and order != "fro" and (len(axes) > 1 or by_matrix):
        raise Unsupported(f"a matrix norm of order {order}")
    return vector_norm(call) if order != "fro" else rows.root_of_squares(call, call["self"], axes)


def vector_norm(call: Call) -> Result:
    """norm, linalg_vector_norm: the 2-norm is the root of a sum of squares."""
    order = call.number("ord", call.number("p", 2))
    edge, axes = call["self"], call.numbers("dim")
    if order is None or order == 2:
        return rows.root_of_squares(call, edge, axes)
    return rows.reduce_over(call, "ReduceLp", edge, axes, {"p": float(order)})
