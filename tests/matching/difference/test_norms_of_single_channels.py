"""An InstanceNormalization is a GroupNormalization of single channels: what differs is told as a
setting of it, and nothing where they are the same."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

X = np.random.default_rng(0).standard_normal((2, 6, 5, 5)).astype("float32")


class Layer(paddle.nn.Layer):
    def __init__(self, norm):
        super().__init__()
        self.conv, self.norm = paddle.nn.Conv2D(6, 6, 1), norm

    def forward(self, x):
        return self.norm(self.conv(x))


class Module(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(6, 6, 1), norm

    def forward(self, x):
        return self.norm(self.conv(x))


def compared(first, second):
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    options = {"atol": 1e-5, "rtol": 1e-4}
    return padiff_graph.compare(Layer(first), Module(second), example, options=options)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: paddle.nn.GroupNorm(6, 6), lambda: torch.nn.InstanceNorm2d(6, affine=True)),
        (lambda: paddle.nn.InstanceNorm2D(6), lambda: torch.nn.GroupNorm(6, 6)),
    ],
)
def test_groups_of_one_channel_are_instances(first, second):
    report = compared(first(), second())
    assert report.passed
    assert not report.findings


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        (
            lambda: paddle.nn.GroupNorm(3, 6),
            lambda: torch.nn.InstanceNorm2d(6, affine=True),
            "GroupNormalization.num_groups 3 against 6",
        ),
        (
            lambda: paddle.nn.InstanceNorm2D(6),
            lambda: torch.nn.GroupNorm(2, 6),
            "GroupNormalization.num_groups 6 against 2",
        ),
        (
            lambda: paddle.nn.InstanceNorm2D(6, epsilon=1e-3),
            lambda: torch.nn.GroupNorm(6, 6),
            "GroupNormalization.epsilon 0.001 against 1e-05",
        ),
        (
            lambda: paddle.nn.InstanceNorm2D(6, weight_attr=False, bias_attr=False),
            lambda: torch.nn.GroupNorm(6, 6),
            "missing scale of InstanceNormalization in the Paddle model",
        ),
    ],
)
def test_what_differs_is_told_as_a_setting(first, second, cause):
    report = compared(first(), second())
    assert not report.passed
    assert cause in [finding.cause.partition(";")[0] for finding in report.findings]
