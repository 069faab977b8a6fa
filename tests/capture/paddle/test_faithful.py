"""Paddle models that a plain dygraph-to-static capture gets wrong or refuses: each certified."""

import numpy as np
import paddle
import pytest

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.paddle.state import snapshot

NN = paddle.nn


def values(*shape, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def captured(model, **example):
    """Captures and certifies; the model and Paddle's state must be as before."""
    before = snapshot(model, example)
    graph = capture_graph(model, example)
    after = snapshot(model, example)
    assert {key for key in before if before[key] != after[key]} == set()
    assert graph.certificate.valid, graph.certificate.reasons
    assert max(graph.certificate.errors.values()) == 0.0
    return graph


def operations(graph):
    return [node.op for node in graph.of_kind("operation")]


class Base(NN.Layer):
    def __init__(self):
        super().__init__()
        self.fc = NN.Linear(4, 4)


class InPlace(Base):
    def forward(self, x):
        y = self.fc(x)
        z = y * 2
        y.add_(paddle.to_tensor(1.0))
        paddle.nn.functional.relu_(z)
        return y + z


class InPlaceThroughHandle(Base):
    def forward(self, x):
        y = self.fc(x)
        same = y.scale_(3.0)
        same.add_(paddle.to_tensor(1.0))
        return y * same


class WriteByIndex(Base):
    def forward(self, x):
        y = self.fc(x) + 0
        y[:, 1] = 7.0
        y[0] = y[1] * 2
        return y * 2


class WriteThroughView(NN.Layer):
    def forward(self, x):
        y = x * 2
        row = y[0]
        flat = y.reshape([-1])
        with paddle.no_grad():
            row.add_(paddle.to_tensor(5.0))
        return y.detach() + flat.detach().reshape(y.shape) + x


class Hooked(Base):
    def forward(self, x):
        y = self.fc(x)
        early = y * 3
        y.register_hook(lambda gradient: gradient * 0.5)
        return early + y


class Doubled(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return paddle.tanh(x) * factor

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensor()
        return gradient * 100 * ctx.factor * x


class Custom(Base):
    def forward(self, x):
        return self.fc(Doubled.apply(self.fc(x), 2.0))


class Pair(paddle.autograd.PyLayer):
    """Two results, one of them whole, and an operand that is a parameter."""

    @staticmethod
    def forward(ctx, x, weight, shift):
        return x * weight + shift, x.sum()

    @staticmethod
    def backward(ctx, first, second):
        return first * 2, first.sum(0) * 5


class Inherited(Pair):
    @staticmethod
    def backward(ctx, first, second):
        return first * 7, first.sum(0) * 11


doubled, pair, inherited = Doubled.apply, Pair.apply, Inherited.apply
"""Names bound before any capture lead past `apply` as it stands during one."""


class CustomByAlias(Base):
    def __init__(self):
        super().__init__()
        self.scale = self.create_parameter([4], default_initializer=NN.initializer.Constant(1.5))
        self.activation = doubled

    def forward(self, x):
        y = self.activation(self.fc(x), 3.0) + 1
        whole, part = pair(y, self.scale, 0.5)
        again, _ = inherited(whole, self.scale, 2.0)
        return (
            self.activation(whole, 0.5).reshape([-1]).sum() * part,
            again[:, 0],
            whole.shape[0] * paddle.transpose(whole, [1, 0]),
        )


class Detached(Base):
    def forward(self, x):
        y = self.fc(x)
        return (y.detach() + y * 0.5).sum()


class Ungraded(Base):
    def forward(self, x):
        with paddle.no_grad():
            y = self.fc(x)
        return y * x


class UngradedNorm(Base):
    def __init__(self):
        super().__init__()
        self.norm = paddle.nn.LayerNorm(4)

    def forward(self, x):
        with paddle.no_grad():
            y = self.norm(self.fc(x))
        return self.fc(y)


class Counting(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", paddle.zeros([1]))
        self.register_buffer("mean", paddle.zeros([4]))

    def forward(self, x):
        self.steps.add_(paddle.ones([1]))
        self.mean.set_value(self.mean * 0.9 + x.mean(axis=0).detach() * 0.1)
        return self.fc(x) + self.mean


class Branching(Base):
    def forward(self, x):
        y = self.fc(x)
        if y.sum() > 0:
            return y * 2
        return y * 3


class Looping(Base):
    def forward(self, x, count):
        for _ in range(int(count)):
            x = self.fc(x)
            if float(x.abs().max()) > 1e6:
                break
        return x


class Unnamed(Base):
    def forward(this, x):
        return this.fc(x)


class Numpy(Base):
    def forward(self, x):
        scale = np.abs(x.numpy()).max()
        return self.fc(x) * float(scale)


class Selecting(Base):
    def forward(self, x):
        kept = x[x[:, 0] > 0]
        return self.fc(kept).sum(axis=0) / max(kept.shape[0], 1)


class HeldTensor(Base):
    def __init__(self):
        super().__init__()
        self.__dict__["table"] = paddle.arange(4, dtype="float32")

    def forward(self, x):
        return self.fc(x * self.table) + (self.table + 1)


class Statistics(NN.Layer):
    def __init__(self):
        super().__init__()
        self.bn = NN.BatchNorm1D(4)

    def forward(self, x):
        return self.bn(x) + self.bn(x * 2)


class AssignedWeight(NN.Layer):
    def __init__(self):
        super().__init__()
        self.conv = NN.utils.weight_norm(NN.Conv1D(3, 4, 3), dim=0)

    def forward(self, x):
        return self.conv(x.unsqueeze(0))


@pytest.mark.parametrize(
    "model",
    [
        AssignedWeight,
        InPlace,
        InPlaceThroughHandle,
        WriteByIndex,
        WriteThroughView,
        Hooked,
        Custom,
        CustomByAlias,
        Detached,
        Ungraded,
        Counting,
        Branching,
        Unnamed,
        Numpy,
        Selecting,
        HeldTensor,
        Statistics,
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_what_a_plain_capture_gets_wrong_is_certified(model, training):
    paddle.seed(1)
    layer = model()
    layer.train() if training else layer.eval()
    captured(layer, x=values(3, 4))


def test_hooks_and_custom_functions_stand_in_the_graph():
    assert "padiff_graph.gradient_hook" in operations(captured(Hooked(), x=values(3, 4)))
    graph = captured(CustomByAlias(), x=values(3, 4))
    assert operations(graph).count("padiff_graph.custom_function") == 4
    assert all(
        "test_faithful.py" in node.source
        for node in graph.of_kind("operation")
        if node.op.endswith("custom_function")
    )
    assert Doubled.__dict__["forward"].__func__.__qualname__ == "Doubled.forward", (
        "everything is put back"
    )
    graph = captured(Custom(), x=values(3, 4))
    assert operations(graph).count("padiff_graph.custom_function") == 1
    assert "pd_op.tanh" not in operations(graph)


def test_what_runs_without_gradient_is_marked():
    graph = captured(Ungraded(), x=values(3, 4))
    marks = {node.op: "no_grad" in node.marks for node in graph.of_kind("operation")}
    assert marks["pd_op.matmul"] and not marks["pd_op.multiply"]
    graph = captured(UngradedNorm(), x=values(3, 4))
    marks = {node.op: "no_grad" in node.marks for node in graph.of_kind("operation")}
    assert marks["pd_op.layer_norm"]


def test_a_branch_that_the_example_decided_is_noted_with_its_line():
    graph = captured(Branching(), x=values(3, 4))
    assert any(
        "test_faithful.py:" in note and "answered by the example" in note for note in graph.notes
    )
    assert any("not captured by full-graph to_static" in note for note in graph.notes)


def test_a_loop_follows_the_example():
    graph = captured(Looping(), x=values(3, 4), count=paddle.to_tensor(3))
    assert operations(graph).count("pd_op.matmul") == 3


def test_written_buffers_are_updates():
    graph = captured(Counting(), x=values(3, 4))
    assert set(graph.updates) == {"steps", "mean"}
    assert graph.certificate.counts["buffer"] == 2


def test_a_second_instance_with_fixed_parameter_names():
    class Fixed(NN.Layer):
        def __init__(self):
            super().__init__()
            self.fc = NN.Linear(4, 4, weight_attr=paddle.ParamAttr(name="fixed_w"))

        def forward(self, x):
            return self.fc(x)

    first = Fixed()
    with paddle.utils.unique_name.guard():
        second = Fixed()
    for layer in (first, second):
        assert len(captured(layer, x=values(3, 4)).parameters) == 2


def test_places_sources_and_parameters():
    class Block(NN.Layer):
        def __init__(self):
            super().__init__()
            self.fc = NN.Linear(4, 4)

        def forward(self, x):
            return paddle.tanh(self.fc(x))

    class Model(NN.Layer):
        def __init__(self):
            super().__init__()
            self.block = Block()
            self.blocks = NN.LayerList([self.block, Block()])
            self.unused = NN.Linear(2, 2)

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return {"last": self.block(x), "pair": (x, None)}

    graph = captured(Model(), x=values(3, 4))
    places = [
        (node.path, node.call) for node in graph.of_kind("operation") if node.op == "pd_op.matmul"
    ]
    assert places == [("block.fc", 0), ("blocks.1.fc", 0), ("block.fc", 1)]
    tanh = next(node for node in graph.of_kind("operation") if node.op == "pd_op.tanh")
    assert tanh.path == "block" and "test_faithful.py:" in tanh.source
    assert graph.parameters["block.fc.weight"].aliases == ("blocks.0.fc.weight",)
    assert "unused.weight" in graph.parameters
    assert [node.name for node in graph.of_kind("output")] == ["last", "pair.0"]


def test_nested_inputs_with_values_that_are_no_tensors():
    class Nested(Base):
        def forward(self, batch, scale=1.0, mask=None):
            return self.fc(batch["x"][0]) * scale + (0 if mask is None else mask)

    graph = captured(Nested(), batch={"x": [values(3, 4)], "unused": "text"}, scale=2.5, mask=None)
    assert [node.name for node in graph.of_kind("input")] == ["batch.x.0"]


def test_failures_restore_everything_and_name_the_line():
    class Broken(Base):
        def forward(self, x):
            self.cache = x * 2
            return paddle.matmul(paddle.concat([x, x], axis=1), self.fc.weight)

    model, example = Broken(), {"x": values(3, 4)}
    before = snapshot(model, example)
    with pytest.raises(RuntimeError, match=r"test_faithful\.py:\d+"):
        capture_graph(model, example)
    assert before == snapshot(model, example)
    assert "cache" not in vars(model)


def test_a_forward_that_keeps_state_leaves_no_trace():
    class Caching(Base):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x):
            self.seen.append(x)
            self.last = self.fc(x)
            return self.last

    model = Caching()
    captured(model, x=values(3, 4))
    assert model.seen == [] and "last" not in vars(model)


class ZeroBelowZero(Base):
    def __init__(self, zero):
        super().__init__()
        self.zero = zero

    def forward(self, x):
        return 1.0 / (paddle.nn.functional.relu(self.fc(x)) * paddle.full([4], self.zero))


def test_zeros_keep_their_sign_whichever_was_captured_before():
    for zero in (0.0, -0.0, 0.0):
        captured(ZeroBelowZero(zero), x=values(3, 4))


class BroadcastProduct(NN.Layer):
    """A product whose operands have batches of another length; what follows reads its shape."""

    def __init__(self, shape):
        super().__init__()
        self.w = self.create_parameter(shape)
        self.w.stop_gradient = True  # Paddle has no gradient of it

    def forward(self, x):
        y = x.unsqueeze(1) @ self.w
        return paddle.nn.functional.relu(y).reshape([y.shape[0], y.shape[1] * y.shape[2], -1])


@pytest.mark.parametrize("shape", [[3, 8, 5], [1, 8, 5], [8, 5]])
def test_a_product_of_batches_is_broadcast(shape):
    graph = captured(BroadcastProduct(shape), x=values(2, 6, 8))
    [product] = [node for node in graph.of_kind("operation") if node.op == "pd_op.matmul"]
    assert product.outputs[0].shape == (2, shape[0] if len(shape) > 2 else 1, 6, 5)
