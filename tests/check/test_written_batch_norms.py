"""Batch normalisations that a model spells out, with weights and statistics of any shape, against
those of the library."""

import math

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

X = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype("float32")
OPTIONS = {"atol": 1e-5, "rtol": 1e-4}
SHAPES = ([6], [6, 1, 1], [1, 6, 1, 1])
CHANNELS = [1, 6, 1, 1]


class Library(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = paddle.nn.Conv2D(3, 6, 3), paddle.nn.BatchNorm2D(6)

    def forward(self, x):
        return self.norm(self.conv(x))


class TorchLibrary(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 6, 3), torch.nn.BatchNorm2d(6)

    def forward(self, x):
        return self.norm(self.conv(x))


class Written(paddle.nn.Layer):
    def __init__(self, shape, momentum=0.1, epsilon=1e-5, power=0):
        """power: of the factor between both rules of a running variance, by which it is kept."""
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 6, 3)
        self.momentum, self.epsilon, self.power = momentum, epsilon, power
        self.scale = self.create_parameter(shape)
        self.shift = self.create_parameter(shape, is_bias=True)
        self.register_buffer("mean", paddle.zeros(shape))
        self.register_buffer("variance", paddle.ones(shape))

    def forward(self, x):
        x = self.conv(x)
        mean, variance = (part.reshape(CHANNELS) for part in (self.mean, self.variance))
        if self.training:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = x.var((0, 2, 3), unbiased=False, keepdim=True)
            kept, new = 1 - self.momentum, self.momentum
            self.mean = self.mean * kept + mean.detach().reshape(self.mean.shape) * new
            count = math.prod(x.shape) / 6
            factor = (count / (count - 1)) ** self.power
            one = variance.detach().reshape(self.variance.shape) * factor
            self.variance = self.variance * kept + one * new
        scale, shift = (part.reshape(CHANNELS) for part in (self.scale, self.shift))
        return (x - mean) * (variance + self.epsilon).rsqrt() * scale + shift


class TorchWritten(torch.nn.Module):
    def __init__(self, shape, momentum=0.1, epsilon=1e-5, unbiased=True, axes=(0, 2, 3)):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 6, 3)
        self.momentum, self.epsilon, self.unbiased = momentum, epsilon, unbiased
        self.axes = axes
        self.scale = torch.nn.Parameter(torch.ones(shape))
        self.shift = torch.nn.Parameter(torch.zeros(shape))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))

    def forward(self, x):
        x = self.conv(x)
        mean, variance = (part.reshape(CHANNELS) for part in (self.mean, self.variance))
        if self.training:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean(self.axes, keepdim=True)
            count = x.numel() / 6
            kept, new = 1 - self.momentum, self.momentum
            with torch.no_grad():
                one = variance * count / (count - 1) if self.unbiased else variance
                self.mean.mul_(kept).add_(mean.reshape(self.mean.shape), alpha=new)
                if self.axes == (0, 2, 3):
                    self.variance.copy_(
                        kept * self.variance + new * one.reshape(self.variance.shape)
                    )
        scale, shift = (part.reshape(CHANNELS) for part in (self.scale, self.shift))
        return (x - mean) / torch.sqrt(variance + self.epsilon) * scale + shift


