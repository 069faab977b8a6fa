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
    unbatched = call.rank(x) == count + 1
    if unbatched:
        x = reshape(x, (1, *shape_of(x)))
    strides, dilations = per_axis(strides, count), per_axis(dilations, count)
    kernel, extents = shape_of(weight)[2:], shape_of(x)[2:]
    if isinstance(pads, str):
        pads = (
            same_pads(extents, kernel, strides, dilations)
            if pads.upper() == "SAME"
            else (0,) * (2 * count)
        )
    else:
        pads = both_sides(pads, count)
    shape = call.shape
    if channels_last:
        shape = (shape[0], shape[-1], *shape[1:-1])
    if unbatched:
        shape = (1, *shape)
    attrs: dict[str, Any] = {
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "group": int(group),
    }
    if transposed:
        spread = zip(
            extents, shape[2:], kernel, strides, dilations, pads[:count], pads[count:], strict=True
        )
        # What the result has beyond the formula, whether it was asked for as output padding or as output size.
        attrs["output_padding"] = tuple(
            out - ((extent - 1) * stride - before - after + dilation * (size - 1) + 1)
            for extent, out, size, stride, dilation, before, after in spread
        )
    result = call.draft(
        "ConvTranspose" if transposed else "Conv",
        [x, weight],
        attrs,
        TensorType(shape, call.type().dtype),
    )
    if bias is not None:
        along = reshape(bias, (1, shape[1]) + (1,) * count)
        result = call.draft("Add", [result, along], None, TensorType(shape, call.type().dtype))
    if unbatched:
        result = reshape(result, shape[1:])
    return channels_back(call, result, channels_last)


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
    lead = call.rank(x) - count
    extents = shape_of(x)[lead:]
    kernel, strides, dilations = tuple(kernel), per_axis(strides, count), per_axis(dilations, count)
    if isinstance(pads, str):
        pads = (
            same_pads(extents, kernel, strides, dilations)
            if pads.upper() == "SAME"
            else (0,) * (2 * count)
        )
    else:
        pads = both_sides(pads, count)
    if (
        results == 1
        and kernel == extents
        and not any(pads)
        and divisor is None
        and dilations == (1,) * count
    ):
        return channels_back(
            call,
            spatial(call, x, "ReduceMean" if kind == "AveragePool" else "ReduceMax", count),
            channels_last,
        )
    if kernel == (1,) * count and strides == (1,) * count and not any(pads) and results == 1:
        return channels_back(call, call.touch(x), channels_last)
    shapes = [call.type(output).shape for output in range(results)]
    shapes = [(shape[0], shape[-1], *shape[1:-1]) if channels_last else shape for shape in shapes]
    # an axis of one element under a window of one is no axis: pooling of one axis said with two
    kept = [
        at
        for at in range(count)
        if not (extents[at] == kernel[at] == 1 and pads[at] == pads[count + at] == 0)
    ]
    kept = kept if results == 1 and kept else list(range(count))

    def fewer(shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:lead], *(shape[lead + at] for at in kept))

    attrs: dict[str, Any] = {
        "kernel_shape": tuple(kernel[at] for at in kept),
        "strides": tuple(strides[at] for at in kept),
        "pads": (*(pads[at] for at in kept), *(pads[count + at] for at in kept)),
        "ceil_mode": bool(ceil_mode),
    }
    if kind == "MaxPool":
        attrs["dilations"] = tuple(dilations[at] for at in kept)
    else:
        attrs["count_include_pad"] = bool(count_include_pad) and any(pads)
        attrs["divisor"] = divisor
    types = [
        TensorType(fewer(shape), call.type(output).dtype) for output, shape in enumerate(shapes)
    ]
    pooled = call.results(kind, [reshape(x, fewer(shape_of(x)))], attrs, *types)
    return [
        channels_back(call, reshape(edge, shape), channels_last)
        for edge, shape in zip(pooled, shapes, strict=True)
    ]


