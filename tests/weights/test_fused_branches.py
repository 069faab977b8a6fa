"""Branches that one model adds up where the other has one convolution, as a re-parameterised block
is deployed."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.weights.linear_forms import Stretch
from tests.models import rebuilt_pairs as models

OPTIONS = {"rtol": 1e-4, "atol": 1e-5}
WIDTH = 4


class Branches(torch.nn.Module):
    """Three branches of one value."""

    def __init__(self, stride=1, group=1):
        super().__init__()
        nn = torch.nn
        self.conv3 = nn.Conv2d(WIDTH, WIDTH, 3, stride, 1, groups=group, bias=False)
        self.norm3 = nn.BatchNorm2d(WIDTH)
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 1, stride, groups=group, bias=False)
        self.norm1 = nn.BatchNorm2d(WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH) if stride == 1 else None

    def forward(self, x):
        y = self.norm3(self.conv3(x)) + self.norm1(self.conv1(x))
        return torch.relu(y if self.norm is None else y + self.norm(x))


class PaddleBranches(paddle.nn.Layer):
    def __init__(self, epsilon=1e-5):
        super().__init__()
        nn = paddle.nn
        self.conv3 = nn.Conv2D(WIDTH, WIDTH, 3, 1, 1, bias_attr=False)
        self.norm3 = nn.BatchNorm2D(WIDTH, epsilon=epsilon)
        self.conv1 = nn.Conv2D(WIDTH, WIDTH, 1, bias_attr=False)
        self.norm1 = nn.BatchNorm2D(WIDTH)
        self.norm = nn.BatchNorm2D(WIDTH)

    def forward(self, x):
        y = self.norm3(self.conv3(x)) + self.norm1(self.conv1(x)) + self.norm(x)
        return paddle.nn.functional.relu(y)


class Fused(paddle.nn.Layer):
    def __init__(self, act=paddle.nn.functional.relu, **settings):
        super().__init__()
        settings = {"stride": 1, "padding": 1, **settings}
        self.conv = paddle.nn.Conv2D(WIDTH, WIDTH, 3, **settings)
        self.act = act

    def forward(self, x):
        return self.act(self.conv(x))


class TorchFused(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))


class Net(torch.nn.Module):
    def __init__(self, *blocks):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, WIDTH, 3, padding=1)
        self.blocks = torch.nn.Sequential(*blocks)
        self.head = torch.nn.Linear(WIDTH, 5)

    def forward(self, x):
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


class PaddleNet(paddle.nn.Layer):
    def __init__(self, *blocks):
        super().__init__()
        self.stem = paddle.nn.Conv2D(3, WIDTH, 3, padding=1)
        self.blocks = paddle.nn.Sequential(*blocks)
        self.head = paddle.nn.Linear(WIDTH, 5)

    def forward(self, x):
        x = paddle.nn.functional.relu(self.stem(x))
        return self.head(self.blocks(x).mean([2, 3]))


def _varied(module):
    """With other numbers than fresh norms have."""
    made = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                low = 0.5 if "var" in name else -0.5
                tensor.copy_(torch.rand(tensor.shape, generator=made) + low)
    return module.eval()


def _fused(branches, left_out="", epsilon=1e-5):
    """Kernel and shift of the branches, by the formula of the paper."""
    eye = torch.eye(WIDTH).reshape(WIDTH, WIDTH, 1, 1)
    parts = {
        "norm3": (branches.conv3.weight, branches.norm3),
        "norm1": (torch.nn.functional.pad(branches.conv1.weight, [1] * 4), branches.norm1),
        "norm": (torch.nn.functional.pad(eye, [1] * 4), branches.norm),
    }
    kernel = shift = 0
    for name, (weight, norm) in parts.items():
        if name != left_out:
            factor = norm.weight / torch.sqrt(norm.running_var + epsilon)
            kernel = kernel + weight * factor.reshape(-1, 1, 1, 1)
            shift = shift + norm.bias - norm.running_mean * factor
    return kernel.detach().numpy(), shift.detach().numpy()


def _example():
    array = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("float32")
    return models.example(array, "x", "x")


def _pair(branches=None, **settings):
    """A deployed port of a reference with branches, both with fresh weights."""
    torch.manual_seed(0)
    module = _varied(Net(*[Branches(**(branches or {})) for _ in range(2)]))
    layer = PaddleNet(*[Fused(**settings) for _ in range(2)])
    layer.eval()
    return layer, module, _example()


def _loaded(**how):
    """The same, the port with weights that were fused beforehand."""
    layer, module, example = _pair()
    for name in ("stem", "head"):
        own, other = getattr(layer, name), getattr(module, name)
        weight = other.weight.detach().numpy()
        own.weight.set_value(weight if name == "stem" else weight.T)
        own.bias.set_value(other.bias.detach().numpy())
    for own, other in zip(layer.blocks, module.blocks, strict=True):
        kernel, shift = _fused(other, **how)
        own.conv.weight.set_value(kernel)
        own.conv.bias.set_value(shift)
    return layer, module, example


def _reference_fused(epsilon=1e-5):
    """The other way round: a port with branches of a deployed reference, all of one training."""
    branches = _varied(Net(Branches(), Branches()))
    module = Net(TorchFused(), TorchFused()).eval()
    module.stem.load_state_dict(branches.stem.state_dict())
    module.head.load_state_dict(branches.head.state_dict())
    for own, other in zip(module.blocks, branches.blocks, strict=True):
        kernel, shift = _fused(other)
        own.conv.weight.data, own.conv.bias.data = torch.tensor(kernel), torch.tensor(shift)
    layer = PaddleNet(PaddleBranches(epsilon), PaddleBranches(epsilon))
    layer.eval()
    held = branches.state_dict()
    for name, tensor in layer.named_parameters():
        other = name.replace("_mean", "running_mean").replace("_variance", "running_var")
        tensor.set_value(held[other].numpy().T if name == "head.weight" else held[other].numpy())
    return layer, module, _example()


def _failing(report):
    return [finding for finding in report.findings if finding.fails]


@pytest.mark.parametrize("branches", [{}, {"stride": 2}, {"group": 2}])
def test_weights_are_worked_out_of_branches(branches):
    settings = {"stride": branches.get("stride", 1), "groups": branches.get("group", 1)}
    layer, module, example = _pair(branches, **settings)
    report = pg.compare(layer, module, example, options=OPTIONS)
    assert report.passed and report.equivalent
    assert any("branches" in note for note in report.notes)


FAULTS = {
    "padding": ({}, {"padding": 0}, "pads [0, 0]"),
    "dilation": ({}, {"dilation": 2, "padding": 2}, "dilations [2, 2]"),
    "stride": ({"stride": 2}, {"stride": 1}, "strides are [1, 1]"),
    "groups": ({}, {"groups": 2}, "2 groups"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_hold_them_is_told(fault):
    branches, settings, words = FAULTS[fault]
    report = pg.compare(*_pair(branches, **settings), options=OPTIONS)
    [found] = _failing(report)
    assert not report.passed
    assert (found.cause_id, found.paddle_path) == ("branches.unfit", "blocks.0.conv")
    assert words in found.cause and len(found.places) == 2


def test_a_shift_that_cannot_be_held_is_missing():
    assert not pg.compare(*_pair(bias_attr=False), options=OPTIONS).passed


def test_another_fault_is_told_where_it_is():
    report = pg.compare(*_pair(act=paddle.nn.functional.silu), options=OPTIONS)
    [found] = _failing(report)
    assert not report.passed and found.phase == "forward"
    assert "Swish" in found.cause and "Relu" in found.cause
    assert found.paddle_path.startswith("blocks.0")


@pytest.mark.parametrize("how", [{}, {"left_out": "norm"}, {"epsilon": 1e-3}])
def test_weights_that_were_fused_are_held_against_the_branches(how):
    report = pg.compare(*_loaded(**how), auto_weights=False, options=OPTIONS)
    assert report.passed == (not how)
    if how:
        [found] = _failing(report)
        assert (found.cause_id, found.paddle_path) == ("branches.other_weights", "blocks.0.conv")
        assert ("without blocks.0.norm" in found.cause) == ("left_out" in how)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_a_port_with_branches_is_held_against_fused_weights(epsilon):
    report = pg.compare(*_reference_fused(epsilon), auto_weights=False, options=OPTIONS)
    assert report.passed == (epsilon == 1e-5)
    assert [found.cause_id for found in _failing(report)] == (
        [] if epsilon == 1e-5 else ["branches.other_weights"]
    )


def test_how_one_weight_is_spread_over_branches_is_open():
    layer, module, example = _reference_fused()
    _varied(module.blocks)
    report = pg.compare(layer, module, example, options=OPTIONS)
    assert not report.passed and not _failing(report)
    assert any(found.cause_id == "branches.apart" for found in report.findings)


class Alone(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)


def test_a_norm_and_a_residual_that_are_missing_are_no_branches():
    layer, module, example = _pair()
    module = _varied(Net(Alone(), Alone()))
    assert not pg.compare(layer, module, example, options=OPTIONS).passed


class Mixed(torch.nn.Module):
    """What forms are made of, one after the other."""

    def __init__(self):
        super().__init__()
        conv = torch.nn.Conv2d
        self.point, self.wide = conv(4, 6, 1, bias=False), conv(6, 6, 3, 2, 2, 2, groups=3)
        self.norm, self.last = torch.nn.BatchNorm2d(6), conv(6, 5, 1)
        self.beside, self.scale = conv(4, 5, 5, 2, 2), torch.nn.Parameter(torch.rand(5, 1, 1))

    def forward(self, x):
        y = self.last(self.norm(self.wide(self.point(x))))
        return y * self.scale * 0.5 + self.beside(x) - 0.25


def test_a_form_computes_what_the_operations_do():
    module = _varied(Mixed()).double()
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    normal = normalize(capture_graph(module, {"x": x}))
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    form = Stretch(normal, 0, weights, linear=False).form(normal.outputs["output"].source)
    assert form is not None and len(form.kernels) == 4
    begin, count = form.lead, form.kernel.shape[2:]
    padded = torch.nn.functional.pad(x, [begin[1], count[1], begin[0], count[0]])
    kernel, shift = torch.tensor(form.kernel), torch.tensor(form.shift)
    found = torch.nn.functional.conv2d(padded, kernel, shift, form.strides)
    rows, columns = form.space
    edge = normal.outputs["output"]
    found = found[:, :, :rows, :columns] * edge.scale + edge.shift
    assert torch.allclose(found, module(x), 1e-9, 1e-9)


class Twice(torch.nn.Module):
    """A linear layer of what it yields, without its input."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.mix(self.mix(x) - x)


class Once(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.mix = paddle.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.mix(x)


def test_a_layer_that_is_called_twice_is_no_branch():
    """Weights of the one call can be worked out of the other's, but nobody merges those."""
    x = np.random.default_rng(0).standard_normal((3, WIDTH), np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(Once(), Twice(), example, options=OPTIONS)
    assert not report.passed
    assert any(finding.verdict in ("different", "missing") for finding in report.findings)
