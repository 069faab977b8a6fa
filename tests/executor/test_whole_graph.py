"""A whole captured graph gives what the eager model gives.

Outputs, totals of gradients, buffers.
"""

import numpy as np
import paddle
import pytest
import torch

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.backend import backend
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.whole_graph import run_graph


class TiedTorch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(9, 6)
        self.norm = torch.nn.BatchNorm1d(6)

    def forward(self, ids, x):
        hidden = self.norm(self.embed(ids) + x)
        return {"logits": hidden @ self.embed.weight.t(), "hidden": hidden, "same": hidden}


class TiedPaddle(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.embed = paddle.nn.Embedding(9, 6)
        self.norm = paddle.nn.BatchNorm1D(6)

    def forward(self, ids, x):
        hidden = self.norm(self.embed(ids) + x)
        logits = paddle.matmul(hidden, self.embed.weight, transpose_y=True)
        return {"logits": logits, "hidden": hidden, "same": hidden}


IDS, X = np.array([1, 2, 1, 4]), np.random.RandomState(0).randn(4, 6).astype("float32")
EXAMPLES = {
    "torch": lambda: {"ids": torch.from_numpy(IDS), "x": torch.from_numpy(X)},
    "paddle": lambda: {"ids": paddle.to_tensor(IDS), "x": paddle.to_tensor(X)},
}
MODELS = {"torch": TiedTorch, "paddle": TiedPaddle}


@pytest.mark.parametrize("framework", ["torch", "paddle"])
@pytest.mark.parametrize("double", [False, True])
def test_a_whole_graph_gives_what_eager_gives(framework, double):
    model, example = MODELS[framework](), EXAMPLES[framework]()
    model.train()
    graph = capture_graph(model, example)
    engine = backend(framework).engine(model)
    weights = {name: engine.array(tensor) for name, tensor in engine.parameters().items()}
    side = Side(graph, engine, weights, lambda node: None, engine.inputs(graph))
    random = np.random.RandomState(1)
    shapes = {"logits": (4, 9), "hidden": (4, 6), "same": (4, 6)}
    seeds = {name: random.randn(*shape).astype("float32") for name, shape in shapes.items()}
    with engine.quiet():
        eager = engine.forward(example, grad=True)
        engine.backward(eager, seeds)
        outputs = {name: engine.array(tensor) for name, tensor in eager.outputs.items()}
        whole = run_graph(side, seeds, double=double)
    assert whole.outputs.keys() == outputs.keys()
    assert whole.gradients.keys() == eager.gradients.keys()
    for name, array in {**whole.outputs, **whole.gradients}.items():
        assert array.dtype == (np.float64 if double else np.float32)
        np.testing.assert_allclose(array, {**outputs, **eager.gradients}[name], 1e-4, 1e-5)
    assert whole.buffers.keys() <= eager.buffers.keys() and len(whole.buffers) >= 2
    for name, array in whole.buffers.items():
        np.testing.assert_allclose(array, eager.buffers[name], 1e-5, 1e-6)


def test_without_cotangents_there_is_no_backward():
    model, example = TiedTorch(), EXAMPLES["torch"]()
    graph = capture_graph(model.eval(), example)
    engine = backend("torch").engine(model)
    weights = {name: engine.array(tensor) for name, tensor in engine.parameters().items()}
    side = Side(graph, engine, weights, lambda node: None, engine.inputs(graph))
    assert not run_graph(side, None).gradients
