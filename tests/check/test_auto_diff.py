"""`auto_diff` and `compare`: what they return, refuse, leave alone, and pass on."""

import threading
import traceback
from dataclasses import replace

import numpy as np
import paddle
import pytest
import torch
import torch._dynamo  # torch wraps some of its own functions when this is first loaded

import padiff_graph as pg
from padiff_graph.capture.backend import backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.paddle import state as paddle_state
from padiff_graph.capture.torch import state as torch_state
from tests.models.breakable_pairs import (
    ConvNet,
    Crossed,
    Mlp,
    TorchConvNet,
    TorchCrossed,
    TorchMlp,
    batch,
    copy_linear,
    images,
)

CLOSE = {"atol": 1e-4}


def pair(**knobs):
    return Mlp(**knobs), TorchMlp(), batch(4, 16)


def failing(report):
    return [finding for finding in report.findings if finding.fails]


def told(report):
    return "\n".join(
        f"{finding.phase} {finding.verdict} {finding.paddle_path} {finding.torch_path}:"
        f" {finding.cause}"
        for finding in report.findings
    )


def changes(before, after):
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def test_returns_the_builtin_bools_and_prints(capsys):
    assert pg.auto_diff(*pair(), options=CLOSE) is True
    assert capsys.readouterr().out.strip()
    assert pg.auto_diff(*pair(activation=paddle.nn.GELU()), options=CLOSE) is False
    assert "elu" in capsys.readouterr().out


def test_all_parameters_by_position():
    layer, module, example = pair()
    optimizer = [
        paddle.optimizer.SGD(0.1, layer.parameters()),
        torch.optim.SGD(module.parameters(), lr=0.1),
    ]
    losses = [lambda out: out.mean(), lambda out: out.mean()]
    assert pg.auto_diff(layer, module, example, True, 2, CLOSE, {}, losses, optimizer) is True


def test_assert_ported():
    pg.assert_ported(*pair(), options=CLOSE)
    with pytest.raises(AssertionError, match="(?i)relu"):
        pg.assert_ported(*pair(activation=paddle.nn.GELU()), options=CLOSE)


@pytest.mark.parametrize("phase", ["both", "forward", "backward"])
@pytest.mark.parametrize("mode", ["mean", "strict"])
def test_single_step(phase, mode):
    options = {
        "atol": 1e-5,
        "rtol": 1e-5,
        "single_step": True,
        "diff_phase": phase,
        "compare_mode": mode,
    }
    report = pg.compare(*pair(), options=options)
    assert report.passed, told(report)
    wrong = pg.compare(*pair(activation=paddle.nn.GELU()), options=options)
    assert not wrong.passed and failing(wrong)
    assert phase == "both" or {finding.phase for finding in failing(wrong)} <= {phase}


def test_forward_only_computes_no_gradients():
    report = pg.compare(*pair(detach=True), options={**CLOSE, "diff_phase": "forward"})
    assert report.passed and report.compared.gradients == 0, told(report)


def test_mean_and_strict_hold_other_errors_against_the_tolerance():
    layer, module, example = pair()
    report = pg.compare(layer, module, example, auto_weights=True, options=CLOSE)
    assert report.passed
    layer.out.weight.set_value(layer.out.weight.numpy() + np.eye(16, 8, dtype="float32") * 1e-6)
    needed = [
        pg.compare(
            layer,
            module,
            example,
            auto_weights=False,
            options={"atol": 0, "rtol": 0, "compare_mode": mode},
        ).required_tolerance["atol"]
        for mode in ("mean", "strict")
    ]
    assert 0 < needed[0] < needed[1]


def test_nothing_compared_is_no_pass():
    class Ids(paddle.nn.Layer):
        def forward(self, x):
            return {}

    class TorchIds(torch.nn.Module):
        def forward(self, x):
            return {}

    report = pg.compare(Ids(), TorchIds(), batch(2, 3))
    assert not report.passed and report.findings[0].verdict == "not-comparable"


# -- weights


