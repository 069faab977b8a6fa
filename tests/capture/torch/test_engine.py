"""torch's engine: draws, float64, assigning, and the user's model left as it was."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.torch.engine import TorchEngine as engine
from padiff_graph.capture.torch.state import snapshot

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


class Busy(nn.Module):
    """A forward that changes whatever it can reach."""

    def __init__(self, fails=False):
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.lin = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.calls = 0
        self.log = []
        self.table = torch.zeros(4)
        self.fails = fails

    def forward(self, x):
        self.calls += 1
        self.log.append(self.calls)
        self.last = x.detach()
        with torch.no_grad():
            self.table.add_(1)
            self.lin.weight.mul_(0.5)
        random.random(), np.random.rand()
        y = self.drop(self.lin(self.bn(x)))
        if self.fails:
            torch.set_default_dtype(torch.float64)
            raise ValueError("the user's own")
        return y


def busy(fails=False):
    model = Busy(fails)
    model.lin.weight.grad = torch.full((4, 4), 3.0)
    model.lin.register_full_backward_hook(lambda *_: None)
    model.bn.weight.register_hook(lambda gradient: gradient * 2)
    model.bn.bias.requires_grad_(False)
    return model


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_as_before(fails, training):
    capture_graph(
        nn.Linear(4, 4), {"input": X}
    )  # torch.export's first use in a process replaces torch.manual_seed
    model = busy(fails).train(training)
    before = (
        snapshot(model, {"x": X}),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        dict(vars(model)),
        list(model.log),
        model.table.tolist(),
    )
    try:
        capture_graph(model, {"x": X})
        assert not fails
    except (CaptureError, ValueError):
        assert fails
    after = (
        snapshot(model, {"x": X}),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        dict(vars(model)),
        list(model.log),
        model.table.tolist(),
    )
    assert after == before


def test_an_unchanged_model_is_not_even_touched():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    versions = [t._version for t in model.state_dict(keep_vars=True).values()]
    capture_graph(model, {"input": X})
    assert versions == [t._version for t in model.state_dict(keep_vars=True).values()]


def node_of(graph, op):
    return next(node for node in graph.of_kind("operation") if node.op == op)


def test_draws_are_obeyed():
    graph = capture_graph(nn.Dropout(0.25), {"input": X})
    run = engine(nn.Dropout(0.25)).run
    mask = np.arange(12).reshape(3, 4) % 2
    (kept,) = run(node_of(graph, "aten.dropout.default"), [X], draw=mask)
    assert torch.allclose(kept, X * torch.from_numpy(mask) / 0.75)

    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x) + x.new_empty(3, 1).bernoulli_(0.5)

    graph = capture_graph(Noise(), {"x": X})
    assert graph.certificate.valid
    drawn = [node for node in graph.of_kind("operation") if "random" in node.marks]
    assert len(drawn) == 2
    for node in drawn:
        operands = [torch.zeros(graph.type_of(value).shape) for value in node.inputs]
        noise = np.full(node.outputs[0].shape, 0.75, "float32")
        made = 1.0 if "bernoulli" in node.op else 0.75
        assert np.all(run(node, operands, draw=noise)[0].numpy() == made)


def test_double_answers_dtype_attributes():
    class Net(nn.Module):
        def forward(self, x):
            return (
                x.float()
                + torch.arange(4, dtype=torch.float32)
                + torch.full((4,), 0.1, dtype=torch.float32)
            )

    graph = capture_graph(Net(), {"x": X})
    side = engine(Net())
    for node in graph.of_kind("operation"):
        operands = [
            torch.zeros(graph.type_of(value).shape, dtype=torch.float64) for value in node.inputs
        ]
        assert side.run(node, operands, double=True)[0].dtype == torch.float64, node.op
    full = node_of(graph, "aten.full.default")
    assert side.run(full, [], double=True)[0][0].item() == 0.1


def test_assign_is_all_or_nothing():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    side = engine(model)
    before = {name: tensor.clone() for name, tensor in side.parameters().items()}
    with pytest.raises(ValueError, match="shape"):
        side.assign({"0.bias": np.ones(4), "0.weight": np.ones((3, 4))})
    with pytest.raises(KeyError, match="no parameter"):
        side.assign({"0.bias": np.ones(4), "nothing": np.ones(4)})
    assert all(torch.equal(tensor, before[name]) for name, tensor in side.parameters().items())
    side.assign({"0.bias": np.arange(4.0), "1.running_mean": np.ones(4)})
    assert model[0].bias.tolist() == [0, 1, 2, 3] and model[1].running_mean.tolist() == [1] * 4
    assert model[0].bias.dtype == torch.float32


def test_forward_and_backward_leave_gradients_alone():
    model = nn.Linear(4, 2)
    side = engine(model)
    run = side.forward({"input": X}, grad=True)
    side.backward(run, {"output": np.ones((3, 2), "float32")})
    assert model.weight.grad is None and X.grad is None
    assert np.allclose(run.gradients["parameter:bias"], 3) and run.gradients[
        "input:input"
    ].shape == (3, 4)
    run = side.forward({"input": X}, grad=True)
    side.backward(run, loss=run.structure.sum())
    assert np.allclose(run.gradients["parameter:bias"], 3)


def test_arrays_do_not_follow_later_writes():
    side = engine(nn.Linear(2, 2))
    tensor = torch.zeros(3)
    array = side.array(tensor)
    tensor.add_(1)
    assert array.tolist() == [0, 0, 0]
    assert side.array(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    assert side.tensor(np.ones(2, "float32"), "bfloat16").dtype == torch.bfloat16


def test_nodes_without_numbers_are_not_run():
    graph = capture_graph(nn.Linear(4, 4), {"input": X}, certify=False)
    with pytest.raises(NotRunnable, match="meta"):
        engine(nn.Linear(4, 4)).run(node_of(graph, "aten.linear.default"), [X.to("meta")] * 3)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_certified_whatever_mode_the_caller_is_in(mode):
    model = nn.Linear(4, 4)
    with mode():
        graph = capture_graph(model, {"input": torch.ones(2, 4)})
        assert not torch.is_grad_enabled() and torch.is_inference_mode_enabled() is (
            mode is torch.inference_mode
        )
    assert graph.certificate.valid and graph.certificate.counts["parameter gradient"] == 2


@pytest.mark.parametrize("rung", ["", "torch.export"])
def test_a_capture_holds_no_activations(rung):
    import gc
    import weakref

    from padiff_graph.capture.torch.trace import trace

    kept = []

    class Net(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            kept.append(weakref.ref(y))
            return y.relu()

    graph = trace(Net(4, 4), {"x": X}, below=rung)
    gc.collect()
    assert kept and graph.of_kind("operation")[0].native is not None
    assert not any(isinstance(made(), torch.Tensor) and not made().is_meta for made in kept)
    assert not any("val" in node.native.meta for node in graph.of_kind("operation"))
