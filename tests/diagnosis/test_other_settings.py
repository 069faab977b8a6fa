"""One setting of one operation with another value: told as the setting, with both values, where a
trial shows that it is the whole difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as paddle_functional
import pytest
import torch
import torch.nn.functional as torch_functional

import padiff_graph as pg

Function = Callable[[Any], Any]
X = np.random.default_rng(0).standard_normal((2, 6, 8)).astype("float32")
CLASSES = np.random.default_rng(2).integers(0, 12, 12)
WEIGHT = np.linspace(0.5, 2.0, 12).astype("float32")


class _Paddle(paddle.nn.Layer):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function, self.first = function, paddle.nn.Linear(8, 12)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.function(self.first(x)) * 1.5


class _Torch(torch.nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function, self.first = function, torch.nn.Linear(8, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.first(x)) * 1.5


def _paddle_loss(**settings: Any) -> Function:
    return lambda v: paddle_functional.cross_entropy(
        v.reshape([12, 12]), paddle.to_tensor(CLASSES), **settings
    )


def _torch_loss(**settings: Any) -> Function:
    return lambda v: torch_functional.cross_entropy(
        v.reshape(12, 12), torch.tensor(CLASSES), **settings
    )


CASES: dict[str, tuple[Function, Function, Function, tuple[str, ...]]] = {
    "a threshold, by the attribute of Paddle's operation": (
        lambda v: torch_functional.hardshrink(v, 0.5),
        lambda v: paddle_functional.hardshrink(v, 0.5),
        lambda v: paddle_functional.hardshrink(v, 0.3),
        ("threshold 0.3 against 0.5", "pd_op.hardshrink"),
    ),
    "the norm of a Fourier transform, whose axes are tried too": (
        lambda v: torch.fft.fft(v + 0j).real,
        lambda v: paddle.fft.fft(v.astype("complex64")).real(),
        lambda v: paddle.fft.fft(v.astype("complex64"), norm="ortho").real(),
        ("normalization 'ortho' against 'backward'", "pd_op.fft_c2c"),
    ),
    "the kind of variance, of an operation that one framework composes": (
        lambda v: v - v.std(-1, keepdim=True),
        lambda v: v - v.std(-1, keepdim=True),
        lambda v: v - v.std(-1, keepdim=True, unbiased=False),
        ("unbiased False against True", "aten.std"),
    ),
    "the order of a norm, which the normal form composes": (
        lambda v: v / v.norm(p=3, dim=-1, keepdim=True),
        lambda v: v / v.norm(p=3, axis=-1, keepdim=True),
        lambda v: v / v.norm(p=2, axis=-1, keepdim=True),
        ("porder 2 against 3",),
    ),
    "a reduction by its name": (
        _torch_loss(),
        _paddle_loss(),
        _paddle_loss(reduction="sum"),
        ("reduction 'sum' against 'mean'",),
    ),
    "smoothing that one loss lacks": (
        _torch_loss(label_smoothing=0.1),
        _paddle_loss(label_smoothing=0.1),
        _paddle_loss(),
        ("label_smoothing 0 against 0.1",),
    ),
    "a weight of classes that one loss lacks": (
        _torch_loss(weight=torch.tensor(WEIGHT)),
        lambda v: _paddle_loss(weight=paddle.to_tensor(WEIGHT))(v),
        _paddle_loss(),
        ("missing weight",),
    ),
    "two operands in the other order": (
        lambda v: torch.atan2(v, v.tanh()),
        lambda v: paddle.atan2(v, v.tanh()),
        lambda v: paddle.atan2(v.tanh(), v),
        ("2, 1 against 1, 2",),
    ),
    "a number that Paddle's program hands in": (
        lambda v: v * (v > 0.0).float(),
        lambda v: v * (v > 0.0).astype("float32"),
        lambda v: v * (v > 0.5).astype("float32"),
        ("y 0.5 against 0",),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_setting_is_told_with_both_values(case: str) -> None:
    theirs, same, other, words = CASES[case]
    assert not [finding for finding in _report(same, theirs).findings if finding.fails]
    report = _report(other, theirs)
    failing = [finding for finding in report.findings if finding.fails]
    assert not report.passed and failing
    assert all(word in failing[0].cause for word in words), failing[0].cause


def test_another_operator_is_no_setting() -> None:
    whole = np.round(X[..., :1] * 2)
    report = _report(
        lambda v: v * (paddle.to_tensor(whole) + 0 * v >= 0).astype("float32"),
        lambda v: v * (torch.tensor(whole) + 0 * v > 0).float(),
    )
    failing = [finding.cause for finding in report.findings if finding.fails]
    assert failing and "GreaterOrEqual against Greater" in failing[0]


def test_whole_numbers_are_not_explained_by_chance() -> None:
    report = _report(
        lambda v: v * paddle.to_tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]).unsqueeze(-1),
        lambda v: v * (torch.arange(6) != 1).float().unsqueeze(-1),
    )
    failing = [finding for finding in report.findings if finding.fails]
    assert failing and not any(finding.cause_id == "setting.differs" for finding in failing)


def _report(first: Function, second: Function) -> pg.Report:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.tensor(X)}
    options = {"rtol": 1e-4, "atol": 1e-5}
    return pg.compare(_Paddle(first).eval(), _Torch(second).eval(), example, options=options)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_axis_of_a_weight_norm_is_named(axis: int) -> None:
    """As many channels go in as come out, so that the magnitudes fit either way."""
    layer, module = paddle.nn.Conv1D(4, 4, 3), torch.nn.Conv1d(4, 4, 3)
    paddle.nn.utils.weight_norm(layer, dim=axis)
    torch.nn.utils.parametrizations.weight_norm(module)
    x = np.random.default_rng(4).standard_normal((2, 4, 9)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"input": torch.from_numpy(x)}
    report = pg.compare(layer, module, example, options={"atol": 1e-5, "rtol": 1e-4})
    told = [finding.cause for finding in report.findings if finding.fails]
    assert all("dim 1 against 0" in cause for cause in told) and len(told) == axis


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_the_epsilon_of_a_standardised_weight_is_named(epsilon: float) -> None:
    class First(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, 4, 3)

        def forward(self, x: Any) -> Any:
            weight = self.conv.weight
            mean = weight.mean([1, 2, 3], keepdim=True)
            spread = paddle.sqrt(weight.var([1, 2, 3], False, keepdim=True) + epsilon)
            return paddle_functional.conv2d(x, (weight - mean) / spread, self.conv.bias)

    class Second(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x: Any) -> Any:
            weight = self.conv.weight
            var, mean = torch.var_mean(weight, dim=[1, 2, 3], keepdim=True, unbiased=False)
            weight = (weight - mean) / torch.sqrt(var + 1e-5)
            return torch_functional.conv2d(x, weight, self.conv.bias)

    x = np.random.default_rng(4).standard_normal((2, 3, 6, 6)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(First(), Second(), example, options={"atol": 1e-5, "rtol": 1e-4})
    told = [finding.cause_id for finding in report.findings if finding.fails]
    assert told == ([] if epsilon == 1e-5 else ["attribute.epsilon"])