def test_auto_weights_copies_into_paddle_and_leaves_torch():
    layer, module, example = pair()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    pg.compare(layer, module, example, options=CLOSE)
    np.testing.assert_array_equal(layer.fc1.weight.numpy(), module.up.weight.detach().numpy().T)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_without_auto_weights_nothing_is_written():
    layer, module, example = pair()
    before = {name: value.numpy().copy() for name, value in layer.state_dict().items()}
    report = pg.compare(layer, module, example, auto_weights=False, options=CLOSE)
    assert not report.passed and any(finding.phase == "weights" for finding in failing(report)), (
        told(report)
    )
    assert all(
        np.array_equal(before[name], value.numpy()) for name, value in layer.state_dict().items()
    )


def test_a_parameter_without_counterpart_never_raises():
    class More(Mlp):
        def __init__(self):
            super().__init__()
            self.gate = self.create_parameter(
                [16], default_initializer=paddle.nn.initializer.Normal()
            )

        def forward(self, x):
            return super().forward(x * self.gate)

    report = pg.compare(More(), TorchMlp(), batch(4, 16), options=CLOSE)
    assert not report.passed and failing(report), told(report)


# -- layer maps


def test_a_plain_dict_as_layer_map():
    layer, module, example = pair(activation=paddle.nn.ReLU())
    assert pg.compare(
        layer, module, example, options=CLOSE, layer_map={layer.fc1: module.up}
    ).passed


def test_mapped_pairs_are_compared_at_their_outputs():
    class Inner(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.fc = paddle.nn.Linear(6, 6)

        def forward(self, x):
            return paddle.nn.functional.relu(self.fc(x)) * 2.0

    class TorchInner(torch.nn.Module):
        def __init__(self, slope=0.0):
            super().__init__()
            self.fc, self.slope = torch.nn.Linear(6, 6), slope

        def forward(self, x):
            return torch.nn.functional.leaky_relu(self.fc(x) * 2.0, self.slope)

    class Outer(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.head = Inner(), paddle.nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.inner(x))

    class TorchOuter(torch.nn.Module):
        def __init__(self, slope=0.0):
            super().__init__()
            self.body, self.classify = TorchInner(slope), torch.nn.Linear(6, 3)

        def forward(self, x):
            return self.classify(self.body(x))

    layer, module = Outer(), TorchOuter()
    layer_map = pg.LayerMap()
    layer_map.map = {layer.inner: module.body}
    report = pg.compare(layer, module, batch(4, 6), options=CLOSE, layer_map=layer_map)
    assert report.passed, told(report)
    np.testing.assert_array_equal(
        layer.inner.fc.weight.numpy(), module.body.fc.weight.detach().numpy().T
    )
    wrong = TorchOuter(0.3)
    report = pg.compare(layer, wrong, batch(4, 6), options=CLOSE, layer_map={"inner": "body"})
    assert not report.passed and failing(report), told(report)


def test_ignored_layers_are_left_out():
    for leave_out in ("ignore", "ignore_recursively", "ignore_recursivly"):
        layer, module, example = pair(activation=paddle.nn.GELU())
        layer_map = pg.LayerMap()
        getattr(layer_map, leave_out)(layer.act)
        report = pg.compare(
            layer, module, example, options={**CLOSE, "single_step": True}, layer_map=layer_map
        )
        assert not [finding for finding in failing(report) if finding.paddle_path == "act"], told(
            report
        )
    layer, module, example = pair(activation=paddle.nn.GELU())
    layer_map = pg.LayerMap()
    layer_map.ignore_class(layer, paddle.nn.GELU)
    assert pg.compare(
        layer, module, example, options={**CLOSE, "single_step": True}, layer_map=layer_map
    ).passed


def test_a_layer_map_of_strangers_is_refused_before_anything_changes():
    layer, module, example = pair()
    before = layer.fc1.weight.numpy().copy()
    with pytest.raises(pg.UsageError):
        pg.compare(layer, module, example, layer_map={paddle.nn.Linear(2, 2): module.up})
    with pytest.raises(pg.UsageError):
        pg.compare(layer, module, example, layer_map=3)
    np.testing.assert_array_equal(before, layer.fc1.weight.numpy())


# -- losses


def test_losses():
    target = np.random.default_rng(1).standard_normal((4, 8)).astype("float32")
    first, second = paddle.to_tensor(target), torch.from_numpy(target)
    losses = [
        lambda out: paddle.nn.functional.mse_loss(out, first),
        lambda out: torch.nn.functional.mse_loss(out, second),
    ]
    report = pg.compare(*pair(), options=CLOSE, loss_fn=losses)
    assert report.passed, told(report)


def test_a_loss_with_a_cut_gradient():
    losses = [lambda out: (out * out.detach()).mean(), lambda out: (out * out).mean()]
    report = pg.compare(*pair(), options=CLOSE, loss_fn=losses)
    found = [finding for finding in failing(report) if finding.phase == "loss"]
    assert found and "gradients of the loss functions differ" in found[0].cause, told(report)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda out: out, "must return a scalar; it returned a tensor of shape \\[4, 8\\]"),
        (lambda out: 1.0, "must return a scalar paddle tensor; it returned float"),
        (lambda out: None, "returned NoneType"),
        (lambda out: out.argmax(), "floating"),
    ],
)
def test_a_loss_that_returns_no_scalar(loss, words):
    layer, module, example = pair()
    before = layer.fc1.weight.numpy().copy()
    with pytest.raises(pg.UsageError, match=words):
        pg.compare(layer, module, example, loss_fn=[loss, lambda out: out.mean()])
    np.testing.assert_array_equal(before, layer.fc1.weight.numpy())