def compared(first, second, training):
    for model in (first, second):
        model.train() if training else model.eval()
    given = torch.from_numpy(X) if isinstance(first, torch.nn.Module) else paddle.to_tensor(X)
    return padiff_graph.compare(
        first, second, ({"x": given}, {"x": torch.from_numpy(X)}), options=OPTIONS
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_written_norm_passes_against_the_librarys(shape, training):
    for first, second in (
        (Library(), TorchWritten(shape)),
        (Written(shape), TorchLibrary()),
        (Written(shape), TorchWritten(shape, unbiased=False)),
    ):
        report = compared(first, second, training)
        assert report.passed, report.findings
        assert all(f.verdict == "framework-divergence" for f in report.findings), report.findings
        # a scale and a shift of each, and both statistics
        assert sum(row.status == "mapped" for row in report.matching.parameters) == 6


@pytest.mark.parametrize("training", [True, False])
def test_another_epsilon_is_told_by_its_name(training):
    report = compared(Library(), TorchWritten([6, 1, 1], epsilon=1e-4), training)
    assert "attribute.epsilon" in [f.cause_id for f in report.findings if f.fails]


@pytest.mark.parametrize("side", [0, 1])
def test_another_momentum_is_told_by_its_name(side):
    pairs = (
        (Library(), TorchWritten([6, 1, 1], momentum=0.9)),
        (Written([6, 1, 1], momentum=0.9), TorchLibrary()),
    )
    report = compared(*pairs[side], training=True)
    assert [f.cause_id for f in report.findings if f.fails] == ["attribute.momentum"]


def test_statistics_that_are_not_the_batchs_are_no_batch_norm():
    report = compared(Library(), TorchWritten([6, 1, 1], axes=(2, 3)), training=True)
    assert not report.passed
    assert not report.equivalent


@pytest.mark.parametrize("unbiased", [True, False])
def test_the_biased_variance_is_a_difference_within_one_framework(unbiased):
    report = compared(TorchWritten([6, 1, 1], unbiased=unbiased), TorchLibrary(), training=True)
    assert report.passed == unbiased
    assert any(finding.fails for finding in report.findings) != unbiased


@pytest.mark.parametrize("power", [0, 1, 2])
def test_no_framework_keeps_a_variance_larger_than_the_unbiased_one(power):
    report = compared(Written([6], power=power), TorchLibrary(), training=True)
    assert report.passed is (power < 2), report.findings


class OneName(paddle.nn.Layer):
    """Statistics of the library's own names, written out in two ways."""

    def __init__(self, squares, momentum=0.1):
        super().__init__()
        self.fc, self.squares, self.momentum = paddle.nn.Linear(6, 6), squares, momentum
        self.register_buffer("mean", paddle.zeros([6]))
        self.register_buffer("variance", paddle.ones([6]))

    def forward(self, x):
        x = self.fc(x)
        mean = x.mean(0)
        if self.squares:
            variance = (x * x).mean(0) - mean * mean
        else:
            variance = ((x - mean) ** 2).mean(0)
        for buffer, now in ((self.mean, mean), (self.variance, variance)):
            buffer.set_value(buffer * (1 - self.momentum) + now.detach() * self.momentum)
        return (x - mean) * (variance + 1e-5).rsqrt()


@pytest.mark.parametrize("recognised", [0, 1])
@pytest.mark.parametrize("momentum", [0.1, 0.2])
def test_a_norm_that_is_recognised_on_one_side_only(recognised, momentum):
    models = OneName(recognised == 0).train(), OneName(recognised == 1, momentum).train()
    given = {"x": paddle.to_tensor(X.reshape(-1, 6)[:32])}
    report = padiff_graph.compare(*models, (given, given), options=OPTIONS)
    assert report.passed == (momentum == 0.1), report.findings
    assert report.passed != any(finding.fails for finding in report.findings)


@pytest.mark.parametrize("unbiased", [True, False])
def test_rules_that_both_models_write_out_are_their_own(unbiased):
    """In a batch so large that only float64 shows the factor."""
    numbers = np.random.default_rng(0).standard_normal((8, 3, 24, 24)).astype("float32")
    layer, module = Written([6]).train(), TorchWritten([6], unbiased=unbiased).train()
    example = {"x": paddle.to_tensor(numbers)}, {"x": torch.from_numpy(numbers)}
    options = {"atol": 0.0, "rtol": 1e-7, "compare_mode": "strict", "allow_rounding": True}
    report = padiff_graph.compare(layer, module, example, options=options)
    assert report.passed is not unbiased, report.findings


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("first", "scaled"), [(True, 1.0), (True, 1.5), (False, 1.0)])
def test_statistics_of_norms_are_mapped_where_one_has_no_scale(training, first, scaled):
    """A neutral scale that the port has besides changes nothing; one that it lacks is missing."""
    layer = paddle.nn.BatchNorm2D(
        3, weight_attr=None if first else False, bias_attr=None if first else False
    )
    module = torch.nn.BatchNorm2d(3, affine=not first)
    if first:
        layer.weight.set_value(paddle.full([3], scaled))
    for model in (layer, module):
        model.train() if training else model.eval()
    inputs = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    report = padiff_graph.compare(layer, module, inputs, options=OPTIONS)
    assert report.passed is (first and scaled == 1.0), report.findings
    rows = {row.first: [piece.second for piece in row.pieces] for row in report.matching.parameters}
    assert rows["_mean"] == ["running_mean"]
    assert rows["_variance"] == ["running_var"]
    if not first:
        told = [finding.cause for finding in report.findings if finding.fails]
        assert "missing scale of BatchNormalization" in told[0]
