"""What published Paddle models do that captures stumbled over, each mechanism rebuilt small."""

import sys

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.paddle.trace import trace

NN = paddle.nn


def values(*shape, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def captured(model, **example):
    graph = capture_graph(model, example)
    assert graph.certificate.valid, graph.certificate.reasons
    return graph


def operations(graph):
    return [node.op for node in graph.of_kind("operation")]


class Base(NN.Layer):
    def __init__(self):
        super().__init__()
        self.fc = NN.Linear(4, 4)


class ViewOfSeveralSizes(Base):
    """Qwen3-Next."""

    def forward(self, x):
        y = self.fc(x)
        if float(y.abs().sum()) >= 0:
            y = y.view(*[2, 6])
        return y.view(size=[4, 3]).view(3, 4).view_as(x)


class ViewAsWritten(Base):
    def forward(self, x):
        return self.fc(x).view(2, 6).view([4, -1])


class NoneInOneBranch(Base):
    """Qwen3-Next: the transform makes an undefined variable of `mask`."""

    def forward(self, x, mask):
        kept = mask
        if paddle.all(mask == 1):
            kept = None
        y = self.fc(x)
        if kept is not None and kept.dim() == 2:
            y = y * kept
        return y


class Moved(Base):
    def forward(self, x):
        y = self.fc(x)
        return y.cpu() + y.to("cpu") * 2 + y.to(x.place) + y.to(device="cpu", dtype="float32") * 3


class MovedByDevice(Base):
    def forward(self, x):
        mask = paddle.ones([4]).to(x.device)
        return self.fc(x).to(x) * mask


class SlicedComplex(NN.Layer):
    def forward(self, x):
        z = paddle.complex(x, x * 2)
        z = paddle.slice_scatter(z, z[:, 1:2], axes=[1], starts=[0], ends=[1], strides=[1])
        z[:, 2] = z[:, 3] * 2
        return z.real() + z.imag()


class ComplexNumbersWritten(NN.Layer):
    def forward(self, x):
        z = paddle.complex(x, x * 2)
        z[1] = 1 + 2j
        z[:, 0] = 3.0
        y = z * paddle.to_tensor(np.array([1, 1j, 1, -1j], "complex64"))
        return y.real() + y.imag()


class Penalised(Base):
    """The gradient penalty of a critic."""

    def forward(self, x):
        x = x * 1.0
        x.stop_gradient = False
        score = paddle.tanh(self.fc(x)).sum()
        (gradient,) = paddle.grad(score, [x], create_graph=True)
        return score + (gradient**2).sum()


class SteppedDown(Base):
    """A step along a gradient, which is a constant for what is learned."""

    def forward(self, x):
        hidden = paddle.tanh(self.fc(x))
        (gradient,) = paddle.grad(paddle.tanh(self.fc(hidden)).sum(), hidden)
        return hidden - 0.1 * gradient


@pytest.mark.parametrize(
    "model",
    [
        ViewOfSeveralSizes,
        ViewAsWritten,
        Moved,
        MovedByDevice,
        SlicedComplex,
        ComplexNumbersWritten,
        Penalised,
        SteppedDown,
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_captures(model, training):
    layer = model()
    layer.train() if training else layer.eval()
    captured(layer, x=values(3, 4))


def test_a_variable_that_is_none_in_one_branch_follows_the_example():
    for mask, products in ((paddle.ones([3, 4]), 0), (paddle.zeros([3, 4]), 1)):
        graph = captured(NoneInOneBranch(), x=values(3, 4), mask=mask)
        assert operations(graph).count("pd_op.multiply") == products
        assert any("answered by the example" in note for note in graph.notes)


def test_moves_keep_their_gradient_and_leave_no_copy_between_devices():
    graph = captured(Moved(), x=values(3, 4))
    assert not [op for op in operations(graph) if "memcpy" in op]
    assert not [node for node in graph.of_kind("operation") if "no_grad" in node.marks]


class Nested(NN.Layer):
    def __init__(self, depth):
        super().__init__()
        self.inner = Nested(depth - 1) if depth else NN.Linear(4, 4)

    def forward(self, x):
        return self.inner(x) + 1


def test_layers_nested_two_hundred_deep():
    limit = sys.getrecursionlimit()
    graph = trace(Nested(200), {"x": values(3, 4)})
    assert operations(graph).count("pd_op.scale") == 201
    assert sys.getrecursionlimit() == limit
    innermost = max(graph.of_kind("operation"), key=lambda node: len(node.path))
    assert innermost.path == ".".join(["inner"] * 201)


class Attending(NN.Layer):
    """paddlex's detection transformers name two of three axes."""

    def __init__(self):
        super().__init__()
        self.fc = NN.Linear(6, 6)

    def forward(self, x):
        return self.fc(x.transpose([1, 0])).transpose([1, 0])


class TorchAttending(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(6, 6)

    def forward(self, x):
        return self.fc(x.transpose(0, 1)).transpose(0, 1)


def test_a_transpose_that_names_fewer_axes_leaves_the_trailing_ones():
    numbers = values(2, 3, 6)
    example = ({"x": numbers}, {"x": torch.from_numpy(numbers.numpy())})
    layer, module = Attending(), TorchAttending()
    options = {"rtol": 1e-4, "atol": 1e-6}
    report = pg.compare(layer, module, example, auto_weights=True, options=options)
    assert report, str(report)
