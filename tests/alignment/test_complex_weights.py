"""Complex weights that the other model keeps as real ones: two of them, or one with an axis of
two."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-5, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(1).standard_normal((2, 16, 4)).astype("float32")


def example() -> Any:
    return {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}


class _Torch(torch.nn.Module):
    """A global filter, its weight complex or with an axis of two."""

    def __init__(self, real: bool = False) -> None:
        super().__init__()
        weight = torch.randn(9, 4, 2) if real else torch.randn(9, 4, dtype=torch.complex64)
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if not weight.is_complex():
            weight = torch.view_as_complex(weight)
        return torch.fft.irfft(torch.fft.rfft(x, dim=1) * weight, n=16, dim=1)


class _Paddle(paddle.nn.Layer):
    def __init__(self, spelling: str, turn: float = 1.0) -> None:
        super().__init__()
        self.spelling, self.turn = spelling, turn
        normal = paddle.nn.initializer.Normal()
        if spelling == "axis":
            self.weight = self.create_parameter([9, 4, 2], default_initializer=normal)
        else:
            self.real = self.create_parameter([9, 4], default_initializer=normal)
            self.imaginary = self.create_parameter([9, 4], default_initializer=normal)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.fft.irfft(getattr(self, self.spelling)(paddle.fft.rfft(x, axis=1)), 16, 1)

    def axis(self, values: paddle.Tensor) -> paddle.Tensor:
        return values * self.turn * paddle.as_complex(self.weight)

    def two(self, values: paddle.Tensor) -> paddle.Tensor:
        return values * self.turn * paddle.complex(self.real, self.imaginary)

    def written(self, values: paddle.Tensor) -> paddle.Tensor:
        a, b = values.real() * self.turn, values.imag()
        return paddle.complex(
            a * self.real - b * self.imaginary, a * self.imaginary + b * self.real
        )


@pytest.mark.parametrize(
    ("spelling", "real"),
    [("axis", False), ("two", False), ("written", False), ("two", True), ("written", True)],
)
def test_each_spelling_is_mapped_and_passes(spelling: str, real: bool) -> None:
    layer, module = _Paddle(spelling).eval(), _Torch(real).eval()
    report = pg.compare(layer, module, example(), options=STRICT)
    assert report.passed, [finding.cause for finding in report.findings]
    held = module.weight.detach()
    parts = (held if real else torch.view_as_real(held)).numpy()
    own = layer.weight if spelling == "axis" else paddle.stack([layer.real, layer.imaginary], -1)
    assert np.array_equal(own.numpy(), parts)


@pytest.mark.parametrize(("spelling", "real"), [("written", False), ("two", True), ("axis", True)])
def test_parts_of_another_size_are_not_passed(spelling: str, real: bool) -> None:
    layer, module = _Paddle(spelling, 1.1).eval(), _Torch(real).eval()
    assert not pg.compare(layer, module, example(), options=STRICT).passed


def test_a_map_of_parts_comes_back_from_its_file() -> None:
    layer, module = _Paddle("two").eval(), _Torch().eval()
    text = pg.LayerMap().auto(layer, module, example()).to_yaml()
    read = pg.LayerMap.from_yaml(text)
    assert read.to_yaml() == text
    assert "real and imaginary parts" in text
    report = pg.compare(layer, module, example(), options=STRICT, layer_map=read)
    assert report.passed, [finding.cause for finding in report.findings]
    assert "contradict" not in str([finding.cause for finding in report.findings])
