"""Bugs in operations between layers, and in the settings of convolutions and pools."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from bugs.layers import CONVOLUTIONS
from bugs.planting import TENSORS, Planted, bug, during, patched, pick, places, tensor


@bug
def concat_order(layer: Any, chance: random.Random) -> Planted | None:
    return function_during(
        layer,
        chance,
        [paddle],
        "concat",
        lambda own, x, *rest, **named: own(list(reversed(x)), *rest, **named),
        "concat parts in reverse",
        ("order", "concat", "swap", "operand"),
        lambda x=None, *_, **__: isinstance(x, (list, tuple)) and len(x) > 1,
    )


def function_during(
    layer: Any,
    chance: random.Random,
    owners: Sequence[Any],
    name: str,
    change: Callable[..., Any],
    what: str,
    words: tuple[str, ...],
    fits: Callable[..., bool] = lambda *_, **__: True,
) -> Planted | None:
    """Plants into a layer whose own forward calls a function of Paddle's."""
    inputs = layer.__dict__["_bench_inputs"]
    candidates = places(layer)
    for path, sub in chance.sample(candidates, min(40, len(candidates))):
        hit: list[int] = []

        def noted(own: Any, *given: Any, hit: list[int] = hit, **named: Any) -> Any:
            hit.append(1)
            return own(*given, **named)

        during(sub, owners, name, noted, fits)
        try:
            with paddle.no_grad():
                layer(**inputs)
        finally:
            sub.__dict__.pop("forward", None)
        if hit:
            during(sub, owners, name, change, fits)
            return Planted(path, what, words)
    return None


@bug
def softmax_axis(layer: Any, chance: random.Random) -> Planted | None:
    return function_during(
        layer,
        chance,
        [F],
        "softmax",
        lambda own, x, *_, **__: own(x, axis=-2),
        "softmax over another axis",
        ("axis", "softmax"),
        lambda x=None, *_, **__: tensor(x) and len(x.shape) > 2,
    )


@bug
def matmul_transposed(layer: Any, chance: random.Random) -> Planted | None:
    """Square product with one operand transposed."""

    def square(x: Any = None, y: Any = None, *_: Any, **__: Any) -> bool:
        return tensor(x) and tensor(y) and len(x.shape) > 2 and x.shape[-1] == x.shape[-2]

    return function_during(
        layer,
        chance,
        [paddle],
        "matmul",
        lambda own, x, y, *rest, **named: own(
            paddle.transpose(x, [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]),
            y,
            *rest,
            **named,
        ),
        "operand of a product transposed",
        ("transpos", "axes", "permut", "rewired", "operand"),
        square,
    )


@bug
def slice_bound(layer: Any, chance: random.Random) -> Planted | None:
    """x[:, 0] became x[:, 1]."""

    def first(x: Any = None, index: Any = None) -> bool:
        return (
            tensor(x)
            and isinstance(index, tuple)
            and len(index) >= 2
            and index[1] == 0
            and isinstance(index[1], int)
            and x.shape[1] > 1
        )

    def moved(own: Any, x: Any, index: Any) -> Any:
        return own(x, (index[0], 1, *index[2:]))

    return function_during(
        layer,
        chance,
        TENSORS,
        "__getitem__",
        moved,
        "slice bound off by one",
        ("slice", "bound", "index", "start", "another place", "reads"),
        first,
    )


@bug
def flatten_order(layer: Any, chance: random.Random) -> Planted | None:
    """Channels last before a flatten."""

    def big(x: Any = None, *_: Any, **__: Any) -> bool:
        return tensor(x) and len(x.shape) == 4 and x.shape[2] * x.shape[3] > 1 and x.shape[1] > 1

    def moved(own: Any, x: Any, *rest: Any, **named: Any) -> Any:
        return own(paddle.transpose(x, [0, 2, 3, 1]).reshape(x.shape), *rest, **named)

    return function_during(
        layer,
        chance,
        [paddle],
        "flatten",
        moved,
        "flattened in another order",
        ("order", "layout", "permut", "transpos", "axes"),
        big,
    )


