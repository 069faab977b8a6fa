"""Weights that one model folded into others: each side runs with its own."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from tests.models import rebuilt_pairs as models


class Folded(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 3)

    def forward(self, x):
        return self.conv(x)


class Apart(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2.0)

    def forward(self, x):
        return self.norm(self.conv(x))


def _pair(epsilon: float):
    torch.manual_seed(0)
    layer, module = Folded(), Apart().eval()
    norm = module.norm
    scale = (norm.weight / torch.sqrt(norm.running_var + epsilon)).detach()
    layer.conv.weight.set_value((module.conv.weight * scale.reshape(4, 1, 1, 1)).detach().numpy())
    shift = (module.conv.bias - norm.running_mean) * scale + norm.bias
    layer.conv.bias.set_value(shift.detach().numpy())
    array = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype("float32")
    return layer, module, models.example(array, "x", "x")


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_folded_weights_are_told_by_numbers(epsilon):
    options = {"rtol": 1e-4, "atol": 1e-4, "diff_phase": "forward"}
    report = pg.compare(*_pair(epsilon), auto_weights=False, options=options)
    assert report.passed == (epsilon == 1e-5)
    assert any("folded" in note for note in report.notes) == report.passed


def test_a_norm_that_is_missing_is_not_folded():
    layer, module, example = _pair(1e-5)
    layer.conv.weight.set_value(module.conv.weight.detach().numpy())
    layer.conv.bias.set_value(module.conv.bias.detach().numpy())
    module.norm.reset_running_stats()
    options = {"rtol": 1e-4, "atol": 1e-4, "diff_phase": "forward"}
    assert not pg.compare(layer, module, example, auto_weights=False, options=options).passed
