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
