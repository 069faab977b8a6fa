"""A loop that collects the state of another step."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

OPTIONS = {"rtol": 1e-4, "atol": 1e-5}
WIDTH, STEPS = 6, 4


class TorchLoop(torch.nn.Module):
    def __init__(self, keeps="new"):
        super().__init__()
        self.keeps = keeps
        self.cell = torch.nn.GRUCell(3, WIDTH)
        self.head = torch.nn.Linear(WIDTH, 2)

    def forward(self, x):
        state, kept = x.new_zeros(len(x), WIDTH), []
        for step in range(STEPS):
            new = self.cell(x[:, step], state)
            kept.append(new if self.keeps == "new" else state)
            state = new
        return self.head(torch.stack(kept, 1))


class PaddleLoop(paddle.nn.Layer):
    def __init__(self, keeps="new"):
        super().__init__()
        self.keeps = keeps
        self.cell = paddle.nn.GRUCell(3, WIDTH)
        self.head = paddle.nn.Linear(WIDTH, 2)

    def forward(self, x):
        state, kept = paddle.zeros([len(x), WIDTH]), []
        for step in range(STEPS):
            new, _ = self.cell(x[:, step], state)
            kept.append(new if self.keeps == "new" else state)
            state = new
        return self.head(paddle.stack(kept, 1))


def compared(first, second):
    x = np.random.default_rng(0).standard_normal((3, STEPS, 3), np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return pg.compare(PaddleLoop(first), TorchLoop(second), example, options=OPTIONS)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("old", "new", "operand 2 of Concat in the Paddle model is operand 1 in the torch model"),
        ("new", "old", "operand 1 of Concat in the Paddle model is operand 2 in the torch model"),
    ],
)
def test_the_state_of_another_step_is_told_where_states_are_collected(first, second, words):
    report = compared(first, second)
    assert not report.passed
    told = [finding for finding in report.findings if finding.cause_id == "operands.shifted"]
    assert len(told) == 1 and words in told[0].cause and told[0].verdict == "different"
    assert "test_other_steps.py" in told[0].paddle_source


@pytest.mark.parametrize("keeps", ["new", "old"])
def test_the_same_states_are_no_difference(keeps):
    report = compared(keeps, keeps)
    assert report.equivalent and not any(finding.fails for finding in report.findings)
