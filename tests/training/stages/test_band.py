"""Rounding in training is proved: two right runs part as far."""

import numpy as np
import paddle
import pytest
import torch

from padiff_graph import compare
from tests.models.breakable_pairs import Mlp, TorchMlp, batch

TIGHT = {"atol": 1e-12, "rtol": 1e-12, "compare_mode": "strict"}


def trained(layer, module, steps=3, rate=0.05, options=TIGHT):
    optimizers = [
        paddle.optimizer.Adam(rate, parameters=layer.parameters()),
        torch.optim.Adam(module.parameters(), lr=rate),
    ]
    report = compare(
        layer, module, batch(8, 16), steps=steps, options=options, optimizer=optimizers
    )
    return [finding for finding in report.findings if finding.phase == "optimizer"]


def pair():
    paddle.seed(2)
    torch.manual_seed(2)
    return Mlp(), TorchMlp()


def test_rounding_lies_in_the_band():
    layer, module = pair()
    (finding,) = trained(layer, module)
    assert finding.cause_id == "training.rounding", finding.cause


@pytest.mark.parametrize("side", [0, 1], ids=["paddle", "torch"])
def test_a_hook_on_a_parameter_lies_outside(side):
    layer, module = pair()
    parameter = (layer.fc2.weight, module.down.weight)[side]
    parameter.register_hook(lambda gradient: gradient * 0.5)
    causes = trained(layer, module, options={"atol": 1e-5, "rtol": 1e-5, "compare_mode": "strict"})
    assert all(finding.verdict != "rounding" for finding in causes), causes


def test_the_training_that_is_left_is_the_users():
    """The second model is trained twice more for the band, and stands as its own steps left it."""
    layer, module = pair()
    trained(layer, module, steps=2)
    np.testing.assert_allclose(
        layer.fc1.weight.numpy(), module.up.weight.detach().numpy().T, atol=1e-3
    )
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("side", [0, 1], ids=["paddle", "torch"])
def test_what_counts_its_calls_is_not_called_rounding(side):
    layer, module = pair()
    model = (layer, module)[side]
    plain, calls = model.forward, [0]

    def counting(x):
        calls[0] += 1
        return plain(x) * (1 + 0.01 * calls[0])

    model.forward = counting
    assert all(finding.verdict != "rounding" for finding in trained(layer, module))
