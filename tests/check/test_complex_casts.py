"""Real numbers made complex and real again, in one model and not in the other: float64 is asked of
them as of any others."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
OPTIONS = {"atol": 1e-5, "rtol": 1e-4}


class Layer(paddle.nn.Layer):
    def __init__(self, function):
        super().__init__()
        self.fc, self.function = paddle.nn.Linear(6, 6), function

    def forward(self, x):
        return self.function(self.fc(x))


class Module(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.fc, self.function = torch.nn.Linear(6, 6), function

    def forward(self, x):
        return self.function(self.fc(x))


def compared(first, second):
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return padiff_graph.compare(Layer(first), Module(second), example, options=OPTIONS)


def paddle_round(y):
    return y.astype("complex64").real()


def torch_round(y):
    return y.to(torch.complex64).real


RIGHT = {
    "both": (paddle_round, torch_round),
    "torch alone": (lambda y: y, torch_round),
    "Paddle alone": (paddle_round, lambda y: y),
    "in front of a transform, in torch alone": (
        lambda y: paddle.fft.fft(y).real(),
        lambda y: torch.fft.fft(y.to(torch.complex64)).real,
    ),
    "whole numbers": (
        lambda y: (paddle.fft.fft(y) * paddle.arange(6).astype("complex64")).real(),
        lambda y: (torch.fft.fft(y) * torch.arange(6).to(torch.complex64)).real,
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_casts_to_complex_numbers_and_back_pass(name):
    report = compared(*RIGHT[name])
    assert report.passed, report.findings
    assert report.equivalent


WRONG = {
    "the other part": (lambda y: y.astype("complex64").imag(), torch_round),
    "scaled": (lambda y: (y.astype("complex64") * 1.0001).real(), torch_round),
    "scaled, in Paddle alone": (lambda y: (y.astype("complex64") * 1.0001).real(), lambda y: y),
    "the gradient is cut": (lambda y: paddle_round(y.detach()), torch_round),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_differs_in_between_is_told(name):
    report = compared(*WRONG[name])
    assert not report.passed
    assert report.equivalent is False
    assert any(finding.fails for finding in report.findings)
