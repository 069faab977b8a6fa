"""A leaky ReLU with a slope that is drawn is one with the mean slope outside of training."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

X = np.random.default_rng(0).standard_normal((2, 5, 6)).astype("float32")
MEAN = (1 / 8 + 1 / 3) / 2


class Layer(paddle.nn.Layer):
    def __init__(self, act):
        super().__init__()
        self.fc, self.act = paddle.nn.Linear(6, 6), act

    def forward(self, x):
        return self.act(self.fc(x))


class Module(torch.nn.Module):
    def __init__(self, act):
        super().__init__()
        self.fc, self.act = torch.nn.Linear(6, 6), act

    def forward(self, x):
        return self.act(self.fc(x))


def compared(first, second, training):
    layer, module = Layer(first), Module(second)
    for model in (layer, module):
        model.train() if training else model.eval()
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return padiff_graph.compare(layer, module, example, options={"atol": 1e-5, "rtol": 1e-4})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (paddle.nn.RReLU(), torch.nn.RReLU()),
        (paddle.nn.LeakyReLU(MEAN), torch.nn.RReLU()),
        (paddle.nn.RReLU(), torch.nn.LeakyReLU(MEAN)),
    ],
)
def test_the_mean_slope_passes_outside_of_training_and_no_draw_in_it(first, second):
    report = compared(first, second, training=False)
    assert report.passed
    assert not report.findings
    assert not compared(first, second, training=True).passed


@pytest.mark.parametrize(
    ("first", "second", "slopes"),
    [
        (paddle.nn.LeakyReLU(0.01), torch.nn.RReLU(), "0.01 against 0.229167"),
        (paddle.nn.RReLU(0.1, 0.3), torch.nn.RReLU(), "0.2 against 0.229167"),
    ],
)
def test_another_slope_is_told_by_its_numbers(first, second, slopes):
    report = compared(first, second, training=False)
    (finding,) = [finding for finding in report.findings if finding.fails]
    assert finding.cause.startswith(f"LeakyRelu.alpha {slopes}")
