"""An infinite gradient that meets a slope of zero is lost by one framework alone: that is no
difference of the models, and hides none."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
OPTIONS = {"atol": 1e-5, "rtol": 1e-4, "compare_mode": "strict"}


class Layer(paddle.nn.Layer):
    def __init__(self, function):
        super().__init__()
        self.fc, self.out, self.function = paddle.nn.Linear(6, 6), paddle.nn.Linear(6, 3), function

    def forward(self, x):
        return self.out(self.function(self.fc(x)))


class Module(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.fc, self.out, self.function = torch.nn.Linear(6, 6), torch.nn.Linear(6, 3), function

    def forward(self, x):
        return self.out(self.function(self.fc(x)))


def paddle_root(y):
    return paddle.nn.functional.relu(y).sqrt()


def torch_root(y):
    return torch.relu(y).sqrt()


def torch_safe_root(y):
    y = torch.relu(y)
    known = torch.where(y > 0, y, torch.ones_like(y)).sqrt()
    return torch.where(y > 0, known, torch.zeros_like(y))


def compared(first, second, array=X, hook=None):
    layer, module = Layer(first), Module(second)
    if hook is not None:
        module.fc.weight.register_hook(hook)
    example = {"x": paddle.to_tensor(array)}, {"x": torch.from_numpy(array)}
    return padiff_graph.compare(layer, module, example, options=OPTIONS)


def test_the_root_of_a_relu_passes_with_a_word():
    report = compared(paddle_root, torch_root)
    assert report.passed
    assert report.equivalent
    (finding,) = report.findings
    assert (finding.verdict, finding.cause_id) == (
        "framework-divergence",
        "framework.lost_gradient",
    )


@pytest.mark.parametrize(
    ("first", "second", "hook"),
    [
        (paddle_root, torch_safe_root, None),  # the reference is safe at zero, and the port is not
        (lambda y: paddle_root(y * 1.1), torch_root, None),
        (lambda y: paddle_root(y) + y.detach() * 1e-3, lambda y: torch_root(y) + y * 1e-3, None),
        (paddle_root, torch_root, torch.nan_to_num),
        (paddle_root, torch_root, lambda gradient: gradient * 0.5),
    ],
    ids=["unsafe", "scaled", "detached", "hook that mends", "hook that scales"],
)
def test_what_really_differs_beside_it_is_told(first, second, hook):
    report = compared(first, second, hook=hook)
    assert not report.passed
    assert report.equivalent is False
    assert any(finding.fails for finding in report.findings)


@pytest.mark.parametrize("name", ["std", "var"])
def test_the_deviation_of_one_sample_passes(name):
    report = compared(
        lambda y: getattr(y, name)(0, unbiased=False) + y,
        lambda y: getattr(y, name)(0, unbiased=False) + y,
        X[:1],
    )
    assert report.passed
    assert all(finding.verdict == "framework-divergence" for finding in report.findings)


def test_a_deviation_that_the_port_writes_out_is_its_own():
    def written(y):
        return ((y - y.mean(0)) ** 2).mean(0).sqrt() + y

    report = compared(written, lambda y: y.std(0, unbiased=False) + y, X[:1])
    assert not report.passed
