"""Batch norms in evaluation mode that a model spells out, with their state in buffers."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
IMAGE = np.random.default_rng(2).standard_normal((2, 4, 3, 5)).astype("float32")


class _Frozen(torch.nn.Module):
    """Weight, bias and statistics are buffers, as detection models freeze them."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.conv, self.epsilon = torch.nn.Conv2d(4, 4, 1), epsilon
        for number, name in enumerate(("weight", "bias", "mean", "var")):
            rng = np.random.default_rng(number)
            self.register_buffer(name, torch.tensor(rng.uniform(0.5, 1.5, 4).astype("float32")))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        vectors = (self.weight, self.bias, self.mean, self.var)
        weight, bias, mean, var = (vector.reshape(1, -1, 1, 1) for vector in vectors)
        scale = weight * (var + self.epsilon).rsqrt()
        return self.conv(x) * scale + (bias - mean * scale)


class _Port(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = paddle.nn.Conv2D(4, 4, 1), paddle.nn.BatchNorm2D(4)
        self.norm.weight.stop_gradient = self.norm.bias.stop_gradient = True

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.conv(x))


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_a_frozen_norm_is_a_batch_norm(epsilon: float) -> None:
    inputs = {"x": paddle.to_tensor(IMAGE)}, {"x": torch.from_numpy(IMAGE)}
    report = pg.compare(_Port().eval(), _Frozen(epsilon).eval(), inputs, options=STRICT)
    failing = [found.cause_id for found in report.findings if found.fails]
    assert failing == ([] if epsilon == 1e-5 else ["attribute.epsilon"])
    assert report.passed == (not failing)


class _Scaled(torch.nn.Module):
    """Statistics of a data set: constants of the code, which no checkpoint carries."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(5, 2)
        self.register_buffer("mean", torch.linspace(0.0, 1.0, 5), persistent=False)
        self.register_buffer("var", torch.linspace(0.5, 1.5, 5), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x - self.mean) * torch.rsqrt(self.var + 1e-6))


class _ScaledPort(paddle.nn.Layer):
    def __init__(self, end: float) -> None:
        super().__init__()
        self.head = paddle.nn.Linear(5, 2)
        self.register_buffer("mean", paddle.linspace(0.0, end, 5), persistable=False)
        self.register_buffer("var", paddle.linspace(0.5, 1.5, 5), persistable=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head((x - self.mean) / paddle.sqrt(self.var + 1e-6))


@pytest.mark.parametrize("end", [1.0, 1.1])
def test_statistics_without_a_norm_of_their_own_are_constants(end: float) -> None:
    inputs = {"x": paddle.to_tensor(IMAGE)}, {"x": torch.from_numpy(IMAGE)}
    report = pg.compare(_ScaledPort(end).eval(), _Scaled().eval(), inputs, options=STRICT)
    assert report.passed == (end == 1.0)
