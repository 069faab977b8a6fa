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


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_folded_weights_are_told_by_numbers(epsilon, copied):
    options = {"rtol": 1e-4, "atol": 1e-4, "diff_phase": "forward"}
    report = pg.compare(*_pair(epsilon), auto_weights=copied, options=options)
    assert report.passed == (epsilon == 1e-5)
    assert any("folded" in note for note in report.notes) == report.passed


def test_a_norm_that_is_missing_is_not_folded():
    layer, module, example = _pair(1e-5)
    layer.conv.weight.set_value(module.conv.weight.detach().numpy())
    layer.conv.bias.set_value(module.conv.bias.detach().numpy())
    module.norm.reset_running_stats()
    options = {"rtol": 1e-4, "atol": 1e-4, "diff_phase": "forward"}
    assert not pg.compare(layer, module, example, auto_weights=False, options=options).passed


class Merged(paddle.nn.Layer):
    """A factor of two matrices folded into the weight beside it, or a convolution of each channel
    into the one behind it."""

    def __init__(self, module, image: bool, off: float) -> None:
        super().__init__()
        self.image = image
        if image:
            self.one = paddle.nn.Conv2D(3, 4, 3, padding=1)
            weight = torch.einsum("oi,ikl->oikl", module.one.weight[:, :, 0, 0], module.two[:, 0])
        else:
            self.one = paddle.nn.Linear(3, 4)
            weight = (module.one.weight + module.two @ module.three).T
        self.one.weight.set_value(weight.detach().numpy() * (1 + off))
        self.one.bias.set_value(module.one.bias.detach().numpy())

    def forward(self, x):
        return paddle.tanh(self.one(x))


class Factors(torch.nn.Module):
    def __init__(self, image: bool) -> None:
        super().__init__()
        self.image = image
        self.one = torch.nn.Conv2d(3, 4, 1) if image else torch.nn.Linear(3, 4)
        self.two = torch.nn.Parameter(torch.randn(*((3, 1, 3, 3) if image else (4, 2))))
        if not image:
            self.three = torch.nn.Parameter(torch.randn(2, 3))

    def forward(self, x):
        if self.image:
            inner = torch.nn.functional.conv2d(x, self.two, padding=1, groups=3)
            return torch.tanh(self.one(inner))
        low = torch.nn.functional.linear(x, self.three)
        return torch.tanh(self.one(x) + torch.nn.functional.linear(low, self.two))


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("off", [0.0, 1e-3])
@pytest.mark.parametrize("image", [False, True])
def test_factors_that_are_merged(image, off, copied):
    torch.manual_seed(0)
    module = Factors(image)
    layer = Merged(module, image, off)
    shape = (2, 3, 5, 5) if image else (4, 3)
    array = np.random.default_rng(0).standard_normal(shape).astype("float32")
    report = pg.compare(
        layer,
        module,
        models.example(array, "x", "x"),
        auto_weights=copied,
        options={"rtol": 1e-4, "atol": 1e-4},
    )
    assert report.passed is (off == 0.0)
    assert any("folded" in note for note in report.notes) is report.passed


class Counting(Folded):
    """Yields something else from its third call on."""

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1.0 if self.calls < 3 else 1.5)


class CountingApart(Apart):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1.0 if self.calls < 3 else 1.5)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("copied", [False, True])
def test_later_calls_of_models_with_folded_weights_are_held_against_each_other(both, copied):
    layer, module, example = _pair(1e-5)
    layer.__class__, layer.calls = Counting, 0
    if both:
        module.__class__ = CountingApart
    options = {"rtol": 1e-4, "atol": 1e-4}
    report = pg.compare(layer, module, example, auto_weights=copied, options=options)
    assert report.passed is both, str(report)
    told = [finding.cause_id for finding in report.findings if finding.fails]
    assert told == ([] if both else ["state.second_call"])


class Adapted(paddle.nn.Layer):
    """A layer with a low-rank branch beside, scaled."""

    def __init__(self, base, down, up, scale: float) -> None:
        super().__init__()
        self.one = paddle.nn.Linear(3, 4)
        self.down = paddle.nn.Linear(3, 2, bias_attr=False)
        self.up = paddle.nn.Linear(2, 4, bias_attr=False)
        for layer, weight in ((self.one, base.weight), (self.down, down), (self.up, up)):
            layer.weight.set_value(weight.detach().numpy().T.copy())
        self.one.bias.set_value(base.bias.detach().numpy())
        self.head, self.scale = paddle.nn.Linear(4, 2), scale

    def forward(self, x):
        return self.head(paddle.tanh(self.one(x) + self.up(self.down(x)) * self.scale))


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("scale", [2.0, 1.0])
def test_a_branch_that_the_reference_has_merged(scale, copied):
    """Weights that line up are not written before it is known that others are merged into them."""
    torch.manual_seed(0)
    base, head = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    down, up = torch.randn(2, 3), torch.randn(4, 2)
    layer = Adapted(base, down, up, scale)
    layer.head.set_state_dict(
        {"weight": head.weight.detach().numpy().T.copy(), "bias": head.bias.detach().numpy()}
    )
    with torch.no_grad():
        base.weight += 2.0 * up @ down
    module = torch.nn.Sequential(base, torch.nn.Tanh(), head)
    array = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    report = pg.compare(
        layer,
        module,
        models.example(array, "x", "input"),
        auto_weights=copied,
        options={"rtol": 1e-4, "atol": 1e-4},
    )
    assert report.passed is (scale == 2.0)
    assert any("folded" in note for note in report.notes) is report.passed
