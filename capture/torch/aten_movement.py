"""Rows for ATen operators that move, choose and write."""

from __future__ import annotations

import math

from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import expand, reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "argument",
    "channel_shuffle",
    "concat",
    "copy",
    "cumsum",
    "detach",
    "diff",
    "einsum",
    "embedding",
    "expand_to",
    "flip",
    "gather_elements",
    "index",
    "index_put",
    "index_select",
    "meshgrid",
    "move_axes",
    "narrow",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "repeat",
    "repeat_interleave",
    "reversed_axes",
    "roll",
    "scatter",
    "select",
    "select_scatter",
    "slice_",
    "slice_scatter",
    "sort",
    "split",
    "stack",
    "top_k",
    "transpose_pair",
    "trilu",
    "unbind",
    "variance",
    "vector_norm",
]


# -- movement


def transpose_pair(call: Call) -> Result:
    """transpose(dim0, dim1), swapaxes, t, mT."""
    edge = call["self"]
    if call.rank(edge) < 2:
        return call.touch(edge)
    first, second = (
        call.number("dim0", call.number("axis0", -2)),
        call.number("dim1", call.number("axis1", -1)),
    )
    return call.swap(edge, first, second)


def reversed_axes(call: Call) -> Result:
    """numpy_T: all axes reversed."""
    return call.transpose(call["self"], list(range(call.rank(call["self"])))[::-1])


def move_axes(call: Call) -> Result:
    """movedim."""
    rank = call.rank(call["self"])
    came, go = (
        [axis % rank for axis in call.numbers("source")],
        [axis % rank for axis in call.numbers("destination")],
    )
    order = [axis for axis in range(rank) if axis not in came]
    for target, axis in sorted(zip(go, came, strict=True)):
        order.insert(target, axis)
    return call.transpose(call["self"], order)


def slice_(call: Call) -> Result:
    """One axis; the end may be far outside."""
    return call.slice(
        call["self"],
        call.number("dim", 0),
        call.number("start"),
        call.number("end"),
        call.number("step", 1),
    )


def narrow(call: Call) -> Result:
    """`length` coordinates from `start`."""
    start = call.number("start")
    axis = call.number("dim")
    start = start + shape_of(call["self"])[axis] if start < 0 else start
    return call.take(call["self"], axis, range(start, start + call.number("length")))


def select(call: Call) -> Result:
    """One coordinate, the axis dropped."""
    axis = call.number("dim") % call.rank(call["self"])
    index = call.number("index") % shape_of(call["self"])[axis]
    return call.reshape(call.take(call["self"], axis, range(index, index + 1)), call.shape)


def split(call: Call) -> Result:
    """chunk, split, split_with_sizes, tensor_split: sizes are those of the native results."""
    axis = call.number("dim", 0) % call.rank(call["self"])
    return rows.pieces(
        call,
        call["self"],
        axis,
        [call.type(output).shape[axis] for output in range(len(call.record.outputs))],
    )


def unbind(call: Call) -> Result:
    """Every coordinate by itself."""
    return rows.unbound(call, call["self"], call.number("dim", 0))


def flip(call: Call) -> Result:
    """Axes read backwards."""
    edge = call["self"]
    for axis in call.numbers("dims"):
        edge = call.take(edge, axis, range(shape_of(edge)[axis] - 1, -1, -1))
    return edge


def roll(call: Call) -> Result:
    """Axes rotated; without axes the flat order."""
    edge, shifts, dims = call["self"], call.numbers("shifts"), call.numbers("dims")
    flat = not dims
    if flat:
        edge, dims = reshape(edge, (math.prod(shape_of(edge)),)), (0,)
    for shift, axis in zip(shifts, dims, strict=True):
        extent = shape_of(edge)[axis]
        edge = call.take(edge, axis, [(at - shift) % extent for at in range(extent)])
    return reshape(edge, call.shape) if flat else edge


def repeat_interleave(call: Call) -> Result:
    """Every coordinate several times in a row."""
    times, axis = call.number("repeats"), call.number("dim")
    edge = call["self"]
    if axis is None:
        edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
    axis %= call.rank(edge)
    shape = list(shape_of(edge))
    inner = reshape(edge, [*shape[: axis + 1], 1, *shape[axis + 1 :]])
    return call.reshape(expand(inner, [*shape[: axis + 1], times, *shape[axis + 1 :]]), call.shape)


