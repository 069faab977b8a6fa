"""A batch norm that is told to use the statistics of the batch, whatever the mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(5).standard_normal((7, 6)).astype("float32")


class _Paddle(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.first = paddle.nn.Linear(6, 6)
        self.norm = paddle.nn.BatchNorm1D(6, use_global_stats=False)

    def forward(self, x: Any) -> Any:
        return self.norm(self.first(x))


class _Torch(torch.nn.Module):
    def __init__(self, batch: bool) -> None:
        super().__init__()
        self.first, self.norm = torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6)
        self.batch = batch

    def forward(self, x: Any) -> Any:
        norm, y = self.norm, self.first(x)
        mean, variance = norm.running_mean, norm.running_var
        return torch.nn.functional.batch_norm(y, mean, variance, norm.weight, norm.bias, self.batch)


def _compared(batch: bool) -> pg.Report:
    models = _Paddle(), _Torch(batch)
    models[0].eval()
    models[1].eval()
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return pg.compare(*models, example, auto_weights=True, options=STRICT)


def test_statistics_of_the_batch_in_evaluation() -> None:
    """The values agree; Paddle's backward takes the running statistics, which is no derivative."""
    report = _compared(batch=True)
    assert {finding.verdict for finding in report.findings} == {"framework-defect"}
    assert report.equivalent is None


def test_running_statistics_are_told() -> None:
    report = _compared(batch=False)
    assert report.equivalent is False
    assert report.findings[0].cause == "BatchNormalization.training True against False"
