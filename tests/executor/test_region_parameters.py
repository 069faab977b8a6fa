"""What both sides of every region hold: numbers of the program stay as they are."""

from __future__ import annotations

import numpy as np
import paddle
import torch

import padiff_graph as pg

TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}


class PaddleNormalised(paddle.nn.Layer):
    """A mean of zeros, a scale of ones and a bias of zeros that are buffers, as vocoders and
    language models have them."""

    def __init__(self, bias=0.0):
        super().__init__()
        self.fc = paddle.nn.Linear(4, 8)
        self.register_buffer("mean", paddle.zeros([4]))
        self.register_buffer("scale", paddle.ones([4]))
        self.register_buffer("bias", paddle.full([1, 8], bias))

    def forward(self, x):
        return self.fc((x - self.mean) / self.scale) + self.bias


class TorchNormalised(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 8)
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("scale", torch.ones(4))
        self.register_buffer("bias", torch.zeros(1, 8))

    def forward(self, x):
        return self.fc((x - self.mean) / self.scale) + self.bias


def checked(bias=0.0):
    x = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return pg.compare(
        PaddleNormalised(bias), TorchNormalised(), example, auto_weights=True, options=TOLERANCE
    )


def test_buffers_that_change_nothing_keep_their_numbers_on_both_sides():
    report = checked()
    assert report.passed and not report.findings and report.regions == {"equal": 2}


def test_a_buffer_that_changes_something_is_still_told():
    report = checked(bias=0.5)
    assert not report.passed and any(finding.fails for finding in report.findings)