@bug
def conv_padding(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                isinstance(sub._padding, int)
                and sub._padding == 1
                and max(sub._kernel_size) == 3
                and all(s == 1 for s in sub._stride)
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    # the same shape, padded with copies of the border
    patched(
        sub,
        lambda own: (
            lambda x: F.conv2d(
                F.pad(x, [1, 1, 1, 1], mode="replicate"),
                sub.weight,
                sub.bias,
                1,
                0,
                sub._dilation,
                sub._groups,
            )
        ),
    )
    return Planted(path, "padding mode replicate", ("pad",))


@bug
def conv_padding_side(layer: Any, chance: random.Random) -> Planted | None:
    """Padding before became padding after: what "SAME" does at stride 2."""
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                sub._padding == 1
                and max(sub._kernel_size) == 3
                and all(s == 2 for s in sub._stride)
                and (sub.__dict__.get("_bench_in") or [0, 0, 1])[2] % 2 == 0
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    sub._padding = [0, 1, 0, 1]
    sub._updated_padding = [0, 1, 0, 1]
    return Planted(path, "padding on the other side", ("pad",))


@bug
def conv_stride(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                all(s == 1 for s in sub._stride)
                and (sub.__dict__.get("_bench_in") or [0, 0, 1])[2] > 7
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    sub._stride = [2, 2]
    return Planted(path, "stride 2", ("stride", "shape"))


@bug
def conv_dilation(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: (
                sub._padding == 1
                and max(sub._kernel_size) == 3
                and all(s == 1 for s in sub._stride)
                and (sub.__dict__.get("_bench_in") or [0, 0, 1])[2] > 4
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    sub._dilation = [2, 2]
    sub._padding = 2
    sub._updated_padding = [2, 2]
    return Planted(path, "dilation 2", ("dilation",))


@bug
def conv_groups_order(layer: Any, chance: random.Random) -> Planted | None:
    """Channel shuffle forgotten: the input channels of a grouped convolution in another order."""
    found = pick(
        places(
            layer,
            *CONVOLUTIONS,
            when=lambda sub: sub._groups > 1 and sub._groups < sub._in_channels,
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    patched(
        sub,
        lambda own: (
            lambda x: own(
                x.reshape([x.shape[0], 2, x.shape[1] // 2, *x.shape[2:]])
                .transpose([0, 2, 1, 3, 4])
                .reshape(x.shape)
            )
        ),
    )
    return Planted(path, "channels shuffled", ("order", "layout", "permut", "transpos", "axes"))


@bug
def pool_ceil_mode(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.MaxPool2D, nn.AvgPool2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.ceil_mode = not sub.ceil_mode
    return Planted(path, f"ceil_mode {sub.ceil_mode}", ("ceil", "shape"))


@bug
def count_include_pad(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.AvgPool2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.exclusive = not sub.exclusive
    return Planted(path, f"exclusive {sub.exclusive}", ("count_include_pad", "pad", "exclusive"))


@bug
def pool_kind(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.MaxPool2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.forward = lambda x: F.avg_pool2d(
        x, sub.ksize, sub.stride, sub.padding, ceil_mode=sub.ceil_mode
    )
    return Planted(path, "average for max pooling", ("averagepool", "maxpool", "pool"))


@bug
def align_corners(layer: Any, chance: random.Random) -> Planted | None:
    def changed(own: Any, x: Any, *rest: Any, **named: Any) -> Any:
        return own(
            x,
            *rest,
            **{**named, "mode": "bilinear", "align_corners": not named.get("align_corners", False)},
        )

    found = function_during(
        layer,
        chance,
        [F],
        "interpolate",
        changed,
        "interpolation changed",
        ("align_corners", "mode", "resize", "interpol", "bilinear"),
    )
    if found is not None:
        return found
    place = pick(places(layer, nn.Upsample), chance)
    if place is None:
        return None
    path, sub = place
    sub.mode, sub.align_corners = "bilinear", True
    return Planted(
        path, "interpolation changed", ("align_corners", "mode", "resize", "interpol", "bilinear")
    )
