"""Convolution, pooling, resizing: what looks at a window of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.call import Call, Result, Unsupported
from padiff_graph.capture.normal.edges import reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "adaptive_pool",
    "both_sides",
    "channels_back",
    "channels_first",
    "convolution",
    "image",
    "patches",
    "per_axis",
    "pool",
    "resize",
    "same_pads",
    "spatial",
]

UNSCALED = 1e-6
"""Distance from one within which a factor is one: chosen above float32's rounding of a ratio of
sizes."""
RATIO = 1e-4
"""Relative distance within which a factor is the ratio of the sizes: chosen so that one rounded in
a model's code is, and one that another size was rounded from is not."""


def per_axis(value: Any, count: int) -> tuple[int, ...]:
    """One number for each spatial axis."""
    values = tuple(int(v) for v in value) if isinstance(value, (tuple, list)) else (int(value),)
    return values * count if len(values) == 1 else values


def same_pads(
    extents: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    """Pads so that the output has ceil(input / stride) elements; the odd one goes to the end."""
    total = []
    for extent, size, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        total.append(
            max((-(-extent // stride) - 1) * stride + dilation * (size - 1) + 1 - extent, 0)
        )
    return (*(count // 2 for count in total), *(count - count // 2 for count in total))


def both_sides(pads: Sequence[int], count: int) -> tuple[int, ...]:
    """ONNX's pads from one number an axis, or from (begin, end) pairs one axis after the other."""
    pads = tuple(int(pad) for pad in pads)
    if len(pads) == 1:
        pads *= count
    if len(pads) == count:
        return (*pads, *pads)
    if len(pads) == 2 * count:
        return (*pads[::2], *pads[1::2])
    raise Unsupported(f"{len(pads)} pads for {count} axes")


def channels_first(call: Call, edge: Edge, channels_last: bool) -> Edge:
    """[N, ..., C] as [N, C, ...]."""
    rank = call.rank(edge)
    return transpose(edge, [0, rank - 1, *range(1, rank - 1)]) if channels_last else edge


def channels_back(call: Call, edge: Edge, channels_last: bool) -> Edge:
    """[N, C, ...] as [N, ..., C]."""
    rank = call.rank(edge)
    return transpose(edge, [0, *range(2, rank), 1]) if channels_last else edge


def convolution(
    call: Call,
    x: Edge,
    weight: Edge,
    bias: Edge | None,
    *,
    strides: Any,
    pads: Any,
    dilations: Any,
    group: int,
    transposed: bool = False,
    output_padding: Any = 0,
    channels_last: bool = False,
) -> Edge:
    """Conv or ConvTranspose. `pads`: numbers, "SAME" or "VALID"."""
    count = call.rank(weight) - 2
    x = channels_first(call, x, channels_last)
    shape = _first(call.shape, channels_last)
    unbatched = call.rank(x) == count + 1
    if unbatched:
        x, shape = reshape(x, (1, *shape_of(x))), (1, *shape)
    kernel, extents = shape_of(weight)[2:], shape_of(x)[2:]
    strides, dilations = per_axis(strides, count), per_axis(dilations, count)
    pads = _numbers(pads, extents, kernel, strides, dilations)
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "group": int(group)}
    if transposed:
        windows = zip(kernel, strides, dilations, pads[:count], pads[count:], strict=True)
        # What the result has beyond the formula, whether it was asked for as output padding or as
        # output size.
        attrs["output_padding"] = tuple(
            out - _spread(extent, *window)
            for extent, out, window in zip(extents, shape[2:], windows, strict=True)
        )
    kind = TensorType(shape, call.type().dtype)
    result = call.draft("ConvTranspose" if transposed else "Conv", [x, weight], attrs, kind)
    if bias is not None:
        along = reshape(bias, (1, shape[1]) + (1,) * count)
        result = call.draft("Add", [result, along], None, kind)
    if unbatched:
        result = reshape(result, shape[1:])
    return channels_back(call, result, channels_last)


def _first(shape: tuple[int, ...], channels_last: bool) -> tuple[int, ...]:
    """The extents of [N, ..., C] as [N, C, ...]."""
    return (shape[0], shape[-1], *shape[1:-1]) if channels_last else shape


def _numbers(
    pads: Any,
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, ...]:
    """ONNX's pads from numbers, "SAME" or "VALID"."""
    if not isinstance(pads, str):
        return both_sides(pads, len(kernel))
    if pads.upper() == "SAME":
        return same_pads(extents, kernel, strides, dilations)
    return (0,) * (2 * len(kernel))


def _spread(extent: int, size: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Extent of a transposed convolution's result by its formula."""
    return (extent - 1) * stride - before - after + dilation * (size - 1) + 1


def pool(
    call: Call,
    x: Edge,
    kind: str,
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Any,
    ceil_mode: bool,
    count_include_pad: bool = True,
    dilations: Sequence[int] | int = 1,
    divisor: int | None = None,
    channels_last: bool = False,
    results: int = 1,
) -> Result:
    """MaxPool or AveragePool over the trailing axes; a window over everything is a reduction."""
    x = channels_first(call, x, channels_last)
    count = len(kernel)
    extents = shape_of(x)[call.rank(x) - count :]
    kernel, strides, dilations = tuple(kernel), per_axis(strides, count), per_axis(dilations, count)
    pads = _numbers(pads, extents, kernel, strides, dilations)
    attrs: dict[str, Any] = {"strides": strides, "pads": pads, "ceil_mode": bool(ceil_mode)}
    if kind == "MaxPool":
        attrs["dilations"] = dilations
    else:
        attrs["count_include_pad"] = bool(count_include_pad) and any(pads)
        attrs["divisor"] = divisor
    simple = results == 1 and not any(pads)
    if simple and kernel == extents and divisor is None and dilations == (1,) * count:
        whole = spatial(call, x, WHOLE[kind], count)
        return channels_back(call, whole, channels_last)
    if simple and kernel == strides == (1,) * count:
        return channels_back(call, call.touch(x), channels_last)
    attrs = {"kernel_shape": kernel, **attrs}
    shapes = [_first(call.type(output).shape, channels_last) for output in range(results)]
    return _pooled(call, kind, x, attrs, shapes, channels_last)


WHOLE = {"AveragePool": "ReduceMean", "MaxPool": "ReduceMax"}
"""The reduction that a pooling is whose window covers everything."""


def _pooled(
    call: Call,
    kind: str,
    x: Edge,
    attrs: dict[str, Any],
    shapes: Sequence[tuple[int, ...]],
    channels_last: bool,
) -> Result:
    """The pooling without the axes that are none: of one element under a window of one."""
    count = len(attrs["kernel_shape"])
    lead = call.rank(x) - count
    extents, pads = shape_of(x)[lead:], attrs["pads"]
    kept = [
        at
        for at in range(count)
        if not extents[at] == attrs["kernel_shape"][at] == 1 or pads[at] or pads[count + at]
    ]
    if len(shapes) > 1 or not kept:
        kept = list(range(count))  # indices count all axes

    def fewer(shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:lead], *(shape[lead + at] for at in kept))

    told = dict(attrs)
    for name in ("kernel_shape", "strides", "dilations"):
        if name in attrs:
            told[name] = tuple(attrs[name][at] for at in kept)
    told["pads"] = tuple(pads[side + at] for side in (0, count) for at in kept)
    types = [
        TensorType(fewer(shape), call.type(output).dtype) for output, shape in enumerate(shapes)
    ]
    pooled = call.results(kind, [reshape(x, fewer(shape_of(x)))], told, *types)
    return [
        channels_back(call, reshape(edge, shape), channels_last)
        for edge, shape in zip(pooled, shapes, strict=True)
    ]


def patches(call: Call, x: Edge, attrs: dict[str, Any]) -> Result:
    """Im2Col. Windows side by side, none over another, are movement."""
    count, kernel, extents = len(attrs["kernel_shape"]), attrs["kernel_shape"], shape_of(x)[2:]
    if call.rank(x) != 2 + count or not _tiles(attrs, extents):
        return call.draft("Im2Col", [x], attrs)
    windows = [
        part
        for extent, size in zip(extents, kernel, strict=True)
        for part in (extent // size, size)
    ]
    split = reshape(x, (*shape_of(x)[:2], *windows))
    order = (0, 1, *(3 + 2 * at for at in range(count)), *(2 + 2 * at for at in range(count)))
    return reshape(transpose(call.touch(split), order), call.shape)


def image(call: Call, x: Edge, attrs: dict[str, Any]) -> Result:
    """Col2Im, the way back."""
    count, kernel, extents = len(attrs["kernel_shape"]), attrs["kernel_shape"], attrs["output_size"]
    if call.rank(x) != 3 or not _tiles(attrs, extents):
        return call.draft("Col2Im", [x], attrs)
    batch, features = shape_of(x)[0], shape_of(x)[1] // math.prod(kernel)
    counts = [extent // size for extent, size in zip(extents, kernel, strict=True)]
    split = reshape(x, (batch, features, *kernel, *counts))
    order = (0, 1, *(axis for at in range(count) for axis in (2 + count + at, 2 + at)))
    return reshape(transpose(call.touch(split), order), call.shape)


def _tiles(attrs: dict[str, Any], extents: Sequence[int]) -> bool:
    """Whether windows cover an image edge to edge."""
    kernel = attrs["kernel_shape"]
    if attrs["strides"] != kernel or any(attrs["pads"]):
        return False
    if any(step != 1 != size for step, size in zip(attrs["dilations"], kernel, strict=True)):
        return False
    return all(extent % size == 0 for extent, size in zip(extents, kernel, strict=True))


def adaptive_pool(
    call: Call,
    x: Edge,
    kind: str,
    output_size: Sequence[int | None],
    *,
    channels_last: bool = False,
    results: int = 1,
) -> Result:
    """Adaptive pooling: a reduction to one element, an ordinary pooling where sizes divide, else
    its own operator."""
    x = channels_first(call, x, channels_last)
    count = len(output_size)
    lead = call.rank(x) - count
    extents = shape_of(x)[lead:]
    sizes = tuple(
        extent if size is None or size < 0 else int(size)
        for size, extent in zip(output_size, extents, strict=True)
    )
    if results == 1 and sizes == extents:
        return channels_back(call, call.touch(x), channels_last)
    if results == 1 and sizes == (1,) * count:
        return channels_back(call, spatial(call, x, WHOLE[kind], count), channels_last)
    if all(extent % size == 0 for extent, size in zip(extents, sizes, strict=True)):
        kernel = [extent // size for extent, size in zip(extents, sizes, strict=True)]
        return pool(
            call,
            channels_back(call, x, channels_last),
            kind,
            kernel=kernel,
            strides=kernel,
            pads=(0,) * count,
            ceil_mode=False,
            channels_last=channels_last,
            results=results,
        )
    if results > 1:
        raise Unsupported("adaptive pooling that returns indices")
    shape = (*shape_of(x)[:lead], *sizes)
    op = "AdaptiveAveragePool" if kind == "AveragePool" else "AdaptiveMaxPool"
    pooled = call.draft(op, [x], {"output_size": sizes}, TensorType(shape, call.type().dtype))
    return channels_back(call, pooled, channels_last)


def spatial(call: Call, x: Edge, op: str, count: int) -> Edge:
    """A reduction over the last `count` axes, kept as axes of one element."""
    lead = shape_of(x)[: call.rank(x) - count]
    reduced = call.draft(
        op,
        [reshape(x, (*lead, math.prod(shape_of(x)[len(lead) :])))],
        {"axes": tuple(range(-count, 0))},
        TensorType(lead, call.type().dtype),
    )
    return reshape(reduced, (*lead, *(1,) * count))


def resize(
    call: Call,
    x: Edge,
    mode: str,
    coordinates: str,
    scales: Sequence[float] | None,
    *,
    channels_last: bool = False,
) -> Edge:
    """Resize of the spatial axes to those of the native result.

    `scales`: the factors that coordinates are computed with; told only where they are not the ratio
    of the sizes.
    """
    x = channels_first(call, x, channels_last)
    shape = _first(call.shape, channels_last)
    sizes, extents = shape[2:], shape_of(x)[2:]
    if sizes == extents and all(abs(scale - 1.0) < UNSCALED for scale in scales or ()):
        return channels_back(call, call.touch(x), channels_last)
    attrs: dict[str, Any] = {"mode": mode, "coordinates": coordinates, "sizes": tuple(sizes)}
    told = bool(scales) and coordinates != "align_corners"
    attrs["scales"] = _told(scales or (), extents, sizes) if told else None
    resized = call.draft("Resize", [x], attrs, TensorType(shape, call.type().dtype))
    return channels_back(call, resized, channels_last)


def _told(
    scales: Sequence[float], extents: Sequence[int], sizes: Sequence[int]
) -> tuple[float, ...] | None:
    """The factors, one for each axis; None where they are the ratio of the sizes."""
    factors = tuple(float(scale) for scale in scales)
    if len(factors) == 1:
        factors *= len(sizes)
    for factor, extent, size in zip(factors, extents, sizes, strict=True):
        if abs(factor * extent - size) > RATIO * size:
            return factors
    return None
