"""Vectors of a spectral norm's power iteration are state, in evaluation mode as in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(4).standard_normal((3, 6)).astype("float32")
NORMS = [torch.nn.utils.spectral_norm, torch.nn.utils.parametrizations.spectral_norm]


class _Paddle(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.fc = paddle.nn.utils.spectral_norm(paddle.nn.Linear(6, 5))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(x).tanh()


class _Torch(torch.nn.Module):
    def __init__(self, norm: Callable[[Any], Any]) -> None:
        super().__init__()
        self.fc = norm(torch.nn.Linear(6, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).tanh()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("copied", [True, False])
def test_vectors_are_copied_with_the_weights_or_told_with_them(norm: Any, copied: bool) -> None:
    paddle.seed(3)
    torch.manual_seed(4)
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(_Paddle().eval(), _Torch(norm).eval(), example, copied, options=STRICT)
    assert report.passed is copied, [finding.cause for finding in report.findings]


class _ByHand(paddle.nn.Layer):
    """The same with vectors under names of its own."""

    def __init__(self) -> None:
        super().__init__()
        normal = paddle.nn.initializer.Normal()
        self.weight = self.create_parameter([6, 5], default_initializer=normal)
        self.bias = self.create_parameter([5], is_bias=True)
        for name, size in (("left", 5), ("right", 6)):
            vector = paddle.randn([size])
            self.register_buffer(name, vector / vector.norm())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        sigma = paddle.dot(self.left, paddle.mv(self.weight.t(), self.right))
        return (paddle.matmul(x, self.weight / sigma) + self.bias).tanh()


@pytest.mark.parametrize("norm", NORMS)
def test_vectors_of_a_norm_by_hand_are_copied_whatever_they_are_called(norm: Any) -> None:
    layer, module = _ByHand().eval(), _Torch(norm).eval()
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(layer, module, example, options=STRICT)
    assert report.passed, [finding.cause for finding in report.findings]
    held = {name.rpartition("_")[2]: buffer for name, buffer in module.named_buffers()}
    assert np.allclose(layer.left.numpy(), held["u"].numpy())
    assert np.allclose(layer.right.numpy(), held["v"].numpy())
