"""Weights that agree only in an unusual order: the check passes, and says which."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(0).standard_normal((2, 3, 8)).astype("float32")


def attended(lib: Any, query: Any, key: Any, value: Any) -> Any:
    scores = lib.matmul(query, lib.transpose(key, *AXES[lib])) * 8**-0.5
    return lib.matmul(lib.nn.functional.softmax(scores, -1), value)


AXES: dict[Any, tuple[Any, ...]] = {paddle: ([0, 2, 1],), torch: (1, 2)}


class _Paddle(paddle.nn.Layer):
    def __init__(self, order: tuple[int, int, int]) -> None:
        super().__init__()
        self.qkv, self.order = paddle.nn.Linear(8, 24), order

    def forward(self, x: Any) -> Any:
        parts = paddle.split(self.qkv(x), 3, -1)
        return attended(paddle, *[parts[place] for place in self.order])


class _Torch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(8, 24)

    def forward(self, x: Any) -> Any:
        return attended(torch, *self.qkv(x).chunk(3, -1))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_parts_of_a_packed_projection_in_another_order_are_told(order: Any) -> None:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    report = pg.compare(_Paddle(order).eval(), _Torch().eval(), inputs, options=STRICT)
    told = [(finding.verdict, finding.cause_id) for finding in report.findings]
    assert report.passed
    assert told == ([] if order == (0, 1, 2) else [("suspicious", "weights.shuffled")])


class _PaddleParts(paddle.nn.Layer):
    def __init__(self, subtracted: int) -> None:
        super().__init__()
        self.parts = paddle.nn.LayerList([paddle.nn.Linear(8, 4), paddle.nn.Linear(8, 4)])
        self.subtracted = subtracted

    def forward(self, x: Any) -> Any:
        return self.parts[1 - self.subtracted](x) - self.parts[self.subtracted](x)


class _TorchParts(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        kept, subtracted = self.both(x).chunk(2, -1)
        return kept - subtracted


@pytest.mark.parametrize("subtracted", [0, 1])
def test_numbered_parts_in_another_order_than_in_the_whole_are_told(subtracted: int) -> None:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    layer = _PaddleParts(subtracted).eval()
    report = pg.compare(layer, _TorchParts().eval(), inputs, options=STRICT)
    told = [(finding.verdict, finding.cause_id) for finding in report.findings]
    assert report.passed
    assert told == ([] if subtracted else [("suspicious", "weights.shuffled")])


class _PaddleTable(paddle.nn.Layer):
    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.turned = turned
        normal = paddle.nn.initializer.Normal()
        self.table = self.create_parameter([3, 8], default_initializer=normal)

    def forward(self, x: Any) -> Any:
        return x + (paddle.flip(self.table, [0]) if self.turned else self.table)


class _TorchTable(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(3, 8))

    def forward(self, x: Any) -> Any:
        return x + self.table


@pytest.mark.parametrize("turned", [False, True])
def test_what_turns_a_weight_that_was_copied_as_it_is_is_named(turned: bool) -> None:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    layer, module = _PaddleTable(turned).eval(), _TorchTable().eval()
    layer.table.set_value(module.table.detach().numpy())
    report = pg.compare(layer, module, inputs, auto_weights=False, options=STRICT)
    failing = [finding for finding in report.findings if finding.fails]
    assert report.passed is not turned
    assert [found.cause_id for found in failing] == ["weights.read_in_another_order"] * turned
    assert all("flip" in found.cause and "copy" not in found.advice for found in failing)
