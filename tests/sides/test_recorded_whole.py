"""What a recording tells of the whole run beside floating outputs: whole numbers that are returned,
hooks on parameters, training steps that are not there."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
EXAMPLE = {"x": X}, {"x": X}
OPTIONS = {"rtol": 1e-4, "atol": 1e-5}


class TorchNet(torch.nn.Module):
    def __init__(self, chosen):
        super().__init__()
        self.fc, self.chosen = torch.nn.Linear(6, 5), chosen

    def forward(self, x):
        scores = torch.tanh(self.fc(x))
        return scores.argmax(-1) if self.chosen else scores


class PaddleNet(paddle.nn.Layer):
    def __init__(self, chosen, sign=1):
        super().__init__()
        self.fc, self.chosen, self.sign = paddle.nn.Linear(6, 5), chosen, sign

    def forward(self, x):
        scores = paddle.tanh(self.fc(x)) * self.sign
        return scores.argmax(-1) if self.chosen else scores


def _torch(chosen=False):
    torch.manual_seed(0)
    return TorchNet(chosen).eval()


def _paddle(chosen=False, sign=1):
    layer = PaddleNet(chosen, sign)
    layer.eval()
    return layer


@pytest.mark.parametrize("sign", [1, -1])
def test_a_model_that_returns_whole_numbers_alone_has_no_gradients_to_miss(tmp_path, sign):
    pg.record(_torch(chosen=True), EXAMPLE[1], tmp_path / "ref.pgref")
    reports = [
        pg.compare(_paddle(chosen=True, sign=sign), second, EXAMPLE, options=OPTIONS)
        for second in (tmp_path / "ref.pgref", _torch(chosen=True))
    ]
    assert [report.passed for report in reports] == [sign == 1] * 2
    told = [[(own.cause_id, own.phase) for own in report.findings] for report in reports]
    assert told[0] == told[1]


@pytest.mark.parametrize("limit", [2e5, 3e5, None])
def test_hooks_on_parameters_are_recorded(tmp_path, limit):
    module, layer = _torch(), _paddle()
    module.fc.weight.register_hook(lambda gradient: gradient.clip(-2e5, 2e5))
    if limit is not None:
        layer.fc.weight.register_hook(lambda gradient: gradient.clip(-limit, limit))
    pg.record(module, EXAMPLE[1], tmp_path / "ref.pgref")
    report = pg.compare(layer, tmp_path / "ref.pgref", EXAMPLE, options=OPTIONS)
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == ([] if limit == 2e5 else ["gradient.hook"])
    assert report.passed is (limit == 2e5)


@pytest.mark.parametrize("recorded", [False, True])
def test_training_steps_that_are_not_there_are_named(tmp_path, recorded):
    pg.record(_torch(), EXAMPLE[1], tmp_path / "ref.pgref", loss=lambda output: output.mean())
    first = _paddle()
    if recorded:
        pg.record(first, EXAMPLE[0], tmp_path / "port.pgref")
        first = tmp_path / "port.pgref"
    with pytest.raises(UsageError, match="side has no optimizer, and 2 training steps"):
        pg.compare(first, tmp_path / "ref.pgref", EXAMPLE, steps=2)


def test_inputs_of_two_models_of_one_framework_are_told_by_their_place():
    with pytest.raises(UsageError, match=r"x .*\(first\) and x .*\(second\) differ in values"):
        pg.compare(_torch(), _torch(), ({"x": torch.ones(2, 6)}, {"x": torch.zeros(2, 6)}))
