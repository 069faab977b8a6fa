"""A value that one model computes once more than the other: gradients part otherwise, and come to
the same; a copy that is cut off is a difference all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(0).standard_normal((2, 3, 8)).astype("float32")


class _Paddle(paddle.nn.Layer):
    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.a, self.b, self.detached = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 8), detached

    def forward(self, x: Any) -> Any:
        again = self.a(x.detach() if self.detached else x)
        scores = paddle.matmul(self.a(x), again, transpose_y=True)
        return paddle.matmul(paddle.nn.functional.softmax(scores, -1), self.b(x))


class _Torch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        h = self.a(x)
        return torch.softmax(h @ h.transpose(1, 2), -1) @ self.b(x)


@pytest.mark.parametrize("detached", [False, True])
def test_a_value_that_is_computed_twice(detached: bool) -> None:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    report = pg.compare(_Paddle(detached).eval(), _Torch().eval(), inputs, options=STRICT)
    assert report.passed is not detached
    assert any(finding.fails for finding in report.findings) is detached


class _Chosen(paddle.nn.Layer):
    """The best of all scores, as shares of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.out = paddle.nn.Linear(8, 4), paddle.nn.Linear(2, 3)

    def forward(self, x: Any) -> Any:
        return self.out(paddle.nn.functional.softmax(self.gate(x), -1).topk(2, -1)[0])


class _ChosenFirst(torch.nn.Module):
    """The same, chosen first; the scores are computed once more for their sum."""

    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.gate, self.out = torch.nn.Linear(8, 4), torch.nn.Linear(2, 3)
        self.detached = detached

    def forward(self, x: Any) -> Any:
        best = self.gate(x).topk(2, -1)[0]
        again = self.gate(x.detach() if self.detached else x)
        return self.out(best.exp() / again.exp().sum(-1, keepdim=True))


@pytest.mark.parametrize("detached", [False, True])
def test_scores_that_are_computed_twice_around_what_is_chosen(detached: bool) -> None:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    report = pg.compare(_Chosen().eval(), _ChosenFirst(detached).eval(), inputs, options=STRICT)
    assert report.passed is not detached
    assert any(finding.fails for finding in report.findings) is detached


STEPS = 30


class _Steps(paddle.nn.Layer):
    """A loop that computes a value twice in each step, in one of them of another value."""

    def __init__(self, detached: int) -> None:
        super().__init__()
        self.a, self.detached = paddle.nn.Linear(8, 8), detached

    def forward(self, x: Any) -> Any:
        for step in range(STEPS):
            again = self.a(x.detach() if step == self.detached else x)
            x = x / 2 + paddle.tanh(self.a(x) + again)
        return x


class _TorchSteps(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        for _ in range(STEPS):
            x = torch.tanh(self.a(x) * 2) + x * 0.5
        return x


@pytest.mark.parametrize("detached", [-1, 7])
def test_a_value_that_is_computed_twice_in_many_steps(detached: int) -> None:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    report = pg.compare(_Steps(detached).eval(), _TorchSteps().eval(), inputs, options=STRICT)
    assert report.passed is (detached < 0), report.findings
    assert any(finding.fails for finding in report.findings) is not report.passed


class _Squares(paddle.nn.Layer):
    """A variance that is told by squares, of values far from zero."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.a, self.b, self.share = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 8), share

    def forward(self, x: Any) -> Any:
        x = self.a(x) + 3
        variance = (x * x).mean(0) - x.mean(0) ** 2 * self.share
        return self.b((x - x.mean(0)) / paddle.sqrt(variance + 1e-3))


class _Deviations(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        x = self.a(x) + 3
        return self.b((x - x.mean(0)) / torch.sqrt(((x - x.mean(0)) ** 2).mean(0) + 1e-3))


@pytest.mark.parametrize("share", [1.0, 0.9999])
def test_a_mean_that_is_handed_on_beside_what_it_is_the_mean_of(share: float) -> None:
    """It is rounded by itself, and leaves a trace in a small difference of large numbers."""
    torch.manual_seed(0)
    x = X.reshape(6, 8)
    inputs = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x.copy())}
    options = {**STRICT, "atol": 1e-2, "allow_rounding": True}
    report = pg.compare(_Squares(share).eval(), _Deviations().eval(), inputs, options=options)
    assert report.passed is (share == 1.0), report.findings
    assert any(finding.fails for finding in report.findings) is not report.passed
