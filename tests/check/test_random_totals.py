"""Totals under random cotangents, where those of the loss cancel: had from the replays that certify
the captures, without a further run of either graph."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.torch.engine import TorchEngine
from padiff_graph.check.random_totals import RandomTotals

FLOAT64 = "float64 of the whole"


class Paddles(paddle.nn.Layer):
    """The mean of a normalised output cancels."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = paddle.nn.Linear(6, 6), paddle.nn.LayerNorm(6)

    def forward(self, x):
        return self.norm(paddle.tanh(self.fc(x)))


class Torches(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = torch.nn.Linear(6, 6), torch.nn.LayerNorm(6)

    def forward(self, x):
        return self.norm(torch.tanh(self.fc(x)))


@pytest.fixture
def asked(monkeypatch):
    """How often torch ran each captured operation."""
    names = []
    run = TorchEngine.run

    def noted(own, node, operands, **named):
        names.append(node.op)
        return run(own, node, operands, **named)

    monkeypatch.setattr(TorchEngine, "run", noted)
    return names


def checked():
    paddle.seed(0)
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((5, 6), np.float32)
    example = ({"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)})
    return pg.compare(Paddles(), Torches(), example, options={"rtol": 1e-2, "atol": 1e-2})


class _Statistics:
    """A running variance that the two frameworks count otherwise, and a loss that says enough."""

    def __init__(self):
        super().__init__()
        self.norm, self.fc = self.nn.BatchNorm1D(6), self.nn.Linear(6, 6)

    def forward(self, x):
        return self.fc(self.norm(x) ** 3)


class PaddleStatistics(_Statistics, paddle.nn.Layer):
    nn = paddle.nn


class TorchStatistics(_Statistics, torch.nn.Module):
    class nn:
        BatchNorm1D, Linear = torch.nn.BatchNorm1d, torch.nn.Linear


def test_a_statistic_that_is_apart_asks_no_cotangents(monkeypatch):
    wanted = []
    original = RandomTotals.wanted
    monkeypatch.setattr(RandomTotals, "wanted", lambda *given: wanted.append(original(*given)))
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((5, 6), np.float32)
    example = ({"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)})
    models = PaddleStatistics().train(), TorchStatistics().train()
    report = pg.compare(*models, example, options={"rtol": 1e-2, "atol": 1e-2})
    assert any(finding.cause_id == "statistics.differ" for finding in report.findings)
    assert report.passed and wanted == [None]


def shown(report):
    (told,) = [one.by for one in report.obligations if one.name == "gradients"]
    return told


def test_a_cancelling_loss_costs_no_further_run(asked):
    report = checked()
    assert report.passed and "under random cotangents" in shown(report)
    # once to certify the capture, once in its region
    assert asked.count("aten.tanh.default") == 2


@pytest.mark.parametrize("side", [0, 1], ids=["paddle", "torch"])
def test_what_a_replay_yields_otherwise_is_not_shown(monkeypatch, side):
    """A gradient that arrives doubled under random cotangents, and rightly under the loss's."""
    told = RandomTotals._told

    def doubled(own, at, yielded):
        gradients = yielded["parameter gradient"]
        if at == side:
            gradients["fc.weight"] = 2 * gradients["fc.weight"]
        told(own, at, yielded)

    monkeypatch.setattr(RandomTotals, "_told", doubled)
    report = checked()
    assert "under random cotangents" not in shown(report)
    assert FLOAT64 in report.timings
