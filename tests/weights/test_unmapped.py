"""Weights of both models that no map is found between are told as such, never as a difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
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


class _TwoReal(paddle.nn.Layer):
    """A product with a complex weight as two real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.real, self.imaginary = (self.create_parameter([3, 4]) for _ in range(2))

    def forward(self, x: Any) -> Any:
        real, imaginary = x @ self.real, x @ self.imaginary
        return real * real + imaginary * imaginary, real * 2 - imaginary


class _Squared(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 3, dtype=torch.complex64))

    def forward(self, x: Any) -> Any:
        product = torch.complex(x, torch.zeros_like(x)) @ self.weight.T
        return product.abs() ** 2, product.real * 2 - product.imag


def test_a_complex_product_is_no_counterpart_of_a_real_one() -> None:
    """Whether or not a map is found: both models are right, and nothing is told to differ."""
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(_TwoReal(), _Squared(), example, options={"atol": 1e-5, "rtol": 1e-4})
    assert not any(finding.fails for finding in report.findings), report


class _OneBias(paddle.nn.Layer):
    """A recurrent cell written out, with one bias for each gate."""

    def __init__(self, wrong: bool, scaled: bool = False) -> None:
        super().__init__()
        self.wrong, self.scaled = wrong, scaled
        self.given = paddle.nn.LayerList(paddle.nn.Linear(3, 4) for _ in range(3))
        self.kept = paddle.nn.LayerList(
            paddle.nn.Linear(4, 4, bias_attr=None if name == "candidate" else False)
            for name in ("reset", "update", "candidate")
        )

    def forward(self, x: Any) -> Any:
        state, states = paddle.zeros([x.shape[0], 4]), []
        for step in range(x.shape[1]):
            (a, b, c), (d, e, f) = (
                [linear(of) for linear in linears]
                for linears, of in ((self.given, x[:, step]), (self.kept, state))
            )
            if self.scaled:
                a = paddle.matmul(x[:, step], self.given[0].weight) + self.given[0].bias * d.mean()
            reset, update = (a + d).sigmoid(), (b + e).sigmoid()
            fresh = (c + reset * f).tanh()
            state = (1 - update) * (fresh * 0.9 if self.wrong else fresh) + update * state
            states.append(state)
        return paddle.stack(states, 1)


class _Cell(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.rnn(x)[0]


def test_a_bias_that_is_the_sum_of_two_has_a_map() -> None:
    example = {"x": paddle.to_tensor(X[:, :2])}, {"x": torch.from_numpy(X[:, :2])}
    assert pg.compare(_OneBias(False).eval(), _Cell().eval(), example).equivalent


@pytest.mark.parametrize("scaled", [False, True])
def test_a_fault_beside_a_bias_that_is_the_sum_of_two(scaled: bool) -> None:
    """With zeros for what is only added, no map makes both agree; a bias that is scaled first is no
    sum, and whether the models differ stays open."""
    example = {"x": paddle.to_tensor(X[:, :2])}, {"x": torch.from_numpy(X[:, :2])}
    report = pg.compare(_OneBias(True, scaled).eval(), _Cell().eval(), example)
    assert not report.passed and report.equivalent is (None if scaled else False)
    assert bool([finding for finding in report.findings if finding.fails]) is not scaled
    assert any("matrices hold as many numbers, 84" in f.cause for f in report.findings)


class _Halves(paddle.nn.Layer):
    """A layer without the bias, and with the halves of its weight computed on apart."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = paddle.nn.Linear(8, 8, bias_attr=False)

    def forward(self, x: Any) -> Any:
        return (x[:, :, :4] @ self.fc.weight[:4]).tanh() + x[:, :, 4:] @ self.fc.weight[4:]


class _Whole(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self.fc(x).sigmoid()


def test_a_bias_that_one_model_lacks_is_no_sum() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(_Halves(), _Whole(), example)
    assert any(finding.fails for finding in report.findings), report
