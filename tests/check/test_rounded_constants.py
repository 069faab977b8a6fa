"""Constants of a formula that a port has rounded: another function, below what float32 shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
ROOT = math.sqrt(2 / math.pi)
Function = Callable[[Any], Any]


class _Paddle(paddle.nn.Layer):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.first, self.last = paddle.nn.Linear(6, 6), paddle.nn.Linear(6, 3)
        self.function = function

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.last(self.function(self.first(x)))


class _Torch(torch.nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(6, 6), torch.nn.Linear(6, 3)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.function(self.first(x)))


def _compared(ours: Function, theirs: Function) -> pg.Report:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return pg.compare(_Paddle(ours).eval(), _Torch(theirs).eval(), inputs, options=STRICT)


def _gelu(root: float, cubic: float = 0.044715) -> Function:
    def written(x: Any) -> Any:
        return 0.5 * x * (1 + (root * (x + cubic * x**3)).tanh())

    return written


@pytest.mark.parametrize(
    ("root", "cubic"),
    [(0.79788, 0.044715), (0.7979, 0.044715), (ROOT, 0.0447)],
    ids=["a root of five digits", "of four digits", "a cubic factor of three"],
)
@pytest.mark.parametrize("rounded", [0, 1])
def test_rounded_constants_of_a_gelu_are_told(rounded: int, root: float, cubic: float) -> None:
    pair = _gelu(root, cubic), _gelu(ROOT)
    report = _compared(*(pair if rounded == 0 else pair[::-1]))
    (found,) = [finding for finding in report.findings if finding.fails]
    assert not report.passed and found.cause_id == "attribute.approximate"
    assert f"tanh({root:.6g} (x + {cubic:g} x^3))" in found.cause


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (_gelu(0.79788456), _gelu(ROOT)),
        (_gelu(0.79788), _gelu(0.79788)),
        (_gelu(0.7976, 0.04471), _gelu(0.7976, 0.04471)),
        (_gelu(0.7978845608), lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
        (lambda x: paddle.nn.functional.gelu(x, approximate=True), _gelu(ROOT)),
    ],
    ids=[
        "eight digits",
        "the same five digits",
        "a product that float32 rounds",
        "the library's",
        "the library's port",
    ],
)
def test_constants_that_float32_holds_alike(ours: Function, theirs: Function) -> None:
    report = _compared(ours, theirs)
    assert report.passed and not report.findings, report.findings


@pytest.mark.parametrize(("alpha", "same"), [(1.67326, False), (1.6732632, True)])
def test_a_rounded_number_is_no_difference_of_the_frameworks(alpha: float, same: bool) -> None:
    def ours(x: Any) -> Any:
        return paddle.nn.functional.selu(x, alpha=alpha)

    report = _compared(ours, torch.nn.functional.selu)
    assert report.passed is same, report.findings
    assert {finding.verdict for finding in report.findings} <= {"different"}


def test_a_rounded_slope_of_a_hard_sigmoid_is_told() -> None:
    def ours(x: Any) -> Any:
        return x * paddle.clip(x * 0.16667 + 0.5, 0.0, 1.0)

    report = _compared(ours, torch.nn.functional.hardswish)
    assert not report.passed and any(finding.fails for finding in report.findings)
