"""Norms over groups of channels that a model spells out, against the frameworks' own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

SHAPE = (2, 6, 3, 5)
IMAGE = np.random.default_rng(2).standard_normal(SHAPE).astype("float32")
STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
SHAPES = {"flat": [6], "four axes": [1, 6, 1, 1], "three axes": [6, 1, 1]}


class _ByHand(paddle.nn.Layer):
    """Statistics over [batch, groups, rest]; weights of any shape, computed reshapes."""

    def __init__(self, groups: int, shape: list[int], epsilon: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.epsilon = groups, epsilon
        self.conv = paddle.nn.Conv2D(6, 6, 1)
        self.scale, self.shift = self.create_parameter(shape), self.create_parameter(shape)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.conv(x)
        rows = x.reshape([x.shape[0], self.groups, -1])
        centred = rows - rows.mean(-1, keepdim=True)
        spread = (centred**2).mean(-1, keepdim=True)
        normed = (centred / paddle.sqrt(spread + self.epsilon)).reshape(x.shape)
        places = [1, -1, 1, 1]
        return normed * self.scale.reshape(places) + self.shift.reshape(places)


class _Torch(torch.nn.Module):
    def __init__(self, norm: torch.nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(6, 6, 1), norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


def _passed(layer: paddle.nn.Layer, norm: torch.nn.Module) -> bool:
    torch.manual_seed(0)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    inputs = {"x": paddle.to_tensor(IMAGE)}, {"x": torch.from_numpy(IMAGE)}
    return pg.compare(layer.eval(), _Torch(norm).eval(), inputs, options=STRICT).passed


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("groups", "norm"),
    [
        (2, lambda: torch.nn.GroupNorm(2, 6)),
        (6, lambda: torch.nn.InstanceNorm2d(6, affine=True)),
    ],
    ids=["groups", "instances"],
)
def test_by_hand_is_the_norm(
    groups: int, shape: list[int], norm: Callable[[], torch.nn.Module]
) -> None:
    assert _passed(_ByHand(groups, shape), norm())


def test_other_groups_and_epsilons_differ() -> None:
    assert not _passed(_ByHand(3, [6]), torch.nn.GroupNorm(2, 6))
    assert not _passed(_ByHand(2, [6], epsilon=1e-2), torch.nn.GroupNorm(2, 6))
