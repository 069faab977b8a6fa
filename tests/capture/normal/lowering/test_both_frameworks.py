"""Each framework's own spelling of an operation, captured from a real run, comes to one form.

A near miss, Paddle's spelling of something else, comes to another.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
import pytest
import torch
import torch.nn.functional as TF

from tests.models.captured_functions import of_paddle, of_torch, read_alike
from tests.models.spelled import same


def attended(x: Any, y: Any, **options: Any) -> Any:
    """Paddle's attention, whose heads stand behind the positions."""
    turned = [edge.transpose([0, 2, 1, 3]) for edge in (x, y, y)]
    return F.scaled_dot_product_attention(*turned, **options).transpose([0, 2, 1, 3])


MOVEMENT = {
    "movedim": (
        lambda x, y, i: torch.movedim(x, (1, 3), (3, 0)),
        lambda x, y, i: paddle.moveaxis(x, (1, 3), (3, 0)),
        lambda x, y, i: paddle.moveaxis(x, (1, 3), (0, 3)),
    ),
    "narrow": (
        lambda x, y, i: torch.narrow(x, 1, -3, 2),
        lambda x, y, i: x[:, 5:7],
        lambda x, y, i: x[:, 5:8],
    ),
    "select": (
        lambda x, y, i: torch.select(x, 1, -1),
        lambda x, y, i: x[:, 7],
        lambda x, y, i: x[:, 0],
    ),
    "flip": (
        lambda x, y, i: torch.flip(x, (1, -1)),
        lambda x, y, i: paddle.flip(x, (1, -1)),
        lambda x, y, i: paddle.flip(x, (1,)),
    ),
    "roll along axes": (
        lambda x, y, i: torch.roll(x, (1, -2), (2, 3)),
        lambda x, y, i: paddle.roll(x, (1, -2), (2, 3)),
        lambda x, y, i: paddle.roll(x, (1, 2), (2, 3)),
    ),
    "roll of the flat order": (
        lambda x, y, i: torch.roll(x, 5),
        lambda x, y, i: paddle.roll(x, 5),
        lambda x, y, i: paddle.roll(x, 4),
    ),
    "pixel shuffle": (
        lambda x, y, i: TF.pixel_shuffle(x, 2),
        lambda x, y, i: F.pixel_shuffle(x, 2),
        lambda x, y, i: x.reshape([2, 2, 8, 12]),
    ),
    "pixel unshuffle": (
        lambda x, y, i: TF.pixel_unshuffle(x, 2),
        lambda x, y, i: F.pixel_unshuffle(x, 2),
        lambda x, y, i: x.reshape([2, 32, 2, 3]),
    ),
    "channel shuffle": (
        lambda x, y, i: TF.channel_shuffle(x, 4),
        lambda x, y, i: F.channel_shuffle(x, 4),
        lambda x, y, i: F.channel_shuffle(x, 2),
    ),
    "every coordinate repeated": (
        lambda x, y, i: torch.repeat_interleave(x, 3, 1),
        lambda x, y, i: paddle.repeat_interleave(x, 3, 1),
        lambda x, y, i: paddle.tile(x, (1, 3, 1, 1)),
    ),
    "the flat order repeated": (
        lambda x, y, i: torch.repeat_interleave(x, 2),
        lambda x, y, i: paddle.repeat_interleave(x, 2),
        lambda x, y, i: paddle.tile(x.reshape([-1]), (2,)),
    ),
    "tile": (
        lambda x, y, i: x.repeat(1, 1, 2, 1),
        lambda x, y, i: paddle.tile(x, (1, 1, 2, 1)),
        lambda x, y, i: paddle.tile(x, (1, 1, 1, 2)),
    ),
    "meshgrid": (
        lambda x, y, i: torch.meshgrid(x[0, 0, 0], y[0, :, 0, 0], indexing="ij"),
        lambda x, y, i: paddle.meshgrid(x[0, 0, 0], y[0, :, 0, 0]),
        lambda x, y, i: paddle.meshgrid(y[0, :, 0, 0], x[0, 0, 0]),
    ),
    "padding from the last axis backwards": (
        lambda x, y, i: TF.pad(x, (1, 2, 0, 3)),
        lambda x, y, i: F.pad(x, (1, 2, 0, 3)),
        lambda x, y, i: F.pad(x, (0, 3, 1, 2)),
    ),
    "parts of a third": (
        lambda x, y, i: torch.tensor_split(x, 3, dim=1),
        lambda x, y, i: paddle.split(x, [3, 3, 2], axis=1),
        lambda x, y, i: paddle.split(x, [2, 3, 3], axis=1),
    ),
}

