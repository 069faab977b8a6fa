"""A custom backward that raises is told in words, and is no pass."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
OPTIONS = {"atol": 1e-5, "rtol": 1e-4}


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


class Raising(Doubling):
    @staticmethod
    def backward(ctx, gradient):
        raise LookupError("not written yet")


class PaddleDoubling(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


class PaddleRaising(PaddleDoubling):
    @staticmethod
    def backward(ctx, gradient):
        raise LookupError("not written yet")


class Layer(paddle.nn.Layer):
    def __init__(self, function):
        super().__init__()
        self.fc, self.out, self.function = paddle.nn.Linear(6, 6), paddle.nn.Linear(6, 3), function

    def forward(self, x):
        y = self.fc(x)
        return self.out(y if self.function is None else self.function.apply(y))


class Module(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.fc, self.out, self.function = torch.nn.Linear(6, 6), torch.nn.Linear(6, 3), function

    def forward(self, x):
        y = self.fc(x)
        return self.out(y if self.function is None else self.function.apply(y))


def checked(first, second, **options):
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return padiff_graph.compare(
        Layer(first), Module(second), example, options={**OPTIONS, **options}
    )


def test_functions_that_agree_pass():
    assert checked(PaddleDoubling, Doubling).passed


@pytest.mark.parametrize(
    ("first", "second"), [(PaddleDoubling, Raising), (PaddleRaising, Doubling), (None, Raising)]
)
def test_what_raises_is_said_and_is_no_pass(first, second):
    report = checked(first, second)
    assert not report.passed
    assert report.equivalent is None
    said = " ".join(report.notes)
    assert "backward raises LookupError: " in said
    assert f"{__file__}:" in said
    assert "Traceback" not in said


def test_without_gradients_nothing_raises():
    assert checked(None, Raising, diff_phase="forward").passed


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (None, Doubling, "missing a custom function (Doubling)"),
        (PaddleDoubling, None, "extra a custom function (PaddleDoubling)"),
    ],
)
def test_a_custom_function_is_named_by_its_class(first, second, said):
    (finding,) = checked(first, second).findings
    assert finding.fails
    assert finding.cause.startswith(said)