def patches(call: Call, x: Edge, attrs: dict[str, Any]) -> Result:
    """Im2Col. Windows side by side, none over another, are movement."""
    count, kernel, extents = len(attrs["kernel_shape"]), attrs["kernel_shape"], shape_of(x)[2:]
    if call.rank(x) != 2 + count or not _tiles(attrs, extents):
        return call.draft("Im2Col", [x], attrs)
    split = reshape(
        x,
        (
            *shape_of(x)[:2],
            *(
                part
                for extent, size in zip(extents, kernel, strict=True)
                for part in (extent // size, size)
            ),
        ),
    )
    order = (0, 1, *(3 + 2 * at for at in range(count)), *(2 + 2 * at for at in range(count)))
    return reshape(transpose(call.touch(split), order), call.shape)


def image(call: Call, x: Edge, attrs: dict[str, Any]) -> Result:
    """Col2Im, the way back."""
    count, kernel, extents = len(attrs["kernel_shape"]), attrs["kernel_shape"], attrs["output_size"]
    if call.rank(x) != 3 or not _tiles(attrs, extents):
        return call.draft("Col2Im", [x], attrs)
    batch, features = shape_of(x)[0], shape_of(x)[1] // math.prod(kernel)
    split = reshape(
        x,
        (
            batch,
            features,
            *kernel,
            *(extent // size for extent, size in zip(extents, kernel, strict=True)),
        ),
    )
    order = (0, 1, *(axis for at in range(count) for axis in (2 + count + at, 2 + at)))
    return reshape(transpose(call.touch(split), order), call.shape)


def _tiles(attrs: dict[str, Any], extents: Sequence[int]) -> bool:
    """Whether windows cover an image edge to edge."""
    kernel = attrs["kernel_shape"]
    plain = (
        attrs["strides"] == kernel
        and not any(attrs["pads"])
        and all(
            step == 1 or size == 1 for step, size in zip(attrs["dilations"], kernel, strict=True)
        )
    )
    return plain and all(extent % size == 0 for extent, size in zip(extents, kernel, strict=True))


def adaptive_pool(
    call: Call,
    x: Edge,
    kind: str,
    output_size: Sequence[int | None],
    *,
    channels_last: bool = False,
    results: int = 1,
) -> Result:
    """Adaptive pooling: a reduction to one element, an ordinary pooling where sizes divide, else its own operator."""
    x = channels_first(call, x, channels_last)
    count = len(output_size)
    lead = call.rank(x) - count
    extents = shape_of(x)[lead:]
    sizes = tuple(
        extent if size is None or size < 0 else int(size)
        for size, extent in zip(output_size, extents, strict=True)
    )
    if sizes == extents and results == 1:
        return channels_back(call, call.touch(x), channels_last)
    if all(size == 1 for size in sizes) and results == 1:
        return channels_back(
            call,
            spatial(call, x, "ReduceMean" if kind == "AveragePool" else "ReduceMax", count),
            channels_last,
        )
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
    return channels_back(
        call,
        call.draft(op, [x], {"output_size": sizes}, TensorType(shape, call.type().dtype)),
        channels_last,
    )


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
    shape = call.shape
    if channels_last:
        shape = (shape[0], shape[-1], *shape[1:-1])
    sizes, extents = shape[2:], shape_of(x)[2:]
    if sizes == extents and (not scales or all(abs(scale - 1.0) < 1e-6 for scale in scales)):
        return channels_back(call, call.touch(x), channels_last)
    told = None
    if scales and coordinates != "align_corners":
        factors = tuple(float(scale) for scale in scales) * (len(sizes) if len(scales) == 1 else 1)
        if any(
            abs(factor * extent - size) > 1e-4 * size
            for factor, extent, size in zip(factors, extents, sizes, strict=True)
        ):
            told = factors
    attrs = {"mode": mode, "coordinates": coordinates, "sizes": tuple(sizes), "scales": told}
    return channels_back(
        call, call.draft("Resize", [x], attrs, TensorType(shape, call.type().dtype)), channels_last
    )
