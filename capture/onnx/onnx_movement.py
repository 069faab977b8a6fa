"""Rows for ONNX operators that move, choose and write."""

from __future__ import annotations

import math

import numpy as np

from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import reshape, shape_of, transpose

__all__ = [
    "concat",
    "depth_to_space",
    "expand_to",
    "flat",
    "gather",
    "gather_elements",
    "gather_nd",
    "pad",
    "permute",
    "scatter_elements",
    "scatter_nd",
    "shape_of_operand",
    "size_of_operand",
    "slices",
    "space_to_depth",
    "split",
    "tile",
    "trilu",
]


PAD_MODES = {"edge": "replicate", "wrap": "circular"}
"""ONNX's pad modes that have another name in torch, which the normal form has."""


# -- movement


def flat(operand: str) -> Row:
    """Reshape, Flatten, Squeeze, Unsqueeze: the native result's shape decides."""

    def row(call: Call) -> Result:
        return call.reshape(call[operand], call.shape)

    return row


def permute(call: Call) -> Result:
    """Transpose; without an order all axes reversed."""
    edge = call["data"]
    return call.transpose(edge, call.numbers("perm") or tuple(range(call.rank(edge)))[::-1])


def slices(call: Call) -> Result:
    """Slice; attributes before opset 10."""
    edge = call["data"]
    starts, ends = call.numbers("starts"), call.numbers("ends")
    axes = call.numbers("axes") or tuple(range(len(starts)))
    steps = call.numbers("steps") or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        extent = shape_of(edge)[axis]
        stop: int | None = int(end)
        if step < 0 and end < -extent:
            stop = None  # a Python slice would count it from the end
        coordinates = range(extent)[slice(int(start), stop, int(step))]
        edge = call.take(edge, axis % call.rank(edge), coordinates)
    return edge


def split(call: Call) -> Result:
    """Split: sizes are those of the native results."""
    axis = call.number("axis", 0) % call.rank(call["input"])
    return rows.pieces(
        call,
        call["input"],
        axis,
        [call.type(output).shape[axis] for output in range(len(call.record.outputs))],
    )


def concat(call: Call) -> Result:
    """Concat."""
    return rows.concat(call, call.tensors("inputs"), call.number("axis"))


def expand_to(call: Call) -> Result:
    """Expand: the native result's shape decides."""
    return call.expand(call["input"], call.shape)


def tile(call: Call) -> Result:
    """Whole copies along each axis."""
    return rows.tiled(call, call["input"], call.numbers("repeats"))


def pad(call: Call) -> Result:
    """All beginnings, then all ends; of the named axes only, where some are named."""
    edge = call["data"]
    rank = call.rank(edge)
    pads = [int(width) for width in call.numbers("pads")]
    axes = [int(axis) % rank for axis in call.numbers("axes")] or list(range(rank))
    widths = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        widths[axis] = (pads[place], pads[place + len(axes)])
    mode = str(call.get("mode", "constant"))
    value = float(call.number("constant_value", call.number("value", 0.0)) or 0.0)
    return rows.pad(call, edge, widths, PAD_MODES.get(mode, mode), value)


def depth_to_space(call: Call) -> Result:
    """DepthToSpace: DCR blocks stand before channels, CRD behind them."""
    edge, r = call["input"], call.number("blocksize")
    n, c, h, w = shape_of(edge)
    channels = c // (r * r)
    if call.get("mode", "DCR") == "DCR":
        parts, order = reshape(edge, [n, r, r, channels, h, w]), [0, 3, 4, 1, 5, 2]
    else:
        parts, order = reshape(edge, [n, channels, r, r, h, w]), [0, 1, 4, 2, 5, 3]
    return call.reshape(transpose(parts, order), call.shape)


def space_to_depth(call: Call) -> Result:
    """SpaceToDepth: blocks stand before channels."""
    edge, r = call["input"], call.number("blocksize")
    n, c, h, w = shape_of(edge)
    parts = reshape(edge, [n, c, h // r, r, w // r, r])
    return call.reshape(transpose(parts, [0, 3, 5, 1, 2, 4]), call.shape)


# -- selection


def gather(call: Call) -> Result:
    """Rows of an axis."""
    return rows.gather(call, call["data"], call["indices"], call.number("axis", 0))


def gather_elements(call: Call) -> Result:
    """GatherElements."""
    axis = call.number("axis", 0) % call.rank(call["data"])
    return call.draft("GatherElements", [call["data"], call["indices"]], {"axis": axis})


def gather_nd(call: Call) -> Result:
    """GatherND without batch axes."""
    if call.number("batch_dims", 0):
        raise Unsupported("batch_dims")
    return call.draft("GatherND", [call["data"], call["indices"]])


def scatter_nd(call: Call) -> Result:
    """ScatterND."""
    return call.draft(
        "ScatterND",
        [call["data"], call["indices"], call["updates"]],
        {"reduction": call.get("reduction", "none")},
    )


def scatter_elements(call: Call) -> Result:
    """ScatterElements."""
    axis = call.number("axis", 0) % call.rank(call["data"])
    attrs = {"axis": axis, "reduction": call.get("reduction", "none")}
    return call.draft("ScatterElements", [call["data"], call["indices"], call["updates"]], attrs)


def trilu(call: Call) -> Result:
    """Trilu."""
    attrs = {"upper": bool(call.number("upper", 1)), "diagonal": int(call.number("k", 0) or 0)}
    return call.draft("Trilu", [call["input"]], attrs)


# -- shapes


def shape_of_operand(call: Call) -> Result:
    """Shape: what the operand's type says, all of it or a part."""
    shape = shape_of(call["data"])
    part = shape[call.number("start", 0) or 0 : call.get("end")]
    return call.constant(np.asarray(part, np.int64))


def size_of_operand(call: Call) -> Result:
    """Size: what the operand's type says."""
    return call.constant(np.asarray(math.prod(shape_of(call["data"])), np.int64))
