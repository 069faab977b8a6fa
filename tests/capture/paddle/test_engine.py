"""The Paddle engine: rerunning captured operations, gradients, float64, shared draws."""

import numpy as np
import paddle
import pytest

from padiff_graph.capture.backend import backend
from padiff_graph.capture.paddle.trace import trace

NN = paddle.nn
RNG = np.random.default_rng(0)


def only(graph, op):
    (node,) = [node for node in graph.of_kind("operation") if node.op == op]
    return node


def operands(engine, graph, node, **given):
    """Operand tensors of a node: parameters of the model, constants, and what is given by role."""
    own = engine.parameters()
    found = []
    for role, operand in zip(node.roles, node.inputs, strict=True):
        record = None if operand is None else graph.record(operand.node)
        if record is None:
            found.append(None)
        elif role in given:
            found.append(given[role])
        elif record.constant is not None:
            found.append(engine.tensor(record.constant))
        else:
            found.append(own[record.name])
    return found


def test_dropout_takes_the_draw():
    for mode, scale in (("upscale_in_train", 2.0), ("downscale_in_infer", 1.0)):
        layer = NN.Dropout(0.5, mode=mode)
        layer.train()
        x = paddle.ones([2, 3])
        graph = trace(layer, {"input": x})
        engine = backend("paddle").engine(layer)
        node = only(graph, "pd_op.dropout")
        assert "random" in node.marks
        draw = np.array([[1, 0, 1], [0, 0, 1]], np.float32)
        out = engine.run(node, operands(engine, graph, node, x=x), draw=draw)[0]
        np.testing.assert_array_equal(out.numpy(), draw * scale)


def test_dropout_outside_training_is_not_random_and_keeps_its_factor():
    layer = NN.Dropout(0.25, mode="downscale_in_infer")
    layer.eval()
    graph = trace(layer, {"input": paddle.ones([2, 3])})
    engine = backend("paddle").engine(layer)
    node = only(graph, "pd_op.dropout")
    assert not node.marks
    np.testing.assert_allclose(
        engine.run(node, operands(engine, graph, node, x=paddle.ones([2, 3])))[0].numpy(), 0.75
    )


def test_batch_norm_returns_its_statistics_and_writes_nothing():
    layer = NN.BatchNorm2D(3)
    layer.train()
    x = paddle.to_tensor(RNG.standard_normal((4, 3, 5, 5)).astype("float32"))
    graph = trace(layer, {"input": x})
    engine = backend("paddle").engine(layer)
    node = only(graph, "pd_op.batch_norm_")
    given = operands(engine, graph, node, x=x)
    before = [None if tensor is None else tensor.numpy().copy() for tensor in given]
    found = engine.run(node, given)
    for tensor, former in zip(given, before, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), former)
    run = layer(x)
    np.testing.assert_array_equal(found[0].numpy(), run.numpy())
    np.testing.assert_array_equal(found[1].numpy(), layer._mean.numpy())
    np.testing.assert_array_equal(found[2].numpy(), layer._variance.numpy())
    assert set(graph.updates) == {"_mean", "_variance"}
    assert graph.parameters["_mean"].buffer and not graph.parameters["weight"].buffer


@pytest.mark.parametrize("training", [False, True])
def test_a_node_in_float64_has_float64_gradients(training):
    layer = NN.LayerNorm(6)
    layer.train() if training else layer.eval()
    x = RNG.standard_normal((4, 6))
    graph = trace(layer, {"input": paddle.to_tensor(x.astype("float32"))})
    engine = backend("paddle").engine(layer)
    node = only(graph, "pd_op.layer_norm")
    given = [
        engine.tensor(array, "float64", True)
        for array in (x, np.linspace(1, 2, 6), np.linspace(0, 1, 6))
    ]
    out = engine.run(node, given, double=True)[0]
    seed = RNG.standard_normal((4, 6))
    gradients = engine.grad([out], given, [engine.tensor(seed)])
    step = 1e-6

    def loss(moved):
        mean, variance = moved.mean(-1, keepdims=True), moved.var(-1, keepdims=True)
        return (
            (
                ((moved - mean) / np.sqrt(variance + 1e-5)) * np.linspace(1, 2, 6)
                + np.linspace(0, 1, 6)
            )
            * seed
        ).sum()

    direction = RNG.standard_normal(x.shape)
    numeric = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert gradients[0].dtype == paddle.float64
    assert abs((gradients[0].numpy() * direction).sum() - numeric) < 1e-6
    assert all(gradient is not None for gradient in gradients)


