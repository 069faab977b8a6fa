"""A table of constants that differs is told as one, at the operation that reads it, once."""

import math

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.findings.finding import Finding

LENGTH, HALF = 6, 4
FREQUENCIES = (1.0 / 100.0 ** (np.arange(HALF) / HALF)).astype("float32")


class TorchTurned(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(8, 2 * HALF)
        self.last = torch.nn.Linear(2 * HALF, 3)
        self.register_buffer("frequency", torch.tensor(FREQUENCIES), persistent=False)

    def forward(self, x):
        angles = torch.arange(LENGTH).float()[:, None] * self.frequency
        one, two = self.inner(x).chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        return self.last(torch.cat([one * cos - two * sin, two * cos + one * sin], -1))


class PaddleTurned(paddle.nn.Layer):
    def __init__(self, frequencies, scale=1.0):
        super().__init__()
        self.inner = paddle.nn.Linear(8, 2 * HALF)
        self.last = paddle.nn.Linear(2 * HALF, 3)
        self.register_buffer("frequency", paddle.to_tensor(frequencies), persistable=False)
        self.scale = scale

    def forward(self, x):
        angles = paddle.arange(LENGTH).astype("float32").unsqueeze(1) * self.frequency
        one, two = (self.inner(x) * self.scale).chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        return self.last(paddle.concat([one * cos - two * sin, two * cos + one * sin], -1))


def failing(layer: PaddleTurned) -> list[Finding]:
    numbers = np.random.RandomState(0).standard_normal((2, LENGTH, 8)).astype("float32")
    inputs = ({"x": paddle.to_tensor(numbers)}, {"x": torch.tensor(numbers)})
    report = pg.compare(layer, TorchTurned(), inputs, options={"rtol": 1e-4, "atol": 1e-5})
    return [finding for finding in report.findings if finding.fails]


def test_equal_tables_are_no_finding() -> None:
    assert failing(PaddleTurned(FREQUENCIES)) == []


def test_another_table_is_told_once_with_what_it_is_computed_from() -> None:
    found = failing(PaddleTurned(FREQUENCIES * 3))
    assert [finding.cause_id for finding in found] == ["values.table"]
    assert found[0].cause.startswith(f"Mul reads a table of constants [{LENGTH}, {HALF}]")
    assert found[0].cause.endswith("of which the Paddle side is torch's times 3")
    assert found[0].relative > 0.1


def test_a_table_whose_numbers_have_nothing_simple_in_common_is_told_without() -> None:
    found = failing(PaddleTurned(np.random.RandomState(1).rand(HALF).astype("float32")))
    assert [finding.cause_id for finding in found] == ["values.table"]
    assert found[0].cause.endswith(" apart")


@pytest.mark.parametrize("scale", [0.5, -1.0])
def test_a_table_that_agrees_is_no_reason(scale: float) -> None:
    found = failing(PaddleTurned(FREQUENCIES, scale))
    assert found and not any("table" in finding.cause_id for finding in found)


class PaddlePlaces(paddle.nn.Layer):
    """Adds a table that is computed from places alone."""

    def __init__(self, base):
        super().__init__()
        self.inner, self.base = paddle.nn.Linear(8, 8), base

    def forward(self, x):
        steps = paddle.arange(0, 8, 2).astype("float32") * (-math.log(self.base) / 8)
        angles = paddle.arange(LENGTH).astype("float32").unsqueeze(1) * steps.exp()
        return self.inner(x) + paddle.concat([angles.sin(), angles.cos()], -1)


class TorchPlaces(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(8, 8)

    def forward(self, x):
        steps = torch.arange(0, 8, 2).float() * (-math.log(10000.0) / 8)
        angles = torch.arange(LENGTH).float()[:, None] * steps.exp()
        return self.inner(x) + torch.cat([angles.sin(), angles.cos()], -1)


@pytest.mark.parametrize("base", [10000.0, 10001.0])
def test_tables_that_are_less_apart_than_float32_shows_differ(base: float) -> None:
    numbers = np.random.RandomState(0).standard_normal((2, LENGTH, 8)).astype("float32")
    inputs = ({"x": paddle.to_tensor(numbers)}, {"x": torch.tensor(numbers)})
    report = pg.compare(PaddlePlaces(base), TorchPlaces(), inputs, options={"rtol": 1e-4})
    assert report.passed == (base == 10000.0) == (not [one for one in report.findings if one.fails])
