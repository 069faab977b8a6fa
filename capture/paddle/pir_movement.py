"""Rows for PIR operators that move, choose and write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import (
    expand,
    moved,
    plain,
    reshape,
    shape_of,
    transpose,
    view_of,
)
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.paddle.pir_compute import channels_last

__all__ = [
    "along_axis",
    "arg_sort",
    "argument",
    "assign_out",
    "assign_value",
    "broadcast_tensors",
    "channel_shuffle",
    "concat",
    "cumsum",
    "detach",
    "einsum",
    "embedding",
    "expand_to",
    "flip",
    "gather",
    "gather_nd",
    "index_add",
    "index_put",
    "meshgrid",
    "one_hot",
    "pad",
    "pad3d",
    "permuted",
    "put_along_axis",
    "repeat_interleave",
    "roll",
    "set_value",
    "shuffle",
    "slice_",
    "split",
    "stack",
    "strided",
    "strided_slice",
    "tile",
    "top_k",
    "trilu",
    "unbind",
]


# -- movement


def permuted(call: Call) -> Result:
    """transpose: `perm` may name fewer axes than there are; the trailing ones stay where they
    are."""
    order = [int(axis) for axis in call.numbers("perm")]
    return call.transpose(call["x"], [*order, *range(len(order), call.rank(call["x"]))])


def slice_(call: Call) -> Result:
    """Some axes, from starts to ends; the axes of decrease_axis are dropped."""
    edge = call["input"]
    for axis, start, stop in zip(
        call.numbers("axes"), call.numbers("starts"), call.numbers("ends"), strict=True
    ):
        edge = call.slice(edge, axis, int(start), int(stop))
    return call.reshape(edge, call.shape)


def strided_slice(call: Call) -> Result:
    """Some axes with steps; a far negative end means the beginning."""
    edge = call["x"]
    for axis, start, stop, step in zip(
        call.numbers("axes"),
        call.numbers("starts"),
        call.numbers("ends"),
        call.numbers("strides"),
        strict=True,
    ):
        edge = call.take(
            edge, axis, strided(shape_of(edge)[axis], int(start), int(stop), int(step))
        )
    return call.reshape(edge, call.shape)


def strided(extent: int, start: int, stop: int, step: int) -> range:
    """Paddle's bounds as a range: with a negative step a far negative end means the beginning."""
    if step < 0 and stop < -extent:
        return range(extent)[start::step]
    return range(extent)[start:stop:step]


