"""A model whose forward raises: the exception passes, and says where the model stopped, what the
other has there, and how the part that ran compares."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli
from padiff_graph.findings.stopped_model import stopped_model
from padiff_graph.report.stopped_text import stopped_text

X = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
OPTIONS = {"rtol": 1e-4, "atol": 1e-5}


class TorchHead(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = torch.nn.Linear(width, 4)

    def forward(self, hidden):
        return self.inner(hidden.tanh())


class TorchNet(torch.nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.fc, self.norm = torch.nn.Linear(8, 16), torch.nn.LayerNorm(16)
        self.head, self.last = TorchHead(width), torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.last(self.head(torch.relu(self.norm(self.fc(x)))))


class PaddleHead(paddle.nn.Layer):
    def __init__(self, width):
        super().__init__()
        self.inner = paddle.nn.Linear(width, 4)

    def forward(self, hidden):
        return self.inner(hidden.tanh())


class PaddleNet(paddle.nn.Layer):
    def __init__(self, width=16, epsilon=1e-5, at_once=False, catches=False, behind=False):
        super().__init__()
        self.fc, self.norm = paddle.nn.Linear(8, 16), paddle.nn.LayerNorm(16, epsilon=epsilon)
        self.head, self.last = PaddleHead(width), paddle.nn.Linear(4, 4)
        self.spare = PaddleHead(16)
        self.at_once, self.catches, self.behind = at_once, catches, behind

    def forward(self, x):
        if self.at_once:
            raise KeyError("no such thing")
        if self.behind:
            raise KeyError(self.fc(x).shape)
        hidden = paddle.nn.functional.relu(self.norm(self.fc(x)))
        try:
            return self.last(self.head(hidden))
        except ValueError:
            if not self.catches:
                raise
            return self.last(self.spare(hidden))


def pair():
    return PaddleNet(width=17).eval(), TorchNet().eval(), ({"x": X}, {"x": X})


def _raised(layer, module, kind):
    before = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    with pytest.raises(kind) as caught:
        pg.compare(layer, module, ({"x": X}, {"x": X}), options=OPTIONS)
    for name, tensor in layer.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    for own in (*layer.sublayers(include_self=True), *module.modules()):
        assert "forward" not in vars(own)
    return stopped_model(caught.value)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_the_part_of_a_port_that_runs_is_compared(epsilon):
    layer, module = PaddleNet(width=17, epsilon=epsilon), TorchNet()
    layer.eval()
    stopped = _raised(layer, module.eval(), ValueError)
    assert (stopped.number, stopped.path, stopped.kind) == (0, "head.inner", "Linear")
    assert stopped.code == "return self.inner(hidden.tanh())"
    assert [held.shape for held in stopped.given] == [(3, 16)]
    assert [(held.name, held.shape) for held in stopped.variables] == [("hidden", (3, 16))]
    assert [held.shape for held in stopped.weights] == [(17, 4), (4,)]
    assert stopped.beside.path == "head.inner" and "linear" in stopped.beside.op
    assert [held.shape for held in stopped.beside.weights] == [(4, 16), (4,)]
    assert [held.shape for held in stopped.beside.yielded] == [(3, 4)]
    assert stopped.regions["equal"] >= 2
    assert stopped.regions.get("different", 0) == (epsilon != 1e-5)
    different = [] if epsilon == 1e-5 else ["attribute.epsilon"]
    assert [finding.cause_id for finding in stopped.findings] == different
    text = stopped_text(stopped)
    assert "the Paddle model PaddleNet stopped in head.inner (Linear)" in text
    assert "regions compared" in text


def test_a_reference_that_stops_is_told_likewise():
    layer = PaddleNet()
    layer.eval()
    stopped = _raised(layer, TorchNet(width=17).eval(), RuntimeError)
    assert (stopped.number, stopped.path) == (1, "head.inner")
    assert stopped.beside.path == "head.inner" and stopped.beside.op.startswith("pd_op.")
    assert stopped.regions == {"equal": 4}


def test_where_nothing_ran_that_is_said():
    layer = PaddleNet(at_once=True)
    layer.eval()
    stopped = _raised(layer, TorchNet().eval(), KeyError)
    assert (stopped.path, stopped.beside, dict(stopped.regions)) == ("", None, {})
    assert "no module had computed anything by then" in stopped_text(stopped)


def test_an_output_of_the_other_model_has_no_counterpart_in_the_part_that_ran():
    layer = PaddleNet(behind=True)
    layer.eval()
    stopped = _raised(layer, TorchNet().eval(), KeyError)
    assert stopped.regions == {"equal": 1} and not stopped.findings


def test_what_a_forward_catches_is_no_stop():
    layer = PaddleNet(width=17, catches=True)
    layer.eval()
    report = pg.compare(layer, TorchNet().eval(), ({"x": X}, {"x": X}), options=OPTIONS)
    assert report.regions["equal"] == 6


def test_the_command_line_ends_with_3_and_writes_the_facts(tmp_path, capsys):
    path = tmp_path / "stopped.json"
    target = f"{Path(__file__)}:pair"
    code = run(lambda: cli.main(["align", target, "--json", str(path)], standalone_mode=False))
    assert code == 3
    said = capsys.readouterr().err
    assert "nothing was compared: ValueError at " in said
    assert "the torch model TorchNet goes on with head.inner" in said
    facts = json.loads(path.read_text())
    assert facts["passed"] is False and facts["stopped"]["beside"]["path"] == "head.inner"


@pytest.mark.parametrize("call", [pg.structural_diff, pg.suggest_layer_map])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_calls_that_only_match_give_the_same_help(call, epsilon):
    layer, module = PaddleNet(width=17, epsilon=epsilon), TorchNet().eval()
    layer.eval()
    before = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    with pytest.raises(pg.CaptureError) as caught:
        call(layer, module, ({"x": X}, {"x": X}))
    stopped = stopped_model(caught.value)
    assert (stopped.number, stopped.path, stopped.beside.path) == (0, "head.inner", "head.inner")
    told = [finding.cause_id for finding in stopped.findings]
    assert told == ([] if epsilon == 1e-5 else ["attribute.epsilon"])
    for name, tensor in layer.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


SHAPES = {"x": paddle.static.InputSpec([3, 8], "float32")}, {"x": torch.ones(3, 8, device="meta")}


def _without_numbers(width=(16, 16), **given):
    with paddle.LazyGuard():
        layer = PaddleNet(width=width[0], **given)
    layer.eval()
    with torch.device("meta"):
        return layer, TorchNet(width=width[1]).eval()


def _stopped_without_numbers(layer, module, call=pg.structural_diff):
    with pytest.raises(pg.CaptureError) as caught:
        call(layer, module, SHAPES)
    for own in (*layer.sublayers(include_self=True), *module.modules()):
        assert "forward" not in vars(own)
    return stopped_model(caught.value)


@pytest.mark.parametrize("call", [pg.structural_diff, pg.suggest_layer_map])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_a_port_without_numbers_that_raises_gets_the_help_that_shapes_give(call, epsilon):
    pair = _without_numbers((17, 16), epsilon=epsilon)
    stopped = _stopped_without_numbers(*pair, call)
    assert (stopped.number, stopped.path, stopped.kind) == (0, "head.inner", "Linear")
    assert stopped.code == "return self.inner(hidden.tanh())"
    assert [held.shape for held in stopped.given] == [(3, 16)]
    assert [held.shape for held in stopped.weights] == [(17, 4), (4,)]
    assert stopped.beside.path == "head.inner"
    assert [held.shape for held in stopped.beside.weights] == [(4, 16), (4,)]
    assert stopped.matched == 4 and not stopped.regions
    told = [finding.cause_id for finding in stopped.findings]
    assert told == ([] if epsilon == 1e-5 else ["attribute.epsilon"])
    assert "4 operations matched; no numbers to run them on" in stopped_text(stopped)


def test_a_reference_without_numbers_that_raises_is_told_by_its_place():
    stopped = _stopped_without_numbers(*_without_numbers((16, 17)))
    assert (stopped.number, stopped.path, stopped.beside) == (1, "head.inner", None)
    assert [held.shape for held in stopped.given] == [(3, 16)]
    assert "cannot be captured by shapes alone" in stopped_text(stopped)


def test_where_nothing_ran_without_numbers_that_is_said():
    stopped = _stopped_without_numbers(*_without_numbers(at_once=True))
    assert (stopped.path, stopped.beside, stopped.matched) == ("", None, 0)
    assert "no module had computed anything by then" in stopped_text(stopped)


def asking():
    layer, module = _without_numbers()
    plain = module.head.forward
    module.head.forward = lambda hidden: plain(hidden) if hidden.sum() > 0 else hidden
    return layer, module, SHAPES


def test_a_question_about_numbers_that_are_not_there_is_no_mistake_of_the_model(capsys):
    target = f"{Path(__file__)}:asking"
    assert run(lambda: cli.main(["diff", target], standalone_mode=False)) == 3
    said = capsys.readouterr().err
    assert "capture failed: TorchNet could not be captured" in said
    assert "the trace of the torch model TorchNet stopped in head (TorchHead)" in said


@pytest.mark.parametrize("command", ["diff", "suggest"])
def test_their_commands_say_so(command, tmp_path, capsys):
    target = f"{Path(__file__)}:pair"
    path = tmp_path / "stopped.json"
    wanted = ["--json", str(path)] if command == "diff" else []
    assert run(lambda: cli.main([command, target, *wanted], standalone_mode=False)) == 3
    said = capsys.readouterr().err
    assert "nothing was compared: ValueError: " in said and "capture failed" not in said
    assert "the torch model TorchNet goes on with head.inner" in said
    if wanted:
        assert json.loads(path.read_text())["stopped"]["path"] == "head.inner"


def test_a_forward_that_exits_stops_there():
    def exits(hidden):
        raise SystemExit(5)

    layer = PaddleNet()
    layer.eval()
    layer.last.forward = exits
    with pytest.raises(SystemExit) as caught:
        pg.compare(layer, TorchNet().eval(), ({"x": X}, {"x": X}), options=OPTIONS)
    stopped = stopped_model(caught.value)
    assert (stopped.path, stopped.beside.path) == ("last", "last")


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_a_loss_that_raises_leaves_the_models_compared(epsilon):
    layer = PaddleNet(epsilon=epsilon)
    layer.eval()

    def loss(output):
        return (output @ output).mean()

    given = {"loss_fn": [loss, lambda output: output.mean()], "options": OPTIONS}
    with pytest.raises(ValueError, match="matmul") as caught:
        pg.compare(layer, TorchNet().eval(), ({"x": X}, {"x": X}), **given)
    stopped = stopped_model(caught.value)
    assert stopped.number is None and stopped.regions["equal"] >= 4
    told = [finding.cause_id for finding in stopped.findings]
    assert told == ([] if epsilon == 1e-5 else ["attribute.epsilon"])
    text = stopped_text(stopped)
    assert "the forward of both models runs" in text and "both models without it: " in text


class _TorchBoom(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        raise KeyError("not written yet")


class _PaddleBoom(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        raise KeyError("not written yet")


def _with_backward(side):
    """A pair one of which has a function whose backward raises in front of `last`."""
    layer, module = PaddleNet(), TorchNet().eval()
    layer.eval()
    model, function = ((layer, _PaddleBoom), (module, _TorchBoom))[side]
    plain = model.last.forward
    model.last.forward = lambda hidden: plain(function.apply(hidden))
    return layer, module


@pytest.mark.parametrize("side", [0, 1])
def test_a_backward_that_raises_leaves_the_rest_compared(side):
    layer, module = _with_backward(side)
    report = pg.compare(layer, module, ({"x": X}, {"x": X}), options=OPTIONS)
    assert not report.passed
    assert report.regions["equal"] >= 5 and report.regions["not-comparable"] == 1
    reasons = " ".join(report.notes)
    assert "not written yet" in reasons and "test_stopped_check.py" in reasons


def test_two_backwards_that_raise_are_no_pass():
    layer, module = _with_backward(1)[1], _with_backward(1)[1]
    report = pg.compare(layer, module, ({"x": X}, {"x": X}), options=OPTIONS)
    assert not report.passed and not any(finding.fails for finding in report.findings)
