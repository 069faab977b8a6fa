"""Factors that two spellings place otherwise, and an operation that is the whole difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STEPS, WIDTH = 6, 8
OPTIONS = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}


class _Port(paddle.nn.Layer):
    """Queries and keys turned half by half; places of queries are counted from `first`."""

    def __init__(self, first: float) -> None:
        super().__init__()
        self.q, self.k = paddle.nn.Linear(WIDTH, WIDTH), paddle.nn.Linear(WIDTH, WIDTH)
        self.first = first

    def turned(self, x: Any, first: float) -> Any:
        rates = 0.1 ** (paddle.arange(0, WIDTH, 2).astype("float32") / WIDTH)
        places = paddle.arange(STEPS).astype("float32") + first if first else paddle.arange(STEPS)
        angle = places.astype("float32").unsqueeze(1) * rates
        cos, sin = paddle.cos(angle), paddle.sin(angle)
        a, b = paddle.split(x, 2, -1)
        return paddle.concat([a * cos - b * sin, b * cos + a * sin], -1)

    def forward(self, x: Any) -> Any:
        q, k = self.turned(self.q(x), self.first), self.turned(self.k(x), 0.0)
        return paddle.nn.functional.softmax(paddle.matmul(q, k, transpose_y=True), -1)


class _Reference(torch.nn.Module):
    """The same with a turned copy, the sign in it."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        rates = 0.1 ** (torch.arange(0, WIDTH, 2).float() / WIDTH)
        angle = torch.outer(torch.arange(STEPS).float(), rates).repeat(1, 2)
        half = WIDTH // 2
        copy = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * angle.cos() + copy * angle.sin()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.turned(self.q(x)) @ self.turned(self.k(x)).transpose(1, 2)
        return scores.softmax(-1)


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_what_is_left_out_says_more_than_a_sign_in_another_place(first: float) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((2, STEPS, WIDTH)).astype(np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    layer, module = _Port(first), _Reference()
    for name, weight in module.named_parameters():  # a port that has been loaded
        value = weight.detach().numpy()
        dict(layer.named_parameters())[name].set_value(value.T if value.ndim > 1 else value)
    report = pg.compare(layer, module, example, options=OPTIONS)
    causes = [finding.cause for finding in report.findings if finding.fails]
    assert report.passed is not bool(first) and bool(causes) is bool(first)
    assert all("plus 1" in cause and "-1" not in cause for cause in causes), causes