def split(call: Call) -> Result:
    """split, split_with_num: a list of slices."""
    edge = call["x"]
    axis = int(call.number("axis", 0)) % call.rank(edge)
    extent = shape_of(edge)[axis]
    if call.get("num") is not None:
        sizes = [extent // call.number("num")] * call.number("num")
    else:
        sizes = [int(size) for size in call.numbers("sections")]
        rest = extent - sum(size for size in sizes if size >= 0)
        sizes = [rest if size < 0 else size for size in sizes]
    return rows.pieces(call, edge, axis, sizes)


def unbind(call: Call) -> Result:
    """unbind, unstack: every coordinate by itself."""
    edge = call.operand("input") or call["x"]
    return rows.unbound(call, edge, call.number("axis", 0))


def flip(call: Call) -> Result:
    """Axes read backwards."""
    edge = call["x"]
    for axis in call.numbers("axis"):
        edge = call.take(edge, axis, range(shape_of(edge)[axis] - 1, -1, -1))
    return edge


def roll(call: Call) -> Result:
    """Axes rotated; without axes the flat order."""
    edge, shifts, axes = call["x"], call.numbers("shifts"), call.numbers("axis")
    flat = not axes
    if flat:
        edge, axes = reshape(edge, (math.prod(shape_of(edge)),)), (0,)
    for shift, axis in zip(shifts, axes, strict=True):
        extent = shape_of(edge)[axis]
        edge = call.take(edge, axis, [(at - int(shift)) % extent for at in range(extent)])
    return reshape(edge, call.shape) if flat else edge


def repeat_interleave(call: Call) -> Result:
    """Every coordinate several times in a row."""
    edge, times = call["x"], call.number("repeats")
    axis = call.number("axis", 0) % call.rank(edge)
    shape = list(shape_of(edge))
    inner = reshape(edge, [*shape[: axis + 1], 1, *shape[axis + 1 :]])
    return call.reshape(expand(inner, [*shape[: axis + 1], times, *shape[axis + 1 :]]), call.shape)


def shuffle(undo: bool) -> Row:
    """pixel_shuffle and pixel_unshuffle."""

    def row(call: Call) -> Result:
        last = channels_last(call)
        edge = rows.channels_first(call, call["x"], last)
        r = call.number("downscale_factor" if undo else "upscale_factor")
        n, c, h, w = shape_of(edge)
        if undo:
            parts = transpose(reshape(edge, [n, c, h // r, r, w // r, r]), [0, 1, 3, 5, 2, 4])
            shape = (n, c * r * r, h // r, w // r)
        else:
            parts = transpose(reshape(edge, [n, c // (r * r), r, r, h, w]), [0, 1, 4, 2, 5, 3])
            shape = (n, c // (r * r), h * r, w * r)
        return rows.channels_back(call, call.reshape(parts, shape), last)

    return row


def channel_shuffle(call: Call) -> Result:
    """Channels of groups interleaved."""
    last = channels_last(call)
    edge, groups = rows.channels_first(call, call["x"], last), call.number("groups")
    n, c, *rest = shape_of(edge)
    mixed = call.swap(reshape(edge, [n, groups, c // groups, *rest]), 1, 2)
    return rows.channels_back(call, call.reshape(mixed, (n, c, *rest)), last)


def concat(call: Call) -> Result:
    """concat: the axis is an operand."""
    return rows.concat(call, call.tensors("x"), int(call.number("axis", 0)))


def stack(call: Call) -> Result:
    """stack."""
    return rows.stack(call, call.tensors("x"), int(call.number("axis", 0)))


def pad(call: Call) -> Result:
    """pad: pairs from the first axis on."""
    flat = [int(width) for width in call.numbers("paddings")]
    return rows.pad(
        call,
        call["x"],
        list(zip(flat[::2], flat[1::2], strict=True)),
        "constant",
        call.number("pad_value", 0.0),
    )


def pad3d(call: Call) -> Result:
    """pad3d: pairs from the innermost spatial axis outwards, in the layout's order."""
    edge = call["x"]
    flat = [int(width) for width in call.numbers("paddings")]
    rank = call.rank(edge)
    widths = [(0, 0)] * rank
    inner = rank - 2 if channels_last(call) else rank - 1
    for place in range(len(flat) // 2):
        widths[inner - place] = (flat[2 * place], flat[2 * place + 1])
    mode = str(call.get("mode", "constant"))
    return rows.pad(
        call,
        edge,
        widths,
        mode if mode in PAD_MODES else "constant",
        call.number("pad_value", 0.0),
    )


PAD_MODES = ("replicate", "reflect", "circular")
"""Ways to pad that have the same name in the normal form; all else is padding by a number."""


def expand_to(operand: str) -> Row:
    """expand, expand_as, broadcast_to: the native result's shape decides."""

    def row(call: Call) -> Result:
        return call.expand(call[operand], call.shape)

    return row


def broadcast_tensors(call: Call) -> Result:
    """Every member in the common shape."""
    tensors = call.tensors("input")
    shape = np.broadcast_shapes(*(shape_of(edge) for edge in tensors))
    return [call.expand(edge, shape) for edge in tensors]


def tile(call: Call) -> Result:
    """Whole copies along each axis."""
    return rows.tiled(call, call["x"], call.numbers("repeat_times"))


def meshgrid(call: Call) -> Result:
    """Every tensor expanded along the axes of the others."""
    tensors = call.tensors("inputs")
    shape = tuple(math.prod(shape_of(edge)) for edge in tensors)
    results: list[Edge | None] = []
    for axis, edge in enumerate(tensors):
        alone = [1] * len(shape)
        alone[axis] = shape[axis]
        results.append(call.expand(reshape(edge, alone), shape))
    return results


def detach(call: Call) -> Result:
    """share_data_: no gradient passes where the capture says so (mark "no_grad")."""
    return call.touch(call["x"])


# -- selection


def embedding(call: Call) -> Result:
    """Rows of a table; padding_idx -1 is none."""
    return rows.lookup(call, call["weight"], call["x"], call.number("padding_idx", -1))


def gather(call: Call) -> Result:
    """gather, index_select: rows of an axis. A gather's index has one axis, or one more of one
    element."""
    edge, index = call["x"], call["index"]
    axis = int(call.number("axis", 0))
    if call.rank(index) == 2 and shape_of(index)[1] == 1:
        index = reshape(index, shape_of(index)[:1])
    return rows.gather(call, edge, index, axis)


def gather_nd(call: Call) -> Result:
    """x[index[..., 0], index[..., 1], ...]; a single known column is a gather."""
    edge, index = call["x"], call["index"]
    depth = shape_of(index)[-1]
    if depth == 1:
        return rows.gather(call, edge, reshape(index, shape_of(index)[:-1]), 0)
    known = call.known(index)
    if known is not None:
        return rows.known_index(call, edge, 0, [known[..., at] for at in range(depth)])
    columns = _joined_columns(call, index)
    if columns:
        return call.draft("Index", [edge, *columns], {"axes": tuple(range(depth))})
    return call.draft("GatherND", [edge, index])


def _joined_columns(call: Call, index: Edge) -> list[Edge]:
    """The columns that an index was put together from, none where it was not."""
    joined = call.builder.source(index)
    last = call.rank(index) - 1
    if joined.op != "Concat" or joined.attrs["axis"] != last or not plain(index):
        return []
    columns = []
    for part in joined.inputs:
        if part is None:
            continue
        if shape_of(part)[-1] != 1:
            return []
        column = view_of(part).reshape(shape_of(part)[:-1])
        columns.append(moved(part, column, *joined.native))
    return columns


def along_axis(call: Call) -> Result:
    """take_along_axis."""
    return call.draft(
        "GatherElements",
        [call["arr"], call["indices"]],
        {"axis": call.number("axis") % call.rank(call["arr"])},
    )


def put_along_axis(call: Call) -> Result:
    """put_along_axis."""
    reduction = REDUCTIONS.get(str(call.get("reduce", "assign")))
    if reduction is None:
        raise Unsupported("a reduction without a common name")
    return call.draft(
        "ScatterElements",
        [call["arr"], call["indices"], call["values"]],
        {"axis": call.number("axis") % call.rank(call["arr"]), "reduction": reduction},
    )


REDUCTIONS = {"assign": "none", "add": "add", "mul": "mul", "multiply": "mul"}
"""How values are put -> the normal form's name for it."""


def index_put(call: Call) -> Result:
    """x[i, j] = values."""
    indices = call.tensors("indices")
    return call.draft(
        "IndexPut",
        [call["x"], call["value"], *indices],
        {"axes": tuple(range(len(indices))), "accumulate": bool(call.get("accumulate", False))},
    )


def index_add(call: Call) -> Result:
    """Rows of an axis added to."""
    axis = call.number("axis", 0) % call.rank(call["x"])
    if axis != 0:
        raise Unsupported("index_add along another axis than the first")
    return call.draft(
        "IndexPut",
        [call["x"], call["add_value"], call["index"]],
        {"axes": (axis,), "accumulate": True},
    )


def set_value(call: Call) -> Result:
    """x[a:b:c] = values: nested Concat where steps are one."""
    edge = call["x"]
    if any(int(step) != 1 for step in call.numbers("steps")):
        raise Unsupported("a slice with steps is written")
    box = []
    region = list(shape_of(edge))
    for axis, start, stop in zip(
        call.numbers("axes"), call.numbers("starts"), call.numbers("ends"), strict=True
    ):
        place = int(axis) % call.rank(edge)
        chosen = range(shape_of(edge)[place])[int(start) : int(stop)]
        box.append((place, chosen.start, max(chosen.stop, chosen.start)))
        region[place] = len(chosen)
    dropped = {int(axis) % call.rank(edge) for axis in call.numbers("decrease_axes")}
    kept = [extent for axis, extent in enumerate(region) if axis not in dropped]
    values = call.operand("values")
    if values is None:
        values = _spelled_out(call)
    if call.rank(values) <= len(kept):
        values = expand(values, kept)
    elif math.prod(shape_of(values)) == math.prod(kept):
        values = reshape(values, kept)
    else:
        raise Unsupported("values of more axes than the slice")
    return rows.assign_box(call, edge, box, reshape(values, region))


def _spelled_out(call: Call) -> Edge:
    """The numbers that a set_value holds as attributes."""
    numbers = _numbers(call)
    shape = call.numbers("shape") or numbers.shape
    whole = numbers.size == math.prod(shape)
    return call.constant(
        numbers.reshape(shape) if whole else numbers.reshape(-1)[:1], call.type().dtype
    )


def _numbers(call: Call) -> np.ndarray[Any, Any]:
    """The attribute `values`; members may be PIR's scalars."""
    return np.asarray([getattr(number, "value", number) for number in call.numbers("values")])


def assign_value(call: Call) -> Result:
    """Numbers written into a tensor that stands ready."""
    return call.constant(_numbers(call).reshape(call.shape), call.type().dtype)


def assign_out(call: Call) -> Result:
    """assign_out_(x, output): the result is x."""
    return call.touch(call["x"])


def argument(op: str) -> Row:
    """argmax, argmin."""

    def row(call: Call) -> Result:
        edge = call["x"]
        axis = int(call.number("axis", -1))
        if call.get("flatten", False):
            edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
        return rows.argument(call, op, edge, axis)

    return row


def cumsum(call: Call) -> Result:
    """Running sum; `flatten` runs over the flat order."""
    edge, axis = call["x"], int(call.number("axis", -1))
    if call.get("flatten", False):
        edge, axis = reshape(edge, (math.prod(shape_of(edge)),)), 0
    return rows.on_axis(
        call,
        "CumSum",
        edge,
        axis,
        {
            "exclusive": bool(call.get("exclusive", False)),
            "reverse": bool(call.get("reverse", False)),
        },
    )


def top_k(call: Call) -> Result:
    """Largest or smallest values and where they stand."""
    return rows.on_axis(
        call,
        "TopK",
        call["x"],
        call.number("axis", -1),
        {"k": int(call.number("k")), "largest": bool(call.get("largest", True))},
        2,
    )


def arg_sort(call: Call) -> Result:
    """Sorted values and where they stood."""
    return rows.on_axis(
        call,
        "Sort",
        call["x"],
        call.number("axis", -1),
        {"descending": bool(call.get("descending", False))},
        2,
    )


def trilu(upper: bool) -> Row:
    """tril, triu."""

    def row(call: Call) -> Result:
        return call.draft(
            "Trilu", [call["x"]], {"upper": upper, "diagonal": call.number("diagonal", 0)}
        )

    return row


def einsum(call: Call) -> Result:
    """Two operands without repeated letters are a product of matrices."""
    return [rows.einsum(call, call.get("equation"), call.tensors("x"))]


def one_hot(call: Call) -> Result:
    """one_hot."""
    return call.draft("OneHot", [call["x"]], {"depth": call.shape[-1]})
