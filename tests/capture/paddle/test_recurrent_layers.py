"""Recurrent layers of Paddle that a program cannot hold as they are, or that Paddle cannot run."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.capture_errors import MissingKernelError

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(5).standard_normal((2, 5, 6)).astype("float32")


class _Steps(paddle.nn.Layer):
    def __init__(self, recurrent: paddle.nn.Layer, width: int) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, paddle.nn.Linear(width, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.recurrent(x)[0])


class _TorchSteps(torch.nn.Module):
    def __init__(self, recurrent: torch.nn.Module, width: int, factor: float) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, torch.nn.Linear(width, 3)
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return self.head(self.recurrent(x)[0] * self.factor)


def _compared(
    first: paddle.nn.Layer, second: torch.nn.Module, width: int, factor: float
) -> pg.Report:
    return pg.compare(
        _Steps(first, width),
        _TorchSteps(second, width, factor),
        ({"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}),
        auto_weights=True,
        options=STRICT,
    )


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_cell_in_rnn_runs_step_by_step(kind: str, factor: float) -> None:
    cell = getattr(paddle.nn, f"{kind}Cell")(6, 4)
    layer = getattr(torch.nn, kind)(6, 4, batch_first=True)
    report = _compared(paddle.nn.RNN(cell), layer, 4, factor)
    assert report.passed == (factor == 1.0), report


def test_two_cells_in_both_directions() -> None:
    cells = paddle.nn.GRUCell(6, 4), paddle.nn.GRUCell(6, 4)
    layer = torch.nn.GRU(6, 4, batch_first=True, bidirectional=True)
    assert _compared(paddle.nn.BiRNN(*cells), layer, 8, 1.0).passed


@pytest.mark.parametrize(
    "absent", [("bias_hh_attr",), ("bias_ih_attr",), ("bias_hh_attr", "bias_ih_attr")]
)
def test_missing_bias_is_refused_in_words(absent: tuple[str, ...]) -> None:
    layer = paddle.nn.GRU(6, 4, **dict.fromkeys(absent, False))
    with pytest.raises(MissingKernelError, match=r"paddle\.nn\.GRU at recurrent lacks a bias"):
        _compared(layer, torch.nn.GRU(6, 4, batch_first=True), 4, 1.0)
