"""Rounding in training is proved: two right runs part as far."""

from types import SimpleNamespace

import numpy as np
import paddle
import pytest
import torch

from padiff_graph import compare
from padiff_graph.obligations import later_calls
from padiff_graph.training.stages.band import Band
from padiff_graph.training.step_numbers import step_share
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


def test_what_64_units_make_widens_a_band_and_never_narrows_it():
    key, other = (2, "gradients", "a"), (2, "gradients", "b")
    band = Band({key: 1e-6, other: 1.0}, {key: 1.0, other: 1.0})
    wide = band.widened(Band({key: 1e-2, other: 1e-9}, {}))
    assert wide.allowed(2, "gradients", ["a"]) == pytest.approx(8e-2, rel=1e-3)
    assert wide.allowed(2, "gradients", ["b"]) == band.allowed(2, "gradients", ["b"])


def test_weights_part_no_further_than_they_have_come():
    key, other = (1, "weights", "a"), (1, "gradients", "a")
    band = Band({key: 1e-3, other: 1e-3}, {}, {key: 1e-3})
    assert band.allowed(1, "weights", ["a"]) == pytest.approx(3e-3, rel=1e-4)
    assert band.allowed(1, "gradients", ["a"]) == pytest.approx(0.256)


@pytest.mark.parametrize("seed", [5, 8, 20, 21, 24])
@pytest.mark.parametrize("clamped", [False, True])
def test_a_clamped_weight_is_no_rounding_where_its_gradients_are(clamped, seed):
    """Adam goes a whole step where a gradient is nothing but rounding, as of a bias in front of a
    batch norm, and such a step makes the band wide. Its float32 powers of the betas in Paddle part
    the steps of the other parameters by more than a moved weight does, in these draws."""
    paddle.seed(seed)
    torch.manual_seed(seed)
    layer = paddle.nn.Sequential(paddle.nn.Linear(16, 8), paddle.nn.BatchNorm1D(8))
    module = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.BatchNorm1d(8))
    with torch.no_grad():
        module[0].bias.copy_(torch.linspace(-0.4, 0.4, 8))
    ours = paddle.optimizer.Adam(1e-3, parameters=layer.parameters())
    theirs = torch.optim.Adam(module.parameters(), 1e-3)

    def port():
        ours.step()
        ours.clear_grad()
        if clamped:
            with paddle.no_grad():
                paddle.assign(layer[0].bias.clip(-0.3, 0.3), layer[0].bias)

    def reference():
        theirs.step()
        theirs.zero_grad()

    losses = [lambda output: (output**4).mean() + output.sum() * 0.1] * 2
    options = {"atol": 1e-5, "rtol": 1e-3, "allow_rounding": True}
    example = [batch(32, 16, seed=seed * 100 + step) for step in range(3)]
    report = compare(
        layer,
        module,
        [tuple({"input": next(iter(side.values()))} for side in both) for both in example],
        steps=3,
        options=options,
        loss_fn=losses,
        optimizer=[port, reference],
    )
    causes = [finding.cause for finding in report.findings]
    assert report.passed is not clamped, causes
    assert any(finding.fails for finding in report.findings) is clamped, causes


@pytest.mark.parametrize(("largest", "told"), [(1.0, False), (0.01, True)])
def test_a_step_that_cancels_earlier_ones_is_held_against_their_size(largest, told):
    own, wanted = np.full(2, 0.011), np.full(2, 0.010)
    after = wanted.astype(np.float32)
    share = step_share(own, wanted, after, np.array([True, True]), 1e-3, largest)
    assert (share is not None) is told


@pytest.mark.parametrize(("far", "call"), [(9e-4, 0), (2e-3, 4)])
def test_a_variance_may_stay_apart_by_what_one_framework_leaves_biased(monkeypatch, far, call):
    monkeypatch.setattr(later_calls, "variance_counts", lambda matching: {"v": 1024.0})
    matching = SimpleNamespace(frameworks=("paddle", "torch"))
    called = later_calls.Called(matching, ((), ()))
    ones = np.ones(4, np.float32)
    values = [(ones, ones)] * 3 + [(ones, ones * np.float32(1 + far))]
    laid = later_calls.Laid("v", "v", ("", ""), values)
    assert called._departs(laid)[0] == call


@pytest.mark.parametrize("allowed", [True, False])
def test_a_training_within_the_band_passes_where_rounding_is_allowed(allowed):
    layer, module = pair()
    optimizers = [
        paddle.optimizer.Adam(0.05, parameters=layer.parameters()),
        torch.optim.Adam(module.parameters(), lr=0.05),
    ]
    options = {"atol": 2e-6, "rtol": 0.0, "allow_rounding": allowed}
    report = compare(layer, module, batch(8, 16), steps=5, options=options, optimizer=optimizers)
    assert [f.cause_id for f in report.findings] == ["training.rounding"]
    assert report.passed is allowed
