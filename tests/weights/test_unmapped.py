"""Weights of both models that no map is found between are told as such, never as a difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import torch

import padiff_graph as pg

X = np.random.default_rng(0).standard_normal((2, 8, 3)).astype("float32")


class _Parts(paddle.nn.Layer):
    """A complex weight by its size and angle: no order of numbers leads from the one to the
    other."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.angle = (self.create_parameter([3, 4]) for _ in range(2))

    def forward(self, x: Any) -> Any:
        weight = paddle.complex(self.size * self.angle.cos(), self.size * self.angle.sin())
        return paddle.fft.irfft(paddle.fft.rfft(x, axis=1) @ weight, n=8, axis=1)


class _Complex(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 4, dtype=torch.complex64))

    def forward(self, x: Any) -> Any:
        return torch.fft.irfft(torch.fft.rfft(x, dim=1) @ self.weight, n=8, dim=1)


def test_a_complex_weight_is_not_its_size_and_angle_and_as_many_numbers_as_two() -> None:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(_Parts(), _Complex(), example)
    assert not report.passed
    assert report.doubt == "not all could be compared"
    assert any(finding.cause_id == "parameter.unmapped" for finding in report.findings)
