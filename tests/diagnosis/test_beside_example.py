"""Two functions that agree on an example alone are no framework's: told by the values beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
ALIKE = np.ones((2, 4, 4), "float32")


class _PaddleMade(paddle.nn.Layer):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function
        self.head = paddle.nn.Linear(4, 3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.function(x))


class _TorchMade(torch.nn.Module):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.function(x))


def _report(ours: Any, theirs: Any, x: np.ndarray) -> pg.Report:
    torch.manual_seed(0)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return pg.compare(_PaddleMade(ours), _TorchMade(theirs), example, options=STRICT)


@pytest.mark.parametrize(
    ("ours", "theirs", "x", "word"),
    [
        (lambda x: x.max(1), lambda x: x.max(2)[0], ALIKE, "1 against 2"),
        (lambda x: paddle.clip(x, 0, 6), torch.relu, 0 * ALIKE, "Clip against Relu"),
    ],
    ids=["another axis", "a bound that is far away"],
)
def test_a_kink_of_two_functions_is_no_framework(
    ours: Any, theirs: Any, x: np.ndarray, word: str
) -> None:
    report = _report(ours, theirs, x)
    assert not report.passed and report.equivalent is False
    failing = [finding for finding in report.findings if finding.fails]
    assert failing and word in failing[0].cause


@pytest.mark.parametrize(
    ("ours", "theirs", "x"),
    [
        (lambda x: paddle.amax(x, 1), lambda x: x.max(1)[0], ALIKE),
        (lambda x: paddle.maximum(x, paddle.zeros_like(x)), torch.relu, 0 * ALIKE),
    ],
    ids=["equal values", "zeros"],
)
def test_a_kink_of_one_function_is_the_frameworks(ours: Any, theirs: Any, x: np.ndarray) -> None:
    report = _report(ours, theirs, x)
    assert report.passed and report.equivalent
    assert "framework-divergence" in [finding.verdict for finding in report.findings]


class _Normed(paddle.nn.Layer):
    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.conv, self.norm = paddle.nn.Conv2D(3, 4, 1), norm

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.conv(x))


class _TorchNormed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 1), torch.nn.GroupNorm(1, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


@pytest.mark.parametrize("phase", ["both", "forward"])
def test_scales_of_another_size_are_trained_otherwise(phase: str) -> None:
    """Fresh ones hide that one model trains a scale for each element, the other for each
    channel."""
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    layer = _Normed(paddle.nn.LayerNorm([4, 5, 5]))
    options = {**STRICT, "diff_phase": phase}
    report = pg.compare(layer, _TorchNormed(), example, options=options)
    assert report.passed == (phase == "forward")
    if phase == "both":
        failing = [finding for finding in report.findings if finding.fails]
        assert failing and failing[0].paddle_path == "norm"
