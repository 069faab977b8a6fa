"""Stochastic depth in every way that it is written, with one draw for both models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

KEEP = 0.6
STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(1).standard_normal((5, 6)).astype("float32")

PADDLE: dict[str, Callable[[], paddle.Tensor]] = {
    "floor": lambda: paddle.floor(KEEP + paddle.rand([5, 1])),
    "below": lambda: (paddle.rand([5, 1]) < KEEP).astype("float32"),
}
TORCH: dict[str, Callable[[], torch.Tensor]] = {
    "floor": lambda: torch.floor(torch.rand(5, 1) + KEEP),
    "below": lambda: (torch.rand(5, 1) < KEEP).float(),
    "coin": lambda: torch.empty(5, 1).bernoulli_(KEEP),
}


class _Paddle(paddle.nn.Layer):
    def __init__(self, way: str, scale: float = 1 / KEEP) -> None:
        super().__init__()
        self.way, self.scale, self.fc = way, scale, paddle.nn.Linear(6, 6)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x + self.fc(x) * (PADDLE[self.way]() * self.scale)


class _Torch(torch.nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.fc = way, torch.nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fc(x) * (TORCH[self.way]() / KEEP)


def _report(layer: paddle.nn.Layer, module: torch.nn.Module) -> pg.Report:
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return pg.compare(layer.train(), module.train(), inputs, options=STRICT)


@pytest.mark.parametrize("ours", PADDLE)
@pytest.mark.parametrize("theirs", TORCH)
def test_every_way_shares_the_draw(ours: str, theirs: str) -> None:
    assert _report(_Paddle(ours), _Torch(theirs)).passed


def test_another_scale_of_what_is_kept_differs() -> None:
    report = _report(_Paddle("floor", scale=1.0), _Torch("coin"))
    assert not report.passed and any(finding.fails for finding in report.findings)
