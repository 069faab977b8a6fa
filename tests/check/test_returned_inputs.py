"""Models that return what they were given, or a value beside what is made of it."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

OPTIONS = {"rtol": 1e-4, "atol": 1e-5}
WAYS = {
    "an input as it is": lambda fc, a, b: (fc(a), b),
    "an input that is read too": lambda fc, a, b: (fc(a) * b, b),
    "a value beside what is made of it": lambda fc, a, b: (fc(a) * b, fc(a) - b, a * b, a),
}
FAULTY = {
    "an input as it is": lambda fc, a, b: (fc(a), 2 * b),
    "an input that is read too": lambda fc, a, b: (fc(a) * b, b.detach()),
    "a value beside what is made of it": lambda fc, a, b: (fc(a) * b, fc(a) - b, a * b, b),
}


class Layer(paddle.nn.Layer):
    def __init__(self, way) -> None:
        super().__init__()
        self.fc, self.way = paddle.nn.Linear(6, 6), way

    def forward(self, a, b):
        return self.way(self.fc, a, b)


class Module(torch.nn.Module):
    def __init__(self, way) -> None:
        super().__init__()
        self.fc, self.way = torch.nn.Linear(6, 6), way

    def forward(self, a, b):
        return self.way(self.fc, a, b)


def compared(ours, theirs):
    rng = np.random.default_rng(0)
    numbers = {name: rng.standard_normal((2, 3, 6)).astype("float32") for name in ("a", "b")}
    example = (
        {name: paddle.to_tensor(array) for name, array in numbers.items()},
        {name: torch.from_numpy(array) for name, array in numbers.items()},
    )
    return pg.compare(Layer(ours), Module(theirs), example, auto_weights=True, options=OPTIONS)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_returned_as_it_was_given_is_compared(way):
    report = compared(WAYS[way], WAYS[way])
    assert report.passed, str(report)


@pytest.mark.parametrize("way", WAYS)
def test_another_value_in_its_place_is_different(way):
    report = compared(FAULTY[way], WAYS[way])
    assert not report.passed
    assert any(finding.fails for finding in report.findings), str(report)
