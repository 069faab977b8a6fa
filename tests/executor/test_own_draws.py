"""A custom function that draws random numbers of its own.

Nothing is concluded from what differs there.
"""

from __future__ import annotations

import numpy as np
import paddle
import torch

import padiff_graph as pg


class _Drop(paddle.autograd.PyLayer):
    """A dropout written by hand, as published models have it."""

    @staticmethod
    def forward(ctx, x):
        kept = paddle.cast(paddle.rand(x.shape) > 0.5, x.dtype) * 2.0
        ctx.save_for_backward(kept)
        return x * kept

    @staticmethod
    def backward(ctx, gradient):
        (kept,) = ctx.saved_tensor()
        return gradient * kept


class _Steady(paddle.autograd.PyLayer):
    """The same place with a fixed factor, which is a real difference."""

    @staticmethod
    def forward(ctx, x):
        return x * 3.0

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 3.0


class _Paddle(paddle.nn.Layer):
    def __init__(self, function):
        super().__init__()
        self.fc, self.out, self.function = paddle.nn.Linear(6, 6), paddle.nn.Linear(6, 2), function

    def forward(self, x):
        return self.out(self.function.apply(self.fc(x)))


class _Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.drop, self.out = (
            torch.nn.Linear(6, 6),
            torch.nn.Dropout(0.5),
            torch.nn.Linear(6, 2),
        )

    def forward(self, x):
        return self.out(self.drop(self.fc(x)))


def _checked(function):
    x = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    return pg.compare(
        _Paddle(function).train(),
        _Torch().train(),
        ({"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}),
        options={"rtol": 1e-4, "atol": 1e-6},
    )


def test_draws_of_its_own_are_not_comparable():
    report = _checked(_Drop)
    assert not report.passed
    assert not any(finding.fails for finding in report.findings), [
        finding.cause for finding in report.findings
    ]
    assert any(
        finding.verdict == "not-comparable" and "random numbers of its own" in finding.cause
        for finding in report.findings
    )


def test_a_steady_custom_function_that_differs_is_a_difference():
    assert any(finding.fails for finding in _checked(_Steady).findings)