SELECTION = {
    "gather": (
        lambda x, y, i: torch.gather(x, 1, i[:, None, None, None].expand(3, 1, 4, 6)[:2]),
        lambda x, y, i: paddle.take_along_axis(
            x, i[:, None, None, None].expand([3, 1, 4, 6])[:2], 1, broadcast=False
        ),
        lambda x, y, i: paddle.take_along_axis(
            x, i[:, None, None, None].expand([3, 1, 4, 6])[:2], 2, broadcast=False
        ),
    ),
    "one hot": (
        lambda x, y, i: TF.one_hot(i, 5),
        lambda x, y, i: F.one_hot(i, 5),
        lambda x, y, i: F.one_hot(i, 4),
    ),
    "lower triangle": (
        lambda x, y, i: torch.tril(x, -1),
        lambda x, y, i: paddle.tril(x, -1),
        lambda x, y, i: paddle.triu(x, -1),
    ),
    "running sum": (
        lambda x, y, i: torch.cumsum(x, 2),
        lambda x, y, i: paddle.cumsum(x, 2),
        lambda x, y, i: paddle.cumsum(x, 1),
    ),
    "difference": (
        lambda x, y, i: torch.diff(x, dim=2),
        lambda x, y, i: paddle.diff(x, axis=2),
        lambda x, y, i: paddle.diff(x, axis=3),
    ),
    "difference with an edge": (
        lambda x, y, i: torch.diff(x, dim=2, prepend=y[:, :, :1]),
        lambda x, y, i: paddle.diff(x, axis=2, prepend=y[:, :, :1]),
        lambda x, y, i: paddle.diff(x, axis=2, append=y[:, :, :1]),
    ),
    "argmax": (
        lambda x, y, i: torch.argmax(x, 1),
        lambda x, y, i: paddle.argmax(x, 1),
        lambda x, y, i: paddle.argmin(x, 1),
    ),
    "argmax of all": (
        lambda x, y, i: torch.argmax(x),
        lambda x, y, i: paddle.argmax(x),
        lambda x, y, i: paddle.argmax(x, 3),
    ),
    "largest": (
        lambda x, y, i: torch.topk(x, 2, 1),
        lambda x, y, i: paddle.topk(x, 2, 1),
        lambda x, y, i: paddle.topk(x, 2, 1, largest=False),
    ),
    "sorted": (
        lambda x, y, i: torch.sort(x, dim=2, descending=True).values,
        lambda x, y, i: paddle.sort(x, axis=2, descending=True),
        lambda x, y, i: paddle.sort(x, axis=2),
    ),
    "where sorted values stood": (
        lambda x, y, i: torch.argsort(x, dim=2, descending=True),
        lambda x, y, i: paddle.argsort(x, axis=2, descending=True),
        lambda x, y, i: paddle.argsort(x, axis=2),
    ),
    "norm of another order": (
        lambda x, y, i: torch.linalg.vector_norm(x, 3, dim=1),
        lambda x, y, i: paddle.linalg.vector_norm(x, 3, axis=1),
        lambda x, y, i: paddle.linalg.vector_norm(x, 2, axis=1),
    ),
    "one coordinate written": (
        lambda x, y, i: torch.select_scatter(x, y[:, 0], 1, 2),
        lambda x, y, i: paddle.concat([x[:, :2], y[:, :1], x[:, 3:]], 1),
        lambda x, y, i: paddle.concat([x[:, :3], y[:, :1], x[:, 4:]], 1),
    ),
    "masked": (
        lambda x, y, i: torch.masked_fill(x, y > 0, -2.0),
        lambda x, y, i: paddle.masked_fill(x, y > 0, -2.0),
        lambda x, y, i: paddle.masked_fill(x, y > 0, -3.0),
    ),
}

