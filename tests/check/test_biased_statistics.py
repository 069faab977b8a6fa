"""A running variance of a batch of many elements: the frameworks' factor shows in float64 alone."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

SPREAD = 0.125
"""Of the inputs: the factor 1024 / 1023 moves the running variance by 1.7e-6 of it, which float32
takes for rounding and float64 does not."""
OPTIONS = {"rtol": 1e-7, "atol": 0.0}


class Layer(paddle.nn.Layer):
    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.norm = paddle.nn.BatchNorm2D(3, momentum=momentum)
        self.conv = paddle.nn.Conv2D(3, 4, 3)

    def forward(self, x):
        return self.conv(self.norm(x)).exp()


class Module(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(3)
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(self.norm(x)).exp()


@pytest.fixture
def compared():
    drawn = np.random.default_rng(0).standard_normal((4, 3, 16, 16)) * SPREAD
    numbers = drawn.astype("float32")
    example = {"x": paddle.to_tensor(numbers)}, {"x": torch.from_numpy(numbers)}

    def compare(momentum: float):
        layer, module = Layer(momentum).train(), Module().train()
        return pg.compare(layer, module, example, auto_weights=True, options=OPTIONS)

    return compare


def test_the_frameworks_factor_is_theirs_where_no_region_shows_it(compared):
    report = compared(0.9)
    told = [finding for finding in report.findings if "biased" in finding.cause]
    assert report.equivalent
    assert [finding.verdict for finding in told] == ["framework-divergence"]
    assert "norm._variance" in told[0].cause
    assert "1.00098" in told[0].cause


def test_another_momentum_is_no_such_factor(compared):
    report = compared(0.899999)
    assert report.equivalent is False
    assert not report.passed
