"""A list of layers on one side and all of them in one weight on the other: groups of a convolution,
experts that are all computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.standard_normal((2, 3, 5, 5)).astype("float32")
ROWS = RANDOM.standard_normal((3, 8)).astype("float32")


class _Loop(paddle.nn.Layer):
    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self.order = order
        self.each = paddle.nn.LayerList([paddle.nn.Conv2D(1, 1, 3, padding=1) for _ in order])

    def forward(self, x: Any) -> Any:
        parts = [self.each[place](x[:, k : k + 1]) for k, place in enumerate(self.order)]
        return paddle.concat([parts[place] for place in self.order], 1)


class _Grouped(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.all = torch.nn.Conv2d(3, 3, 3, padding=1, groups=3)

    def forward(self, x: Any) -> Any:
        return self.all(x)


class _Stacked(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.gate = paddle.nn.Linear(8, 4)
        normal = paddle.nn.initializer.Normal()
        self.weight = self.create_parameter([4, 8, 8], default_initializer=normal)

    def forward(self, x: Any) -> Any:
        gate = paddle.nn.functional.softmax(self.gate(x), -1)
        return (paddle.einsum("bi,eio->beo", x, self.weight) * gate.unsqueeze(-1)).sum(1)


class _Experts(torch.nn.Module):
    def __init__(self, turned: bool = False) -> None:
        super().__init__()
        self.gate, self.turned = torch.nn.Linear(8, 4), turned
        self.each = torch.nn.ModuleList(torch.nn.Linear(8, 8, bias=False) for _ in range(4))

    def forward(self, x: Any) -> Any:
        gate = torch.softmax(self.gate(x), -1)
        places = range(4)
        return sum(gate[:, 3 - k if self.turned else k, None] * self.each[k](x) for k in places)


def checked(layer: Any, module: Any, x: Any) -> pg.Report:
    inputs = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x.copy())}
    return pg.compare(layer.eval(), module.eval(), inputs, options=STRICT)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_groups_one_after_the_other(order: tuple[int, ...]) -> None:
    assert checked(_Loop(order), _Grouped(), IMAGE).passed is (order == (0, 1, 2))


@pytest.mark.parametrize("turned", [False, True])
def test_experts_that_are_all_computed(turned: bool) -> None:
    assert checked(_Stacked(), _Experts(turned), ROWS).passed is not turned
