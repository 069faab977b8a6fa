"""What one model alone computes in half precision is told whichever model it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
import pytest
import torch

from tests.models.half_calls import LENGTH, WIDTH, seen_of

START = 301
"""A place that bfloat16 does not hold."""
Kind = tuple[Callable[..., Any], Callable[..., Any]]


def _torch_bias(h: Any, last: Any, low: bool) -> Any:
    dtype = h.dtype if low else torch.float32
    bias = torch.arange(START, START + LENGTH).to(dtype)[:, None] * 0.33 + 77.7
    return last((h.float() + bias.float()).to(h.dtype))


def _paddle_bias(h: Any, last: Any, low: bool) -> Any:
    dtype = h.dtype if low else "float32"
    bias = paddle.arange(START, START + LENGTH).astype(dtype).unsqueeze(1) * 0.33 + 77.7
    return last((h.astype("float32") + bias.astype("float32")).astype(h.dtype))


def _torch_added(h: Any, last: Any, low: bool) -> Any:
    table = torch.sin(torch.arange(START, START + LENGTH).float())[:, None]
    return last(h + table.to(h.dtype) if low else (h + table).to(h.dtype))


def _paddle_added(h: Any, last: Any, low: bool) -> Any:
    table = paddle.sin(paddle.arange(START, START + LENGTH).astype("float32")).unsqueeze(1)
    if low:
        return last(h + table.astype(h.dtype))
    return last((h.astype("float32") + table).astype(h.dtype))


def _torch_turned(h: Any, last: Any, low: bool) -> Any:
    dtype = h.dtype if low else torch.float32
    angles = torch.arange(START, START + LENGTH).to(dtype)[:, None] * torch.ones(WIDTH // 2) * 0.7
    angles = angles.to(dtype).float()
    pairs = torch.view_as_complex(h.float().reshape(2, LENGTH, WIDTH // 2, 2))
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles))
    return last(turned.flatten(2).to(h.dtype))


def _paddle_turned(h: Any, last: Any, low: bool) -> Any:
    dtype = h.dtype if low else "float32"
    angles = paddle.arange(START, START + LENGTH).astype(dtype).unsqueeze(1)
    angles = angles * paddle.ones([WIDTH // 2], "float32") * 0.7
    angles = angles.astype(dtype).astype("float32")
    wide = h.astype("float32")
    first, second, cos, sin = wide[..., 0::2], wide[..., 1::2], angles.cos(), angles.sin()
    turned = paddle.stack([first * cos - second * sin, first * sin + second * cos], -1)
    return last(turned.flatten(2).astype(h.dtype))


def _torch_buffer(h: Any, last: Any, low: bool) -> Any:
    dtype = h.dtype if low else torch.float32
    angles = torch.arange(START, START + LENGTH).to(dtype)[:, None] * last.speeds.to(dtype)
    return last(h * torch.cos(angles).to(h.dtype))


def _paddle_buffer(h: Any, last: Any, low: bool) -> Any:
    dtype = h.dtype if low else "float32"
    angles = paddle.arange(START, START + LENGTH).astype(dtype).unsqueeze(1)
    return last(h * paddle.cos(angles * last.speeds.astype(dtype)).astype(h.dtype))


def _torch_branches(h: Any, last: Any, low: bool) -> Any:
    wide = h if low else h.float()
    return last(torch.where(h > 0, wide * 1.1, wide * 0.1).to(h.dtype))


def _paddle_branches(h: Any, last: Any, low: bool) -> Any:
    wide = h if low else h.astype("float32")
    return last(paddle.where(h > 0, wide * 1.1, wide * 0.1).astype(h.dtype))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("low", [(True, False), (False, True)])
def test_what_float32_rounds_before_a_cast_is_what_a_kernel_rounds_inside(
    precision: str, low: tuple[bool, bool]
) -> None:
    seen = seen_of(
        lambda h, last: _paddle_branches(h, last, low[0]),
        lambda h, last: _torch_branches(h, last, low[1]),
        precision,
    )
    assert not [finding for finding in seen.findings if finding.fails], seen.findings


def _torch_length(h: Any, last: Any, low: bool) -> Any:
    wide = h if low else h.float()
    return last((wide / wide.norm(dim=-1, keepdim=True)).to(h.dtype))


def _paddle_length(h: Any, last: Any, low: bool) -> Any:
    wide = h if low else h.astype("float32")
    return last((wide / wide.norm(axis=-1, keepdim=True)).astype(h.dtype))


def _torch_shares(h: Any, last: Any, low: bool) -> Any:
    scores = h @ h.transpose(1, 2) + torch.ones(LENGTH, LENGTH, dtype=h.dtype).triu(1) * -1e4
    if not low:
        return last(torch.softmax(scores, -1) @ h)
    powers = torch.exp(scores - scores.amax(-1, keepdim=True))
    return last((powers / powers.sum(-1, keepdim=True)) @ h)


def _paddle_shares(h: Any, last: Any, low: bool) -> Any:
    scores = paddle.matmul(h, h, transpose_y=True)
    scores = scores + paddle.ones([LENGTH, LENGTH], h.dtype).triu(1) * -1e4
    if not low:
        return last(paddle.nn.functional.softmax(scores, -1) @ h)
    powers = paddle.exp(scores - scores.max(-1, keepdim=True))
    return last((powers / powers.sum(-1, keepdim=True)) @ h)


def _torch_loss(h: Any, last: Any, low: bool) -> Any:
    logits = last(h).reshape(-1, WIDTH)
    classes = torch.arange(2 * LENGTH)
    return torch.nn.functional.cross_entropy(logits if low else logits.float(), classes)


def _paddle_loss(h: Any, last: Any, low: bool) -> Any:
    logits = last(h).reshape([-1, WIDTH])
    logits = logits if low else logits.astype("float32")
    return paddle.nn.functional.cross_entropy(logits, paddle.arange(2 * LENGTH))


KINDS: dict[str, Kind] = {
    "a table that is small beside its offset": (_paddle_bias, _torch_bias),
    "a table that is rounded where it is read": (_paddle_added, _torch_added),
    "angles of a complex table": (_paddle_turned, _torch_turned),
    "angles of a buffer that both round": (_paddle_buffer, _torch_buffer),
    "a norm in one operation": (_paddle_length, _torch_length),
    "softmax spelled out behind a mask": (_paddle_shares, _torch_shares),
    "the rounded loss": (_paddle_loss, _torch_loss),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("low", [(False, False), (True, False), (False, True)])
def test_one_side_in_half_precision_is_told(kind: str, low: tuple[bool, bool]) -> None:
    first, second = KINDS[kind]
    seen = seen_of(lambda *given: first(*given, low[0]), lambda *given: second(*given, low[1]))
    failing = [finding for finding in seen.findings if finding.fails]
    assert len(failing) == sum(low)
    for finding in failing:
        assert finding.cause_id in ("precision.computed", "precision.output")
        said = finding.cause.partition("bfloat16 in the ")[2]
        assert said.startswith("Paddle" if low[0] else "torch")


def test_a_cast_that_changes_no_value_behind_it_is_not_told() -> None:
    def first(h: Any, last: Any) -> Any:
        wide = h.astype("float32")
        return last(paddle.where(wide > 0.1, wide * 1.3, wide * 0.7).astype(h.dtype))

    def second(h: Any, last: Any) -> Any:
        return last(torch.where(h > 0.1, h * 1.3, h * 0.7))

    assert seen_of(first, second).findings == ()


def _paddle_spread(h: Any, last: Any, function: Callable[..., Any], wide: bool) -> Any:
    held = h.astype("float32") if wide else h
    return last((held / (function(held, -1, keepdim=True) + 1e-5)).astype(h.dtype))


def _torch_spread(h: Any, last: Any, function: Callable[..., Any], wide: bool) -> Any:
    held = h.float() if wide else h
    return last((held / (function(held, -1, keepdim=True) + 1e-5)).to(h.dtype))


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("wide", [False, True])
def test_a_spread_in_half_precision_is_one_kernel_on_both_sides(name: str, wide: bool) -> None:
    ours, theirs = getattr(paddle, name), getattr(torch, name)
    seen = seen_of(
        lambda h, last: _paddle_spread(h, last, ours, wide),
        lambda h, last: _torch_spread(h, last, theirs, False),
    )
    assert [f.cause_id for f in seen.findings if f.fails] == ["precision.computed"] * wide
