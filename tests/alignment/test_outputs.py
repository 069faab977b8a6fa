"""Which output of one model is which of the other, and what is said of those that only one has."""

from __future__ import annotations

import numpy as np
import paddle
import torch

import padiff_graph as pg


class _Torch(torch.nn.Module):
    """Works sequence first, as older language models do, and returns its layers' states besides."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = torch.nn.Linear(6, 6), torch.nn.LayerNorm(6)

    def forward(self, x):
        y = x.transpose(0, 1)
        state = self.fc(y)
        return {
            "last": self.norm(torch.relu(state)).permute(1, 0, 2).contiguous(),
            "states": [y, state],
        }


class _Paddle(paddle.nn.Layer):
    def __init__(self, wrong=False):
        super().__init__()
        self.fc, self.norm, self.wrong = paddle.nn.Linear(6, 6), paddle.nn.LayerNorm(6), wrong

    def forward(self, x):
        y = self.norm(paddle.nn.functional.relu(self.fc(x.transpose([1, 0, 2]))))
        return (y * 1.5 if self.wrong else y).transpose([1, 0, 2])


def _example():
    x = np.random.default_rng(0).standard_normal((2, 3, 6)).astype("float32")
    return {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}


def test_outputs_that_leave_in_another_order_are_paired_and_the_rest_is_told():
    report = pg.compare(_Paddle(), _Torch(), _example(), options={"rtol": 1e-5, "atol": 1e-6})
    assert report.passed
    assert report.compared.outputs == 1
    assert any(
        "outputs that only the second model has" in note and "states.0" in note
        for note in report.notes
    )


def test_a_wrong_output_beside_lost_ones_is_found():
    report = pg.compare(
        _Paddle(wrong=True), _Torch(), _example(), options={"rtol": 1e-5, "atol": 1e-6}
    )
    assert not report.passed
    assert any(finding.fails for finding in report.findings)


class _Two(torch.nn.Module):
    def forward(self, x):
        return {"a": torch.tanh(x)[:, :1], "b": torch.exp(x)[:, :, :2]}


class _One(paddle.nn.Layer):
    def forward(self, x):
        return paddle.sin(x)[:, :, :1]


def test_runs_without_a_common_output_are_not_compared():
    report = pg.compare(_One(), _Two(), _example(), options={"rtol": 1e9, "atol": 1e9})
    assert not report.passed
    assert report.compared.outputs == 0
    assert any(
        "no output of one model could be laid beside one of the other" in note
        for note in report.notes
    )
