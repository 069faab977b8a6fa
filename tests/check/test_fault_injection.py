"""Whatever fails, and whenever: models, what they hold in Python, and all global state are as
before."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
import torch

import padiff_graph
from padiff_graph.capture.paddle.state import snapshot as paddle_snapshot
from padiff_graph.capture.torch.state import snapshot as torch_snapshot

MOST = 60
"""More calls than any run makes: the loop ends by itself before."""
NEVER = -1
OPTIONS = {"atol": 1e-4, "rtol": 1e-4}


class Fault:
    """Raises at one call of all, counted over both models."""

    def __init__(self, error):
        self.error, self.at, self.calls = error, NEVER, 0

    def set(self, at):
        self.at, self.calls = at, 0

    def __call__(self):
        self.calls += 1
        if self.calls - 1 == self.at:
            raise self.error


def failing_backward(side, fault):
    """An identity whose backward may fail."""
    if side == "paddle":

        class Failing(paddle.autograd.PyLayer):
            @staticmethod
            def forward(ctx, x):
                return x * 1.0

            @staticmethod
            def backward(ctx, gradient):
                fault()
                return gradient

    else:

        class Failing(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1.0

            @staticmethod
            def backward(ctx, gradient):
                fault()
                return gradient

    return Failing.apply


def stateful(side, in_forward, in_backward):
    """A model that keeps, counts and writes whatever it can."""
    lib, base = (paddle, paddle.nn.Layer) if side == "paddle" else (torch, torch.nn.Module)
    through = failing_backward(side, in_backward) if in_backward else None

    class Stateful(base):
        def __init__(self):
            super().__init__()
            self.fc = lib.nn.Linear(6, 6)
            self.norm = lib.nn.BatchNorm1D(6) if side == "paddle" else lib.nn.BatchNorm1d(6)
            self.register_buffer("seen", lib.zeros([6]))
            self.cfg = SimpleNamespace(calls=0, names=["a"])
            self.window = deque([0, 0], maxlen=2)
            self.kept = [lib.ones([6])]
            self.table = np.zeros(3)
            self.fc.weight.register_hook(lambda gradient: gradient)

        def forward(self, x):
            self.cfg.calls += 1
            self.cfg.names.append("b")
            self.window.append(self.cfg.calls)
            self.table[0] += 1
            hidden = self.norm(self.fc(x))
            self.kept.append(hidden.detach())
            self.seen = hidden.detach().mean(0)
            self.fresh = hidden
            in_forward()
            return through(hidden) if through else hidden

    return Stateful()


def models(in_forward, in_backward=None):
    pair = stateful("paddle", in_forward, in_backward), stateful("torch", in_forward, in_backward)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    for model, own in zip(pair, example, strict=True):
        model(**own).sum().backward()  # gradients that were there before
    padiff_graph.assign_weight(*pair, example_inp=example)  # as a check does
    return pair, example


def snapshots(pair, example):
    return paddle_snapshot(pair[0], example[0]) | {
        f"torch: {label}": fact for label, fact in torch_snapshot(pair[1], example[1]).items()
    }


def unlike(before, after):
    labels = before.keys() | after.keys()
    return sorted(label for label in labels if before.get(label) != after.get(label))


def failures(fault, pair, example, **kw):
    """Fails at each call in turn, until none is left; how often a check ended by it."""
    ended = 0
    for at in range(MOST):
        before = snapshots(pair, example)
        fault.set(at)
        try:
            padiff_graph.compare(*pair, example, options=OPTIONS, **kw)
        except BaseException as error:  # frameworks wrap it in errors of their own
            ended += 1
            if not isinstance(error, (fault.error, RuntimeError, OSError, SystemError)):
                raise
        none_left = fault.calls <= at
        fault.set(NEVER)
        assert unlike(before, snapshots(pair, example)) == [], at
        if none_left:
            return ended
    raise AssertionError("the calls have no end")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_forward_that_fails(error):
    fault = Fault(error)
    pair, example = models(fault)
    assert failures(fault, pair, example) > 3


def test_a_loss_that_fails():
    fault = Fault(KeyboardInterrupt)
    pair, example = models(lambda: None)

    def loss(output):
        fault()
        return output.mean()

    assert failures(fault, pair, example, loss_fn=[loss, loss]) > 1


def test_a_backward_that_fails():
    fault = Fault(ZeroDivisionError)
    pair, example = models(lambda: None, fault)
    failures(fault, pair, example)
