"""Draws that are shared: the range, the rate and the spelling of each side count, on any draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F1
import pytest
import torch
import torch.nn.functional as F2

import padiff_graph as pg

Function = Callable[[Any], Any]
STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(0).standard_normal((4, 8)).astype("float32")
FEW = [4, 1]
"""A draw a row: rates that are close hit the same in most draws."""


class _Paddle(paddle.nn.Layer):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.a, self.b, self.function = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 8), function

    def forward(self, x: Any) -> Any:
        return self.b(self.function(self.a(x)))


class _Torch(torch.nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.a, self.b, self.function = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8), function

    def forward(self, x: Any) -> Any:
        return self.b(self.function(self.a(x)))


def checked(first: Function, second: Function) -> pg.Report:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    return pg.compare(_Paddle(first).train(), _Torch(second).train(), inputs, options=STRICT)


class Same(NamedTuple):
    """The same function in both frameworks."""

    paddle: Function
    torch: Function


def in_channels(h: Any) -> Any:
    return h.reshape([4, 2, 2, 2])


def flat(h: Any) -> Any:
    return h.reshape([4, 8])


SAME = {
    "normal of a generator": Same(
        lambda h: h + paddle.normal(0.5, 0.2, [4, 8]),
        lambda h: h + torch.empty(4, 8).normal_(0.5, 0.2),
    ),
    "normal of two numbers": Same(
        lambda h: h + paddle.normal(0.5, 0.2, [4, 8]), lambda h: h + torch.normal(0.5, 0.2, (4, 8))
    ),
    "normal, scaled": Same(
        lambda h: h + paddle.normal(0.0, 0.2, [4, 8]), lambda h: h + 0.2 * torch.randn(4, 8)
    ),
    "a range": Same(
        lambda h: h * paddle.uniform([4, 8], min=-1.0),
        lambda h: h * torch.empty(4, 8).uniform_(-1.0, 1.0),
    ),
    "a range, scaled": Same(
        lambda h: h * paddle.uniform([4, 8], min=-1.0), lambda h: h * (2 * torch.rand(4, 8) - 1)
    ),
    "integers": Same(
        lambda h: h * paddle.randint(0, 5, [4, 8]).astype("float32"),
        lambda h: h * torch.randint(0, 5, (4, 8)).float(),
    ),
    "an order": Same(
        lambda h: paddle.index_select(h, paddle.randperm(4), 0), lambda h: h[torch.randperm(4)]
    ),
    "probabilities": Same(
        lambda h: h * paddle.bernoulli(F1.sigmoid(h)),
        lambda h: h * torch.bernoulli(torch.sigmoid(h)),
    ),
    "a coin of ones": Same(
        lambda h: h * paddle.floor(paddle.rand(FEW) + 0.9) / 0.9,
        lambda h: h * F2.dropout(torch.ones(4, 1), 0.1),
    ),
    "a coin above": Same(
        lambda h: h * (paddle.rand([4, 8]) >= 0.3).astype("float32"),
        lambda h: h * (torch.rand(4, 8) < 0.7).float(),
    ),
    "a coin that chooses": Same(
        lambda h: paddle.where(paddle.rand(FEW) < 0.9, h, paddle.zeros_like(h)),
        lambda h: torch.where(torch.rand(4, 1) < 0.9, h, torch.zeros_like(h)),
    ),
    "what a draw fills": Same(
        lambda h: F1.dropout(h, 0.3), lambda h: h.masked_fill(torch.rand(4, 8) > 0.7, 0) / 0.7
    ),
    "what a coin fills": Same(
        lambda h: F1.dropout(h, 0.3),
        lambda h: h.masked_fill(torch.bernoulli(torch.full((4, 8), 0.3)).bool(), 0) / 0.7,
    ),
    "what no coin fills": Same(
        lambda h: h.masked_fill(paddle.logical_not(paddle.rand([4, 8]) < 0.7), 0) / 0.7,
        lambda h: F2.dropout(h, 0.3),
    ),
    "a row that a draw fills": Same(
        lambda h: paddle.where(paddle.rand(FEW) < 0.9, h, paddle.zeros_like(h)),
        lambda h: h.masked_fill(torch.rand(4, 1) > 0.9, 0),
    ),
    "dropout": Same(lambda h: F1.dropout(h, 0.1), lambda h: F2.dropout(h, 0.1)),
    "dropout without a scale": Same(
        lambda h: F1.dropout(h, 0.1, mode="downscale_in_infer"), lambda h: F2.dropout(h, 0.1) * 0.9
    ),
    "dropout of channels": Same(
        lambda h: flat(F1.dropout2d(in_channels(h), 0.4)),
        lambda h: flat(F2.dropout2d(in_channels(h), 0.4)),
    ),
    "alpha dropout": Same(
        lambda h: F1.alpha_dropout(h, 0.3), lambda h: F2.alpha_dropout(h, 0.3, training=True)
    ),
}
OTHERS: dict[str, dict[str, Function]] = {
    "normal of a generator": {
        "deviation": lambda h: h + torch.empty(4, 8).normal_(0.5, 0.21),
        "mean": lambda h: h + torch.empty(4, 8).normal_(0.4, 0.2),
    },
    "a range": {"range": lambda h: h * torch.empty(4, 8).uniform_(-1.0, 1.1)},
    "integers": {"range": lambda h: h * torch.randint(0, 6, (4, 8)).float()},
    "probabilities": {
        "a shift": lambda h: h * torch.bernoulli(torch.sigmoid(h + 0.01)),
        "a factor": lambda h: h * torch.bernoulli(torch.sigmoid(2 * h)),
    },
    "a coin of ones": {"rate": lambda h: h * (torch.rand(4, 1) < 0.99).float() / 0.9},
    "a coin above": {"rate": lambda h: h * (torch.rand(4, 8) < 0.69).float()},
    "a coin that chooses": {
        "rate": lambda h: h.masked_fill(torch.rand(4, 1) >= 0.91, 0.0),
    },
    "what a draw fills": {
        "rate": lambda h: h.masked_fill(torch.rand(4, 8) > 0.69, 0) / 0.69,
        "the rest": lambda h: h.masked_fill(torch.rand(4, 8) < 0.7, 0) / 0.7,
    },
    "dropout without a scale": {"rate": lambda h: F2.dropout(h, 0.12) * 0.88},
    "dropout of channels": {"of elements": lambda h: F2.dropout(h, 0.4)},
    "alpha dropout": {"plain": lambda h: F2.dropout(h, 0.3)},
}
DIFFERENT = [(name, other) for name in OTHERS for other in OTHERS[name]]


@pytest.mark.parametrize("name", SAME)
def test_two_spellings_of_one_draw(name: str) -> None:
    assert checked(*SAME[name]).passed


@pytest.mark.parametrize(("name", "other"), DIFFERENT, ids=[": ".join(p) for p in DIFFERENT])
def test_another_distribution_differs_on_any_draw(name: str, other: str) -> None:
    report = checked(SAME[name].paddle, OTHERS[name][other])
    assert not report.passed and any(finding.fails for finding in report.findings)