# -- nothing changes


def snapshots(layer, module, example):
    return paddle_state.snapshot(layer, example[0]), torch_state.snapshot(module, example[1])


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("case", ["healthy", "different", "single step", "losses"])
def test_nothing_is_changed(case, train):
    layer, module = (ConvNet() if case != "different" else ConvNet(residual=False)), TorchConvNet()
    (layer.train if train else layer.eval)()
    module.train(train)
    layer.bn2.eval()  # a mixed mode stays mixed
    module.norms[1].eval()
    layer.conv1.weight.stop_gradient = True
    module.convs[0].weight.requires_grad_(False)
    example = images()
    module(**example[1]).sum().backward()  # gradients that were there before
    layer(**example[0]).sum().backward()
    options = {**CLOSE, "single_step": case == "single step"}
    losses = [lambda out: out.mean(), lambda out: out.mean()] if case == "losses" else None
    pg.assign_weight(layer, module, example_inp=example)
    before = snapshots(layer, module, example)
    report = pg.compare(layer, module, example, options=options, loss_fn=losses)
    after = snapshots(layer, module, example)
    assert report.findings or report.passed
    assert changes(before[1], after[1]) == []
    assert changes(before[0], after[0]) == []


class Raising(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(16, 8)

    def forward(self, x):
        self.fc(x)
        raise ZeroDivisionError("in the user's forward")


class TorchRaising(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(16, 8)

    def forward(self, x):
        self.fc(x)
        raise ZeroDivisionError("in the user's forward")


class Plain(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(16, 8)

    def forward(self, x):
        return self.fc(x)


class TorchPlain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(16, 8)

    def forward(self, x):
        return self.fc(x)


@pytest.mark.parametrize(
    "make",
    [lambda: (Raising(), TorchPlain()), lambda: (Plain(), TorchRaising())],
    ids=["paddle", "torch"],
)
def test_an_exception_in_forward_is_passed_on(make):
    layer, module = make()
    example = batch(4, 16)
    before = snapshots(layer, module, example)
    with pytest.raises(ZeroDivisionError, match="in the user's forward") as caught:
        pg.compare(layer, module, example)
    assert any(
        frame.filename == __file__ and frame.name == "forward"
        for frame in traceback.extract_tb(caught.value.__traceback__)
    )
    after = snapshots(layer, module, example)
    assert changes(before[0], after[0]) == [] and changes(before[1], after[1]) == []


@pytest.mark.parametrize("side", [0, 1])
def test_an_exception_in_a_loss_is_passed_on(side):
    def broken(out):
        raise KeyError("in the user's loss")

    losses = [lambda out: out.mean(), lambda out: out.mean()]
    losses[side] = broken
    layer, module, example = pair()
    before = snapshots(layer, module, example)
    with pytest.raises(KeyError, match="in the user's loss"):
        pg.compare(layer, module, example, loss_fn=losses)
    after = snapshots(layer, module, example)
    assert changes(before[0], after[0]) == [] and changes(before[1], after[1]) == []


def test_an_exception_in_an_optimizer_is_passed_on():
    layer, module, example = pair()

    def broken():
        raise OSError("in the user's step")

    before = snapshots(layer, module, example)
    with pytest.raises(OSError, match="in the user's step"):
        pg.compare(
            layer,
            module,
            example,
            steps=2,
            optimizer=[paddle.optimizer.SGD(0.1, layer.parameters()), broken],
        )
    after = snapshots(layer, module, example)
    assert changes(before[0], after[0]) == [] and changes(before[1], after[1]) == []


def test_twice_is_the_same():
    layer, module, example = pair(activation=paddle.nn.GELU())
    reports = [pg.compare(layer, module, example, options=CLOSE) for _ in range(2)]
    assert [finding.cause for finding in reports[0].findings] == [
        finding.cause for finding in reports[1].findings
    ]
    assert (
        reports[0].required_tolerance == reports[1].required_tolerance
        and reports[0].regions == reports[1].regions
    )


def test_two_threads():
    answers = {}

    def run(name, models):
        answers[name] = pg.compare(*models, options=CLOSE)

    # models are made first: Paddle's static mode, in which a capture runs, is one for all threads
    made = {"right": pair(activation=paddle.nn.ReLU()), "wrong": pair(activation=paddle.nn.GELU())}
    threads = [threading.Thread(target=run, args=item) for item in made.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers["right"].passed and not answers["wrong"].passed
    assert paddle.in_dynamic_mode() and torch.is_grad_enabled()


def test_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pg.auto_diff(*pair(), options=CLOSE) is True
    assert list(tmp_path.iterdir()) == []


def test_both_sides_of_one_framework():
    assert pg.compare(
        TorchCrossed(),
        TorchCrossed(defined_swapped=True),
        (batch(3, 6)[1], batch(3, 6)[1]),
        options=CLOSE,
    ).passed
    first, second = Crossed(), Crossed()
    assert pg.compare(first, second, (batch(3, 6)[0], batch(3, 6)[0]), options=CLOSE).passed


def test_wrong_use_changes_nothing():
    layer, module, example = pair()
    before = snapshots(layer, module, example)
    for given in (
        {"auto_weights": 1},
        {"steps": 2},
        {"options": {"mode": 1}},
        {"loss_fn": [1, 2]},
        {"optimizer": 3},
    ):
        with pytest.raises(pg.UsageError):
            pg.compare(layer, module, example, **given)
    assert snapshots(layer, module, example) == before


def test_weights_equal_by_hand():
    layer, module = Crossed(), TorchCrossed()
    copy_linear(layer.fc1, module.fc1)
    copy_linear(layer.fc2, module.fc2)
    assert pg.compare(layer, module, batch(3, 6), auto_weights=False, options=CLOSE).passed


@pytest.mark.parametrize("framework", ["paddle", "torch"])
def test_a_failed_capture_is_told_on_its_own_side(monkeypatch, framework):
    def refusing(model, example, **rest):
        raise CaptureError("no rung succeeds", "net.py:7")

    refuses = replace(backend(framework), trace=refusing)
    monkeypatch.setattr(f"padiff_graph.capture.{framework}.backend.BACKEND", refuses)
    finding = pg.compare(*pair(), options=CLOSE).findings[0]
    assert finding.phase == "capture" and not pg.compare(*pair(), options=CLOSE).passed
    assert (finding.paddle_source, finding.torch_source) == (
        ("net.py:7", "") if framework == "paddle" else ("", "net.py:7")
    )
