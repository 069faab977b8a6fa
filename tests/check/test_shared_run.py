"""The whole run also witnesses for the captures.

One eager forward, differentiated once where that is enough.
"""

from __future__ import annotations

import numpy as np
import paddle
import torch

import padiff_graph as pg
import padiff_graph.check.check_steps as check_steps
import padiff_graph.check.weight_step as weight_step
from padiff_graph.capture.torch.engine import TorchEngine


class _Once(torch.autograd.Function):
    """A backward that throws away what it needs, as memory-saving functions do."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept = x
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        kept = ctx.kept
        del ctx.kept
        return 2 * kept * gradient


class _TorchOnce(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        return _Once.apply(self.fc(x))


class _PaddleSquare(paddle.nn.Layer):
    def __init__(self, factor=1.0):
        super().__init__()
        self.fc = paddle.nn.Linear(4, 3)
        self.factor = factor

    def forward(self, x):
        y = self.fc(x)
        return y * y * self.factor


def _example():
    x = np.random.default_rng(0).standard_normal((2, 4)).astype("float32")
    return {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}


def test_a_backward_that_works_once_gets_runs_of_its_own():
    torch.manual_seed(0)
    report = pg.compare(
        _PaddleSquare(), _TorchOnce(), _example(), options={"rtol": 1e-5, "atol": 1e-6}
    )
    assert report.compared.gradients > 0
    assert not report.findings
    assert report.passed


def test_a_difference_behind_such_a_backward_is_found():
    torch.manual_seed(0)
    report = pg.compare(
        _PaddleSquare(1.5), _TorchOnce(), _example(), options={"rtol": 1e-5, "atol": 1e-6}
    )
    assert not report.passed
    assert report.findings[0].fails


def test_each_model_runs_eagerly_once_and_twice_more(monkeypatch):
    calls = []
    plain = TorchEngine.forward
    monkeypatch.setattr(
        TorchEngine,
        "forward",
        lambda self, example, *, grad: calls.append(grad) or plain(self, example, grad=grad),
    )
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    layer = paddle.nn.Sequential(paddle.nn.Linear(4, 3), paddle.nn.ReLU())
    x = np.random.default_rng(0).standard_normal((2, 4)).astype("float32")
    assert pg.compare(
        layer,
        module,
        ({"input": paddle.to_tensor(x)}, {"input": torch.from_numpy(x)}),
        options={"rtol": 1e-5, "atol": 1e-6},
    ).passed
    assert calls == [True] * 3  # twice more for what a model may keep outside of itself


def _differentiated(monkeypatch, loss_fn=None, hook=None):
    """How often the torch model's run is differentiated in a check that passes."""
    calls = []
    plain = TorchEngine.backward
    monkeypatch.setattr(
        TorchEngine,
        "backward",
        lambda self, run, *args, **kwargs: (
            calls.append(kwargs) or plain(self, run, *args, **kwargs)
        ),
    )

    class Layer(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.fc = paddle.nn.Linear(4, 3)

        def forward(self, x):
            y = self.fc(x)
            if hook is not None:
                y.register_hook(hook)
            return paddle.tanh(y)

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(4, 3)

        def forward(self, x):
            y = self.fc(x)
            if hook is not None and y.requires_grad:
                y.register_hook(hook)
            return torch.tanh(y)

    assert pg.compare(
        Layer(), Module(), _example(), options={"rtol": 1e-5, "atol": 1e-6}, loss_fn=loss_fn
    ).passed
    return len(calls)


def test_one_backward_serves_the_whole_run_and_the_certificate(monkeypatch):
    assert _differentiated(monkeypatch) == 1


def test_a_loss_that_may_leave_outputs_out_is_no_witness(monkeypatch):
    assert (
        _differentiated(monkeypatch, loss_fn=[lambda y: y[:, :1].mean(), lambda y: y[:, :1].mean()])
        == 2
    )


def test_what_is_called_back_need_not_be_linear(monkeypatch):
    assert _differentiated(monkeypatch, hook=lambda g: g * 2) == 2


def test_the_check_begins_anew_where_numbers_change_the_map(monkeypatch):
    """What structure alone matched may have to be given up.

    Then weights are put back and all is run again.
    """
    torch.manual_seed(0)
    layer, module = _PaddleSquare(1.5), _TorchOnce()
    before = layer.fc.weight.numpy().copy()
    seen = []
    monkeypatch.setattr(
        check_steps, "_essence", lambda matching: seen.append(matching) or (len(seen),)
    )
    starts = []
    plain = weight_step.assign_parameters
    monkeypatch.setattr(
        weight_step,
        "assign_parameters",
        lambda *args, **kwargs: (
            starts.append(layer.fc.weight.numpy().copy()) or plain(*args, **kwargs)
        ),
    )
    report = pg.compare(layer, module, _example(), options={"rtol": 1e-5, "atol": 1e-6})
    assert len(seen) == 2 and len(starts) == 2
    assert all(np.array_equal(before, start) for start in starts)
    assert report.findings[0].fails
    assert all(seconds >= 0 for seconds in report.timings.values()), report.timings
    np.testing.assert_array_equal(layer.fc.weight.numpy(), module.fc.weight.detach().numpy().T)
