"""Bugs of attention, masks and positions, and in gradients."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

from bugs.layers import BATCH, NORMS
from bugs.operations import function_during
from bugs.planting import TENSORS, Planted, after, bug, patched, pick, places, tensor


@bug
def attention_scale(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        [
            (path, sub)
            for path, sub in places(layer)
            if isinstance(getattr(sub, "scale", None), float)
            or isinstance(getattr(sub, "scaling", None), float)
        ],
        chance,
    )
    if found is not None:
        path, sub = found
        name = "scale" if isinstance(getattr(sub, "scale", None), float) else "scaling"
        setattr(sub, name, getattr(sub, name) ** 2)
        return Planted(path, f"{name} squared", ("scale", "times", "factor"))
    return function_during(
        layer,
        chance,
        TENSORS,
        "__mul__",
        lambda own, x, y: own(x, y * y),
        "attention scale squared",
        ("scale", "times", "factor"),
        lambda x=None, y=None: (
            tensor(x) and isinstance(y, float) and 0 < y < 1 and len(x.shape) > 2
        ),
    )


@bug
def mask_sign(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(_masked(layer), chance)
    if found is None:
        return None
    path, sub = found
    _with_mask(
        sub,
        lambda mask: (
            -mask
            if mask.dtype in (paddle.float32, paddle.float64)
            else paddle.logical_not(mask)
            if mask.dtype == paddle.bool
            else 1 - mask
        ),
    )
    return Planted(path, "mask negated", ("mask", "negat", "times -1", "scale", "not"))


def _masked(layer: Any) -> list[tuple[str, Any]]:
    inputs = layer.__dict__["_bench_inputs"]
    seen: list[tuple[str, Any]] = []
    hooks = []
    for path, sub in places(layer):

        def hook(_: Any, given: Any, named: Any = None, path: str = path, sub: Any = sub) -> None:
            if any(
                tensor(value) and ("mask" in name)
                for name, value in _bound(sub, given, named or {}).items()
            ):
                seen.append((path, sub))

        hooks.append(
            sub.register_forward_pre_hook(hook, with_kwargs=True)
            if "with_kwargs" in sub.register_forward_pre_hook.__code__.co_varnames
            else sub.register_forward_pre_hook(hook)
        )
    with paddle.no_grad():
        layer(**inputs)
    for hook in hooks:
        hook.remove()
    # innermost: a layer none of whose sublayers also gets a mask
    return [
        (path, sub)
        for path, sub in seen
        if not any(other.startswith(path + ".") for other, _ in seen)
    ]


def _bound(sub: Any, given: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    code = type(sub).forward.__code__
    names = code.co_varnames[1 : code.co_argcount]
    return {**dict(zip(names, given, strict=False)), **named}


def _with_mask(sub: Any, change: Callable[[Any], Any]) -> None:
    code = type(sub).forward.__code__
    names = code.co_varnames[1 : code.co_argcount]

    def make(own: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*given: Any, **named: Any) -> Any:
            values = [
                change(value) if tensor(value) and "mask" in name else value
                for name, value in zip(names, given, strict=False)
            ]
            return own(
                *values,
                **{
                    name: change(value) if tensor(value) and "mask" in name else value
                    for name, value in named.items()
                },
            )

        return forward

    patched(sub, make)


@bug
def mask_missing(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(_masked(layer), chance)
    if found is None:
        return None
    path, sub = found
    _with_mask(
        sub,
        lambda mask: (
            mask * 0 if mask.dtype in (paddle.float32, paddle.float64) else paddle.ones_like(mask)
        ),
    )
    return Planted(
        path,
        "mask without effect",
        ("mask", "scale", "times 0", "zero", "constant", "missing", "extra"),
    )


@bug
def position_offset(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Embedding, when=lambda sub: sub.weight.shape[0] > 4), chance)
    if found is None:
        return None
    path, sub = found
    last = sub.weight.shape[0] - 1
    patched(sub, lambda own: lambda x: own(paddle.clip(x + 1, max=last)))
    return Planted(
        path,
        "indices off by one",
        ("off by 1", "shift", "plus 1", "add", "extra", "offset", "clip"),
    )


@bug
def gradient_detached(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y.detach())
    return Planted(path, "detach", ("cut", "detach", "no_grad"))


@bug
def gradient_scaled(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS), chance)
    if found is None:
        return None
    path, sub = found

    def hooked(y: Any) -> Any:
        if not y.stop_gradient:
            y.register_hook(lambda gradient: gradient * 0.5)
        return y

    after(sub, hooked)
    return Planted(path, "gradient halved by a hook", ("hook", "0.5"))


@bug
def parameter_frozen(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D), chance)
    if found is None:
        return None
    path, sub = found
    sub.weight.stop_gradient = True
    return Planted(path, "weight frozen", ("frozen", "gradient", "trainable", "stop_gradient"))
