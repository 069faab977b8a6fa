"""What a report says beside the yes or no: equivalence, noise, obligations, rounding allowed."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

X = np.random.RandomState(0).randn(6, 8).astype("float32")


class Port(paddle.nn.Layer):
    def __init__(self, rate=0.0, factor=1.0, depth=3):
        super().__init__()
        self.layers = paddle.nn.LayerList([paddle.nn.Linear(8, 8) for _ in range(depth)])
        self.norm, self.drop, self.factor = paddle.nn.LayerNorm(8), paddle.nn.Dropout(rate), factor

    def forward(self, x):
        for layer in self.layers:
            x = self.norm(x + self.drop(paddle.tanh(layer(x))) * self.factor)
        return x


class Reference(torch.nn.Module):
    def __init__(self, rate=0.0, factor=1.0, depth=3):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(depth))
        self.norm, self.drop, self.factor = torch.nn.LayerNorm(8), torch.nn.Dropout(rate), factor

    def forward(self, x):
        for layer in self.layers:
            x = self.norm(x + self.drop(torch.tanh(layer(x))) * self.factor)
        return x


def example():
    return {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}


def shown(report):
    return {obligation.name: obligation.status for obligation in report.obligations}


def test_rounding_beyond_the_tolerance_is_proved_and_allowed_where_asked():
    strict = {"rtol": 0.0, "atol": 0.0, "compare_mode": "strict"}
    layer, module = Port(), Reference()
    report = pg.compare(layer, module, example(), options=strict)
    assert not report.passed and report.equivalent is True, str(report)
    assert not any(finding.fails for finding in report.findings)
    assert {finding.cause_id for finding in report.findings} == {"rounding.accumulated"}
    assert report.noise and all(0 <= noise < 1e-3 for noise in report.noise.values())
    assert shown(report)["tolerance"] == "not shown" and str(report).startswith("EQUIVALENT")
    allowed = pg.compare(layer, module, example(), options={**strict, "allow_rounding": True})
    assert allowed.passed and allowed.equivalent is True
    assert "not shown" not in shown(allowed).values(), allowed.obligations


def test_a_difference_is_never_equivalent():
    options = {"rtol": 1.0, "atol": 1.0, "allow_rounding": True}
    report = pg.compare(Port(factor=1.001), Reference(), example(), options=options)
    assert not report.passed and report.equivalent is False


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("train", [False, True])
def test_everything_that_is_asked_is_shown(rate, train):
    layer, module = Port(rate), Reference(rate)
    for model in (layer, module):
        model.train() if train else model.eval()
    report = pg.compare(layer, module, example(), options={"rtol": 1e-3, "atol": 1e-4})
    assert report.passed and report.equivalent is True, str(report)
    statuses = shown(report)
    assert set(statuses.values()) == {"shown", "not asked"}
    assert {name for name, status in statuses.items() if status == "not asked"} == {
        "loss",
        "training",
    }


def test_forward_alone_is_not_asked_for_gradients():
    report = pg.compare(Port(), Reference(), example(), options={"diff_phase": "forward"})
    assert shown(report)["gradients"] == "not asked"


def test_without_a_tolerance_assertions_allow_rounding():
    pg.assert_ported(Port(depth=12), Reference(depth=12), example())
    with pytest.raises(AssertionError):
        pg.assert_ported(Port(factor=1.01), Reference(), example())
    with pytest.raises(AssertionError):
        tight = {"rtol": 0.0, "atol": 0.0, "compare_mode": "strict"}
        pg.assert_ported(Port(depth=12), Reference(depth=12), example(), options=tight)