def pixel_shuffle(call: Call) -> Result:
    """[.., c r r, h, w] -> [.., c, h r, w r]."""
    edge, r = call["self"], call.number("upscale_factor")
    *lead, c, h, w = shape_of(edge)
    n = len(lead)
    parts = reshape(edge, [*lead, c // (r * r), r, r, h, w])
    return call.reshape(transpose(parts, [*range(n), n, n + 3, n + 1, n + 4, n + 2]), call.shape)


def pixel_unshuffle(call: Call) -> Result:
    """[.., c, h r, w r] -> [.., c r r, h, w]."""
    edge, r = call["self"], call.number("downscale_factor")
    *lead, c, h, w = shape_of(edge)
    n = len(lead)
    parts = reshape(edge, [*lead, c, h // r, r, w // r, r])
    return call.reshape(transpose(parts, [*range(n), n, n + 2, n + 4, n + 1, n + 3]), call.shape)


def channel_shuffle(call: Call) -> Result:
    """Channels of groups interleaved."""
    edge, groups = call["self"], call.number("groups")
    n, c, *rest = shape_of(edge)
    parts = reshape(edge, [n, groups, c // groups, *rest])
    return call.reshape(call.swap(parts, 1, 2), call.shape)


def concat(call: Call) -> Result:
    """cat, concat."""
    return rows.concat(call, call.tensors("tensors"), call.number("dim", 0))


def stack(call: Call) -> Result:
    """stack."""
    return rows.stack(call, call.tensors("tensors"), call.number("dim", 0))


def pad(call: Call) -> Result:
    """Pairs from the last axis backwards."""
    edge = call["self"]
    widths = [(0, 0)] * call.rank(edge)
    flat = [int(width) for width in call.numbers("pad")]
    for place in range(len(flat) // 2):
        widths[-1 - place] = (flat[2 * place], flat[2 * place + 1])
    return rows.pad(
        call, edge, widths, call.get("mode", "constant"), call.number("value", 0.0) or 0.0
    )


def expand_to(call: Call) -> Result:
    """expand, expand_as, broadcast_to: the native result's shape decides."""
    return call.expand(call["self"], call.shape)


def repeat(call: Call) -> Result:
    """Whole copies along each axis."""
    return rows.tiled(call, call["self"], call.numbers("repeats") or call.numbers("dims"))


def meshgrid(call: Call) -> Result:
    """Every tensor expanded along the axes of the others."""
    found: list[Edge | None] = []
    tensors = call.tensors("tensors")
    crossed = call.get("indexing", "ij") == "xy" and len(tensors) > 1
    for place, edge in enumerate(tensors):
        shape = call.type(place).shape
        axis = 1 - place if crossed and place < 2 else place
        found.append(
            call.expand(
                reshape(edge, [extent if at == axis else 1 for at, extent in enumerate(shape)]),
                shape,
            )
        )
    return found


# -- selection


def embedding(call: Call) -> Result:
    """Rows of a table."""
    return rows.lookup(call, call["weight"], call["indices"], call.number("padding_idx", -1))


def index_select(call: Call) -> Result:
    """Rows of an axis."""
    return rows.gather(call, call["self"], call["index"], call.number("dim"))


def index(call: Call) -> Result:
    """x[i], x[:, i], x[i, j]: one index is Gather, known indices are movement."""
    edge, indices = call["self"], call.members("indices")
    axes = [axis for axis, part in enumerate(indices) if part is not None]
    found = [part for part in indices if part is not None]
    if len(axes) == 1 and call.builder.dtype(found[0]) not in ("bool", "uint8"):
        return rows.gather(call, edge, found[0], axes[0])
    known = [call.known(part) for part in found]
    if (
        found
        and axes == list(range(axes[0], axes[0] + len(axes)))
        and all(value is not None for value in known)
    ):
        return rows.known_index(
            call, edge, axes[0], [value for value in known if value is not None]
        )
    return call.draft("Index", [edge, *found], {"axes": tuple(axes)})


def gather_elements(call: Call) -> Result:
    """gather, take_along_dim."""
    index_role = "index" if call.operand("index") is not None else "indices"
    return call.draft(
        "GatherElements",
        [call["self"], call[index_role]],
        {"axis": call.number("dim") % call.rank(call["self"])},
    )


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
    shape[axis] = 1
    return rows.assign_box(
        call,
        edge,
        [(axis, index, index + 1)],
        reshape(expand(call["src"], [*shape[:axis], *shape[axis + 1 :]]), shape),
    )


def copy(call: Call) -> Result:
    """copy_: the source, in the target's shape and type."""
    return call.expand(call["src"], call.shape)


def detach(call: Call) -> Result:
    """No gradient passes."""
    return call.builder.detach(call.touch(call["self"]), call.record)


def cumsum(call: Call) -> Result:
    """Running sum."""
    return rows.on_axis(
        call, "CumSum", call["self"], call.number("dim"), {"exclusive": False, "reverse": False}
    )


def diff(call: Call) -> Result:
    """x[1:] - x[:-1] along an axis."""
    if call.number("n", 1) != 1:
        raise Unsupported("a repeated difference")
    edge, axis = call["self"], call.number("dim", -1)
    parts = [
        part for part in (call.operand("prepend"), edge, call.operand("append")) if part is not None
    ]
    if len(parts) > 1:
        shape = list(shape_of(edge))
        shape[axis] = sum(shape_of(part)[axis] for part in parts)
        edge = call.draft("Concat", parts, {"axis": axis % len(shape)}, call.typed(edge, shape))
    return rows.sum_of(
        call, [(call.slice(edge, axis, 1, None), 1.0), (call.slice(edge, axis, 0, -1), -1.0)]
    )


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
    return rows.on_axis(
        call,
        "Sort",
        call["self"],
        call.number("dim", -1),
        {"descending": bool(call.number("descending", False))},
        2,
    )


def trilu(upper: bool) -> Row:
    """tril, triu."""

    def row(call: Call) -> Result:
        return call.draft(
            "Trilu", [call["self"]], {"upper": upper, "diagonal": call.number("diagonal", 0)}
        )

    return row


def einsum(call: Call) -> Result:
    """Two operands without repeated letters are a product of matrices."""
    return rows.einsum(call, call.get("equation"), call.tensors("tensors"))


def variance(call: Call) -> Result:
    """var: the mean square of what is left of the mean."""
    correction = call.number("correction", 1.0 if call.number("unbiased", True) else 0.0)
    return rows.reduce_over(
        call, "ReduceVariance", call["self"], call.numbers("dim"), {"correction": float(correction)}
    )


def vector_norm(call: Call) -> Result:
    """norm, linalg_vector_norm: the 2-norm is the root of a sum of squares."""
    order = call.number("ord", call.number("p", 2))
    edge, axes = call["self"], call.numbers("dim")
    if order is None or order == 2:
        return rows.root_of_squares(call, edge, axes)
    return rows.reduce_over(call, "ReduceLp", edge, axes, {"p": float(order)})
