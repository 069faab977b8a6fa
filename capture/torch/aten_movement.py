"""Rows for ATen operators that put the same numbers elsewhere."""

from __future__ import annotations

import math

from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result
from padiff_graph.capture.normal.edges import expand, reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "broadcast_tensors",
    "channel_shuffle",
    "concat",
    "copy",
    "detach",
    "expand_to",
    "fill",
    "flip",
    "meshgrid",
    "move_axes",
    "narrow",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "repeat",
    "repeat_interleave",
    "reversed_axes",
    "roll",
    "select",
    "slice_",
    "split",
    "stack",
    "transpose_pair",
    "unbind",
]


# -- axes


def transpose_pair(call: Call) -> Result:
    """transpose(dim0, dim1), swapaxes, t, mT."""
    edge = call["self"]
    if call.rank(edge) < 2:
        return call.touch(edge)
    first = call.number("dim0", call.number("axis0", -2))
    second = call.number("dim1", call.number("axis1", -1))
    return call.swap(edge, first, second)


def permute(call: Call) -> Result:
    """Axes in another order."""
    return call.transpose(call["self"], call.numbers("dims"))


def reversed_axes(call: Call) -> Result:
    """numpy_T: all axes reversed."""
    return call.transpose(call["self"], list(range(call.rank(call["self"])))[::-1])


def move_axes(call: Call) -> Result:
    """movedim."""
    rank = call.rank(call["self"])
    moved = [axis % rank for axis in call.numbers("source")]
    targets = [axis % rank for axis in call.numbers("destination")]
    order = [axis for axis in range(rank) if axis not in moved]
    for target, axis in sorted(zip(targets, moved, strict=True)):
        order.insert(target, axis)
    return call.transpose(call["self"], order)


# -- parts


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
    """`length` coordinates from `start`, which may count from the end."""
    start, axis = call.number("start"), call.number("dim")
    if start < 0:
        start += shape_of(call["self"])[axis]
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


# -- order


def flip(call: Call) -> Result:
    """Axes read backwards."""
    edge = call["self"]
    for axis in call.numbers("dims"):
        edge = call.take(edge, axis, range(shape_of(edge)[axis] - 1, -1, -1))
    return edge


def roll(call: Call) -> Result:
    """Axes rotated; without axes the flat order."""
    edge, shifts, dims = call["self"], call.numbers("shifts"), call.numbers("dims")
    if not dims:
        flat = reshape(edge, (math.prod(shape_of(edge)),))
        return reshape(_rotated(call, flat, 0, shifts[0]), call.shape)
    for shift, axis in zip(shifts, dims, strict=True):
        edge = _rotated(call, edge, axis, shift)
    return edge


def _rotated(call: Call, edge: Edge, axis: int, shift: int) -> Edge:
    extent = shape_of(edge)[axis]
    return call.take(edge, axis, [(at - shift) % extent for at in range(extent)])


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


# -- copies and joins


def expand_to(call: Call) -> Result:
    """expand, expand_as, broadcast_to: the native result's shape decides."""
    return call.expand(call["self"], call.shape)


def repeat(call: Call) -> Result:
    """Whole copies along each axis."""
    return rows.tiled(call, call["self"], call.numbers("repeats") or call.numbers("dims"))


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


def meshgrid(call: Call) -> Result:
    """Every tensor expanded along the axes of the others."""
    tensors = call.tensors("tensors")
    axes = list(range(len(tensors)))
    if call.get("indexing", "ij") == "xy" and len(tensors) > 1:
        axes[:2] = [1, 0]
    grids: list[Edge | None] = []
    for place, edge in enumerate(tensors):
        shape = call.type(place).shape
        aligned = [1] * len(shape)
        aligned[axes[place]] = shape[axes[place]]
        grids.append(call.expand(reshape(edge, aligned), shape))
    return grids


def broadcast_tensors(call: Call) -> Result:
    """Every member in the common shape."""
    tensors = call.tensors("tensors")
    return [call.expand(edge, call.type(place).shape) for place, edge in enumerate(tensors)]


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


# -- handed on


def copy(call: Call) -> Result:
    """copy_: the source, in the target's shape and type."""
    return call.expand(call["src"], call.shape)


def fill(call: Call) -> Result:
    """fill_: one number, in the target's shape and type."""
    edge = call.operand("value") or call.constant(call.number("value"), call.type().dtype)
    return call.expand(edge, call.shape)


def detach(call: Call) -> Result:
    """No gradient passes."""
    return call.builder.detach(call.touch(call["self"]), call.record)