ARITHMETIC = {
    "swiglu": (
        lambda x, y, i: TF.silu(x) * y,
        lambda x, y, i: paddle.incubate.nn.functional.swiglu(x, y),
        lambda x, y, i: paddle.incubate.nn.functional.swiglu(y, x),
    ),
    "swiglu of halves": (
        lambda x, y, i: TF.silu(x[..., :3]) * x[..., 3:],
        lambda x, y, i: paddle.incubate.nn.functional.swiglu(x),
        lambda x, y, i: paddle.incubate.nn.functional.swiglu(x[..., 3:], x[..., :3]),
    ),
    "hard tanh": (
        lambda x, y, i: TF.hardtanh(x, -2.0, 3.0),
        lambda x, y, i: F.hardtanh(x, -2.0, 3.0),
        lambda x, y, i: F.hardtanh(x, -2.0, 2.0),
    ),
    "sum of all": (
        lambda x, y, i: x + y + x[:1],
        lambda x, y, i: paddle.add_n([x, y]) + x[:1],
        lambda x, y, i: paddle.add_n([x, y]) - x[:1],
    ),
    "log of a sum of exponentials": (
        lambda x, y, i: torch.logsumexp(x, (1, 2)),
        lambda x, y, i: paddle.logsumexp(x, (1, 2)),
        lambda x, y, i: paddle.logsumexp(x, (1, 3)),
    ),
    "between two": (
        lambda x, y, i: torch.lerp(x, y, 0.25),
        lambda x, y, i: paddle.lerp(x, y, 0.25),
        lambda x, y, i: paddle.lerp(y, x, 0.25),
    ),
    "a product added": (
        lambda x, y, i: torch.addmm(x[0, 0, :, :4], x[0, 1], y[0, 1, :, :4].repeat(2, 1)[:6]),
        lambda x, y, i: paddle.addmm(
            x[0, 0, :, :4], x[0, 1], paddle.tile(y[0, 1, :, :4], (2, 1))[:6]
        ),
        lambda x, y, i: paddle.addmm(
            x[0, 0, :, :4], x[0, 1], paddle.tile(y[0, 1, :, :4], (2, 1))[:6], alpha=2.0
        ),
    ),
    "norm of all": (
        lambda x, y, i: torch.linalg.norm(x),
        lambda x, y, i: paddle.linalg.norm(x),
        lambda x, y, i: paddle.linalg.norm(x, p=1),
    ),
    "scaled behind a shift": (
        lambda x, y, i: (x + 3.0) * 2.0,
        lambda x, y, i: paddle.scale(x, 2.0, 3.0, bias_after_scale=False),
        lambda x, y, i: paddle.scale(x, 2.0, 3.0, bias_after_scale=True),
    ),
    # Paddle's SAME drops the dilation
    "dilated convolution": (
        lambda x, y, i: TF.conv2d(x, y[..., :3, :3], padding="same", dilation=2),
        lambda x, y, i: F.conv2d(x, y[..., :3, :3], padding=2, dilation=2),
        lambda x, y, i: F.conv2d(x, y[..., :3, :3], padding="SAME", dilation=2),
    ),
    "attention": (
        lambda x, y, i: TF.scaled_dot_product_attention(x, y, y),
        lambda x, y, i: attended(x, y),
        lambda x, y, i: attended(x, y, is_causal=True),
    ),
}

CASES = {**MOVEMENT, **SELECTION, **ARITHMETIC}


@pytest.mark.parametrize("name", CASES)
def test_one_form_and_no_other(name: str) -> None:
    in_torch, in_paddle, near_miss = CASES[name]
    form, ported, other = of_torch(in_torch), of_paddle(in_paddle), of_paddle(near_miss)
    same(form, ported)
    read_alike(form, ported)
    with pytest.raises(AssertionError):
        same(form, other)
        read_alike(form, other)