def test_dtype_attributes_are_answered_in_float64():
    class Constants(NN.Layer):
        def forward(self, x):
            return x.astype("float32") * paddle.full([2], 0.3) + paddle.arange(2, dtype="float32")

    graph = trace(Constants(), {"x": paddle.ones([2], "float64")})
    engine = backend("paddle").engine(Constants())
    known = {}
    for node in graph.records():
        if node.kind == "input":
            known[node.id, 0] = paddle.ones([2], "float64")
        elif node.kind == "operation":
            found = engine.run(
                node,
                [
                    None if operand is None else known[operand.node, operand.output]
                    for operand in node.inputs
                ],
                double=True,
            )
            known.update({(node.id, number): result for number, result in enumerate(found)})
        elif node.kind == "output":
            result = known[node.inputs[0].node, node.inputs[0].output]
    assert result.dtype == paddle.float64
    np.testing.assert_array_equal(result.numpy(), np.array([0.3, 1.3]))


def test_no_path_is_none_and_grad_stays_untouched():
    layer = NN.Linear(3, 2)
    engine = backend("paddle").engine(layer)
    with engine.quiet():
        run = engine.forward({"input": paddle.ones([2, 3])}, grad=True)
        engine.backward(run, {"output": np.ones((2, 2), np.float32)})
    assert set(run.gradients) == {"input:input", "parameter:weight", "parameter:bias"}
    assert all(parameter.grad is None for parameter in layer.parameters())
    a, b = (
        engine.tensor(np.ones(2, np.float32), None, True),
        engine.tensor(np.ones(2, np.float32), None, True),
    )
    assert engine.grad([a * 2], [a, b], [paddle.ones([2])])[1] is None


def test_quiet_puts_statistics_modes_and_random_states_back():
    layer = NN.Sequential(NN.BatchNorm1D(3), NN.Dropout(0.5))
    engine = backend("paddle").engine(layer)
    state, mean = str(paddle.get_rng_state("cpu")[0]).split("0x")[0], layer[0]._mean.numpy().copy()
    with pytest.raises(ZeroDivisionError), engine.quiet():
        engine.forward({"input": paddle.randn([4, 3])}, grad=True)
        layer.eval()
        paddle.set_default_dtype("float64")
        raise ZeroDivisionError
    np.testing.assert_array_equal(layer[0]._mean.numpy(), mean)
    assert layer.training and layer[1].training and paddle.get_default_dtype() == "float32"
    assert str(paddle.get_rng_state("cpu")[0]).split("0x")[0] == state


def test_recurrent_layers_differentiate_outside_training_as_in_it():
    layer = NN.LSTM(3, 4)
    engine = backend("paddle").engine(layer)
    x, gradients = paddle.randn([2, 5, 3]), []
    for training in (True, False):
        layer.train() if training else layer.eval()
        with engine.quiet():
            run = engine.forward({"inputs": x}, grad=True)
            seeds = {
                name: np.ones(tensor.shape, np.float32) for name, tensor in run.outputs.items()
            }
            engine.backward(run, seeds)
            gradients.append(run.gradients["parameter:weight_ih_l0"])
    np.testing.assert_array_equal(*gradients)
    assert gradients[0].any()


def test_assign_checks_before_it_writes():
    layer = NN.Linear(3, 2)
    engine = backend("paddle").engine(layer)
    before = layer.weight.numpy().copy()
    with pytest.raises(ValueError, match="bias has shape"):
        engine.assign({"weight": np.zeros((3, 2), np.float32), "bias": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(layer.weight.numpy(), before)
    engine.assign({"weight": np.zeros((3, 2))})
    np.testing.assert_array_equal(layer.weight.numpy(), 0)


def test_an_operation_without_an_eager_call_runs_as_a_program():
    from padiff_graph.capture.paddle.pir_call import Operation
    from padiff_graph.capture.paddle.static_call import StaticCall

    layer = NN.Linear(3, 2)
    graph = trace(layer, {"input": paddle.ones([2, 3])})
    operation: Operation = only(graph, "pd_op.matmul").native
    x, w = paddle.ones([2, 3]), layer.weight.detach()
    x.stop_gradient = w.stop_gradient = False
    (out,) = StaticCall(operation.native, operation.name)([x, w], False)
    np.testing.assert_array_equal(out.numpy(), paddle.matmul(x, w).numpy())
    gradients = paddle.grad([out], [x, w], [paddle.ones([2, 2])])
    np.testing.assert_allclose(
        gradients[0].numpy(),
        paddle.matmul(paddle.ones([2, 2]), w, transpose_y=True).numpy(),
        rtol=1e-6,
    )
    assert paddle.in_dynamic_mode()


def test_models_made_lazily_are_captured_from_shapes():
    with paddle.LazyGuard():
        layer = NN.Sequential(NN.Linear(64, 128), NN.ReLU(), NN.Linear(128, 4))
    graph = trace(layer, {"input": paddle.static.InputSpec([2, 64], "float32")})
    assert graph.session.abstract
    assert [node.op for node in graph.of_kind("operation")] == [
        "pd_op.matmul",
        "pd_op.add",
        "pd_op.relu",
        "pd_op.matmul",
        "pd_op.add",
    ]
