"""Whole numbers beyond 2^53, which float64 does not hold, are compared as they are."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph
from padiff_graph.diagnosis.probes import probe

X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
LARGE = np.array([[2**53 + 1, 2**60 + 3], [1, -(2**62) - 5]], np.int64)
OTHER = LARGE + np.array([[1, 0], [0, 0]])
WAYS = ("constant", "buffer", "input", "written")


class Layer(paddle.nn.Layer):
    def __init__(self, way, numbers):
        super().__init__()
        self.fc, self.way, self.numbers = paddle.nn.Linear(6, 6), way, numbers
        self.register_buffer("held", paddle.to_tensor(numbers))

    def forward(self, x, given):
        if self.way == "constant":
            large = paddle.to_tensor(self.numbers)
        elif self.way == "written":
            large = paddle.zeros_like(given)
            large[0] = self.numbers[0]
        else:
            large = self.held * 1 if self.way == "buffer" else given
        return self.fc(x), large + 1


class Module(torch.nn.Module):
    def __init__(self, way, numbers):
        super().__init__()
        self.fc, self.way, self.numbers = torch.nn.Linear(6, 6), way, numbers
        self.register_buffer("held", torch.tensor(numbers))

    def forward(self, x, given):
        if self.way == "constant":
            large = torch.tensor(self.numbers)
        elif self.way == "written":
            large = torch.zeros_like(given)
            large[0] = torch.tensor(self.numbers[0])
        else:
            large = self.held * 1 if self.way == "buffer" else given
        return self.fc(x), large + 1


def compared(way, first):
    layer, module = Layer(way, first), Module(way, LARGE)
    given = first if way == "input" else LARGE
    example = (
        {"x": paddle.to_tensor(X), "given": paddle.to_tensor(given)},
        {"x": torch.from_numpy(X), "given": torch.tensor(LARGE)},
    )
    with torch.no_grad():  # no weight is copied, so that the buffers stay as they are
        for own, other in ((layer.fc.weight, module.fc.weight.T), (layer.fc.bias, module.fc.bias)):
            own.set_value(other.numpy())
    options = {"atol": 1e-5, "rtol": 1e-4}
    return padiff_graph.compare(layer, module, example, auto_weights=False, options=options)


@pytest.mark.parametrize("way", WAYS)
def test_equal_numbers_pass(way):
    report = compared(way, LARGE)
    assert report.passed, report.findings


@pytest.mark.parametrize("way", ["constant", "buffer", "written"])
def test_a_difference_of_one_is_told(way):
    report = compared(way, OTHER)
    assert report.equivalent is False
    assert any("1 of 4 elements differ" in finding.cause for finding in report.findings)


def test_relations_of_large_numbers_are_exact():
    assert probe(LARGE, LARGE) is None
    shifted = probe(LARGE + 2, LARGE)
    assert shifted is not None
    assert (shifted.kind, dict(shifted.facts)) == ("values.shifted", {"shift": 2.0})
    one = probe(OTHER, LARGE)
    assert one is not None
    assert (one.kind, dict(one.facts)["count"]) == ("values.unequal", 1)
    near = np.array([1.0, 2.0, 3.0])
    assert getattr(probe(near * np.array([1, 1, 1 + 1e-12]), near), "kind", "") != "values.masked"
