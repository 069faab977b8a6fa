"""Gradients through recurrent layers in evaluation mode, as totals of the whole runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-5, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(5).standard_normal((2, 4, 6)).astype("float32")
KINDS = ["LSTM", "GRU", "SimpleRNN"]
TORCH = {"SimpleRNN": "RNN"}


class _Paddle(paddle.nn.Layer):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.fc, self.head = paddle.nn.Linear(6, 6), paddle.nn.Linear(5, 3)
        self.rnn = getattr(paddle.nn, kind)(6, 5, num_layers=2, dropout=0.25)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.rnn(paddle.tanh(self.fc(x)))[0])


class _Torch(torch.nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.fc, self.head = torch.nn.Linear(6, 6), torch.nn.Linear(5, 3)
        own = getattr(torch.nn, TORCH.get(kind, kind))
        self.rnn = own(6, 5, num_layers=2, dropout=0.25, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(torch.tanh(self.fc(x)))[0])


def _report(layer: Any, module: Any) -> pg.Report:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return pg.compare(layer.eval(), module.eval(), example, options=STRICT)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_front_of_a_recurrent_layer_are_compared(kind: str) -> None:
    report = _report(_Paddle(kind), _Torch(kind))
    assert report.passed, str(report)
    shown = {entry.name: entry for entry in report.obligations}["gradients"]
    assert shown.status == "shown" and "eager" in shown.by
    assert not any("gradients" in note for note in report.notes)


def test_a_frozen_weight_in_front_of_a_recurrent_layer_is_told() -> None:
    layer = _Paddle("LSTM")
    layer.fc.weight.stop_gradient = True
    report = _report(layer, _Torch("LSTM"))
    assert not report.passed and any(finding.fails for finding in report.findings)
