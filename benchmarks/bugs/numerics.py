"""Bugs in numbers, layouts, dropout, the loss and the optimizer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from bugs.layers import BATCH, NORMS
from bugs.planting import Planted, after, bug, parent, pick, places


@bug
def biased_variance(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, *NORMS), chance)
    if found is None:
        return None
    path, sub = found

    def forward(x: Any) -> Any:
        mean = x.mean(axis=-1, keepdim=True)
        variance = x.var(axis=-1, keepdim=True)
        y = (x - mean) / paddle.sqrt(variance + sub._epsilon)
        return y * sub.weight + sub.bias

    if sub.weight is None or sub.bias is None:
        return None
    sub.forward = forward
    return Planted(
        path,
        "unbiased variance in a layer norm",
        ("varianc", "times", "unbiased", "correction", "var"),
    )


@bug
def dtype_cast(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y.cast("bfloat16").cast("float32"))
    return Planted(path, "bfloat16 round trip", ("bfloat16", "cast", "precision", "dtype"))


@bug
def layout_flip(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(
        places(
            layer,
            nn.Conv2D,
            *BATCH,
            when=lambda sub: (
                (shape := sub.__dict__.get("_bench_out")) is not None
                and len(shape) == 4
                and shape[2] == shape[3] > 1
            ),
        ),
        chance,
    )
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y.transpose([0, 1, 3, 2]))
    return Planted(path, "height and width swapped", ("transpos", "axes", "permut"))


@bug
def rows_flipped(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: paddle.flip(y, [-1]))
    return Planted(path, "flipped", ("flip", "order", "reverse"), copy=False)


@bug
def scaled_output(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear, nn.Conv2D, *NORMS, *BATCH), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: y * 1.01)
    return Planted(path, "times 1.01", ("scale", "1.01", "times", "factor"))


@bug
def dropout_rate(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Dropout, when=lambda sub: sub.p and 0 < sub.p < 1), chance)
    if found is None:
        return None
    path, sub = found
    sub.p = 0.5 if sub.p != 0.5 else 0.1
    return Planted(path, f"dropout rate {sub.p}", ("dropout", "ratio", "rate", "p "), train=True)


@bug
def dropout_missing(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Dropout, when=lambda sub: sub.p and 0 < sub.p < 1), chance)
    if found is None:
        return None
    path, _ = found
    owner, key = parent(layer, path)
    setattr(owner, key, nn.Identity())
    return Planted(path, "missing dropout", ("missing", "dropout"), train=True)


@bug
def dropout_extra(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Linear), chance)
    if found is None:
        return None
    path, sub = found
    after(sub, lambda y: F.dropout(y, 0.2, training=True))
    return Planted(path, "extra dropout", ("extra", "dropout"), train=True)


@bug
def dropout_mode(layer: Any, chance: random.Random) -> Planted | None:
    found = pick(places(layer, nn.Dropout, when=lambda sub: sub.p and 0 < sub.p < 1), chance)
    if found is None:
        return None
    path, sub = found
    sub.mode = "downscale_in_infer"
    return Planted(
        path, "dropout mode downscale_in_infer", ("scale", "dropout", "times", "mode", "factor")
    )


@bug
def loss_default(layer: Any, chance: random.Random) -> Planted | None:
    """Mean of squares with the sum on one side's last axis: a loss off by a factor."""
    import torch

    def leaf(output: Any, kinds: tuple[type, ...]) -> Any:
        while not isinstance(output, kinds):
            output = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
        return output

    losses = [
        lambda output: F.smooth_l1_loss(
            leaf(output, (paddle.Tensor,)),
            paddle.zeros_like(leaf(output, (paddle.Tensor,))),
            delta=0.5,
        ),
        lambda output: torch.nn.functional.smooth_l1_loss(
            leaf(output, (torch.Tensor,)), torch.zeros_like(leaf(output, (torch.Tensor,))), beta=1.0
        ),
    ]
    return Planted("", "another default of a loss", ("loss",), extra={"loss_fn": losses})


@bug
def optimizer_decay(layer: Any, chance: random.Random) -> Planted | None:
    # an optimizer's setting has no place of its own in the model; it first shows at the first
    # trained parameter
    trained = {
        path: sub.__dict__["_bench_first"]
        for path, sub in layer.named_sublayers()
        if "_bench_first" in sub.__dict__
        and not list(sub.children())
        and any(not own.stop_gradient for own in sub.parameters())
    }
    return (
        Planted(
            min(trained, key=lambda path: trained[path]),
            "AdamW weight decay 0.01 against 0.05",
            ("decay", "optimizer"),
            extra={"optimizer": "decay"},
        )
        if trained
        else None
    )
