"""Where a model's own constants put a function at a kink, the frameworks choose another slope.

That is no rounding.
"""

from __future__ import annotations

import numpy as np
import paddle
import torch

import padiff_graph as pg


class _Torch(torch.nn.Module):
    """A branch whose last scale starts at zero, as residual networks are initialised."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = (
            torch.nn.Conv2d(3, 4, 3),
            torch.nn.BatchNorm2d(4),
            torch.nn.Linear(4, 2),
        )
        torch.nn.init.zeros_(self.norm.weight)

    def forward(self, x):
        return self.head(torch.nn.functional.leaky_relu(self.norm(self.conv(x)), 0.01).mean((2, 3)))


class _Paddle(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = (
            paddle.nn.Conv2D(3, 4, 3),
            paddle.nn.BatchNorm2D(4),
            paddle.nn.Linear(4, 2),
        )

    def forward(self, x):
        return self.head(
            paddle.nn.functional.leaky_relu(self.norm(self.conv(x)), 0.01).mean([2, 3])
        )


def test_another_slope_at_zero_is_named_as_the_frameworks_difference():
    torch.manual_seed(0)
    layer, module = _Paddle().eval(), _Torch().eval()
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("float32")
    report = pg.compare(
        layer,
        module,
        ({"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}),
        options={"rtol": 1e-4, "atol": 1e-6},
    )
    assert not any(finding.verdict == "rounding" for finding in report.findings)
    assert report.passed
    kinks = [
        finding
        for finding in report.findings
        if finding.verdict == "framework-divergence" and "kink" in finding.cause
    ]
    assert kinks and "leaky_relu" in kinks[0].torch_op


class _Deep(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 6), torch.nn.Linear(6, 2)

    def forward(self, x):
        return self.second(torch.nn.functional.silu(self.first(x)))


class _PaddleDeep(paddle.nn.Layer):
    def __init__(self, by_hand=False):
        super().__init__()
        self.first, self.second, self.by_hand = (
            paddle.nn.Linear(6, 6),
            paddle.nn.Linear(6, 2),
            by_hand,
        )

    def forward(self, x):
        y = self.first(x)
        return self.second(
            y / (1 + paddle.exp(-y)) if self.by_hand else paddle.nn.functional.silu(y)
        )


def _large():
    x = 400 * np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    return {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}


def test_a_gradient_that_the_frameworks_own_kernel_overflows_is_its_defect():
    torch.manual_seed(0)
    report = pg.compare(_PaddleDeep(), _Deep(), _large(), options={"rtol": 1e-4, "atol": 1e-6})
    found = [finding for finding in report.findings if finding.verdict == "framework-defect"]
    assert found and "silu" in found[0].paddle_op and "of one operation" in found[0].cause
    assert not any(finding.fails for finding in report.findings)


def test_a_formula_that_overflows_is_the_models_own():
    torch.manual_seed(0)
    report = pg.compare(
        _PaddleDeep(by_hand=True), _Deep(), _large(), options={"rtol": 1e-4, "atol": 1e-6}
    )
    assert not report.passed
    assert any(finding.fails and finding.phase == "backward" for finding in report.findings)
