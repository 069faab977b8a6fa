"""A mask that one model reads the other way round, and the same mask read alike."""

from __future__ import annotations

import numpy as np
import paddle
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(4).standard_normal((3, 6)).astype("float32")
HIDDEN = np.array([[True, False, False], [False, True, False], [False, False, True]])


class _Paddle(paddle.nn.Layer):
    def __init__(self, *, inverted: bool) -> None:
        super().__init__()
        self.inverted, self.fc = inverted, paddle.nn.Linear(6, 3)

    def forward(self, x: paddle.Tensor, hidden: paddle.Tensor) -> paddle.Tensor:
        if self.inverted:
            hidden = paddle.logical_not(hidden)
        return paddle.where(hidden, paddle.full([1], 0.5), self.fc(x)).tanh()


class _Torch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(6, 3)

    def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return self.fc(x).masked_fill(hidden, 0.5).tanh()


def _report(*, inverted: bool) -> pg.Report:
    first = {"x": paddle.to_tensor(X), "hidden": paddle.to_tensor(HIDDEN)}
    second = {"x": torch.from_numpy(X), "hidden": torch.from_numpy(HIDDEN)}
    layer, module = _Paddle(inverted=inverted).eval(), _Torch().eval()
    return pg.compare(layer, module, (first, second), options=STRICT)


def test_a_mask_read_the_other_way_round_is_told_or_the_not_is() -> None:
    report = _report(inverted=True)
    assert not report.passed
    failing = [finding for finding in report.findings if finding.fails]
    assert failing and any("not" in finding.cause.lower() for finding in failing)


def test_the_same_mask_passes() -> None:
    assert _report(inverted=False).passed
