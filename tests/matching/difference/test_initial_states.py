"""An initial state that one model leaves out is told as that."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((2, 5, 6)).astype("float32")
STATE = RANDOM.standard_normal((1, 2, 8)).astype("float32")
CELL = RANDOM.standard_normal((1, 2, 8)).astype("float32")


class Layer(paddle.nn.Layer):
    def __init__(self, kind, start):
        super().__init__()
        self.layer, self.start = getattr(paddle.nn, kind)(6, 8), start

    def forward(self, x, state, cell):
        pair = (state, cell) if isinstance(self.layer, paddle.nn.LSTM) else state
        return self.layer(x, pair)[0] if self.start else self.layer(x)[0]


class Module(torch.nn.Module):
    def __init__(self, kind, start):
        super().__init__()
        self.layer, self.start = getattr(torch.nn, kind)(6, 8, batch_first=True), start

    def forward(self, x, state, cell):
        pair = (state, cell) if isinstance(self.layer, torch.nn.LSTM) else state
        return self.layer(x, pair)[0] if self.start else self.layer(x)[0]


def compared(kind, first, second, state=STATE):
    given = {"x": X, "state": state, "cell": CELL if state.any() else state}
    example = (
        {name: paddle.to_tensor(array) for name, array in given.items()},
        {name: torch.from_numpy(array) for name, array in given.items()},
    )
    options = {"atol": 1e-5, "rtol": 1e-4}
    return padiff_graph.compare(Layer(kind, first), Module(kind, second), example, options=options)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_state_that_one_model_ignores_is_named(kind):
    report = compared(kind, False, True)
    (failing,) = [finding for finding in report.findings if finding.fails]
    assert failing.cause == f"missing initial state of {kind} in the Paddle model"
    report = compared(kind, True, False)
    (failing,) = [finding for finding in report.findings if finding.fails]
    assert failing.cause == f"extra initial state of {kind} in the Paddle model"


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("start", [True, False])
def test_nothing_is_said_of_equal_states(kind, start):
    report = compared(kind, start, start)
    assert report.passed
    assert not report.findings
