"""Like operations that stand in other places of the program: what the models return tells them."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

OPTIONS = {"rtol": 1e-4, "atol": 1e-5}
WIDTH = 4


class Packed(torch.nn.Module):
    """The second half first."""

    def __init__(self, crossed=False):
        super().__init__()
        self.crossed = crossed
        self.mix = torch.nn.Linear(WIDTH, WIDTH)
        self.halves = torch.nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, x):
        one, other = self.halves(self.mix(x)).chunk(2, -1)
        if self.crossed:
            return one, 0.5 * other + 1
        return other, 0.5 * one + 1


class Apart(paddle.nn.Layer):
    """With a hook that hands gradients on as they are."""

    def __init__(self):
        super().__init__()
        self.mix = paddle.nn.Linear(WIDTH, WIDTH)
        self.one = paddle.nn.Linear(WIDTH, WIDTH)
        self.other = paddle.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        y = self.mix(x)
        y.register_hook(lambda gradient: gradient * 1.0)
        one, other = self.one(y), self.other(y)
        return other, 0.5 * one + 1


@pytest.mark.parametrize("crossed", [False, True])
def test_halves_go_where_the_models_return_them(crossed):
    """Which half is which the weights follow, so that both pass; only an order that no name bears
    out is told."""
    x = np.random.default_rng(0).standard_normal((3, WIDTH), np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(Apart(), Packed(crossed), example, options=OPTIONS)
    assert report.equivalent and not any(finding.fails for finding in report.findings)
    rows = {row.first: row for row in report.parameters}
    offset = rows["one.bias"].pieces[0].second_view.at(np.arange(1))
    assert int(offset[0]) == (WIDTH if crossed else 0)
