"""A recorded training stands in the place of an optimizer: what is told of training is what one
process tells."""

from __future__ import annotations

import copy
import json
import zipfile

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.remote.wire import encode
from padiff_graph.errors import UsageError, UsageTypeError

X = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
OPTIONS = {"rtol": 1e-3, "atol": 1e-5, "allow_rounding": True}
STEPS = 3


class Port(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = paddle.nn.Linear(6, 16), paddle.nn.Linear(16, 4)
        self.norm = paddle.nn.BatchNorm1D(16)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.last(paddle.tanh(self.norm(self.first(x))))


class Reference(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(6, 16), torch.nn.Linear(16, 4)
        self.norm = torch.nn.BatchNorm1d(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.norm(self.first(x))))


def squared(output):
    return (output**2).mean()


def _torch_optimizer(kind, module):
    made = {
        "adamw": lambda: torch.optim.AdamW(module.parameters(), 1e-2, weight_decay=0.05),
        "momentum": lambda: torch.optim.SGD(module.parameters(), 0.1, momentum=0.9),
        "rmsprop": lambda: torch.optim.RMSprop(module.parameters(), 1e-3, alpha=0.9, eps=1e-6),
    }
    return made[kind]()


def _paddle_optimizer(kind, layer, decay=0.05, momentum=0.9):
    own = layer.parameters()
    made = {
        "adamw": lambda: paddle.optimizer.AdamW(1e-2, parameters=own, weight_decay=decay),
        "momentum": lambda: paddle.optimizer.Momentum(0.1, momentum, parameters=own),
        "rmsprop": lambda: paddle.optimizer.RMSProp(1e-3, rho=0.9, epsilon=1e-6, parameters=own),
    }
    return made[kind]()


@pytest.fixture(scope="module", params=["adamw", "momentum", "rmsprop"])
def recorded(request, tmp_path_factory):
    """(kind of optimizer, the module, its recording)."""
    torch.manual_seed(0)
    module = Reference()
    optimizer = _torch_optimizer(request.param, module)
    before = copy.deepcopy((module.state_dict(), optimizer.state_dict()))
    path = tmp_path_factory.mktemp("trained") / "ref.pgref"
    example = {"x": torch.from_numpy(X)}
    pg.record(module, example, path, loss=squared, optimizer=optimizer, steps=STEPS)
    after = module.state_dict(), optimizer.state_dict()
    assert all(torch.equal(after[0][name], own) for name, own in before[0].items())
    assert after[1] == before[1]
    return request.param, module, path


def _told(report):
    findings = [(own.cause_id, own.verdict, own.paddle_path, own.cause) for own in report.findings]
    return report.passed, report.equivalent, findings


def _both(recorded, **how):
    """The report of one process, and the one against the recording."""
    kind, module, path = recorded
    reports = []
    for other, inputs in ((copy.deepcopy(module), torch.from_numpy(X)), (path, X)):
        port = Port()
        theirs = None if other is path else _torch_optimizer(kind, other)
        report = pg.compare(
            port,
            other,
            ({"x": paddle.to_tensor(X)}, {"x": inputs}),
            steps=STEPS,
            loss_fn=[squared, None if other is path else squared],
            optimizer=[_paddle_optimizer(kind, port, **how), theirs],
            options=OPTIONS,
        )
        reports.append(report)
    return reports


def test_a_right_training_is_told_alike(recorded):
    here, there = _both(recorded)
    assert there.passed, str(there)
    assert _told(here) == _told(there)
    assert [own.loss for own in here.training] == [own.loss for own in there.training]


def _two(folder, kind, steps=(STEPS, STEPS), loss=squared, **how):
    """Recordings of two models with the same weights, each trained by itself."""
    torch.manual_seed(0)
    layer = paddle.nn.Sequential(paddle.nn.Linear(6, 4), paddle.nn.Tanh())
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh())
    inputs = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    pg.assign_weight(layer, module, example_inp=inputs)
    paths = folder / "port.pgref", folder / "ref.pgref"
    own = _paddle_optimizer(kind, layer, **how)
    pg.record(layer, inputs[0], paths[0], loss=loss, optimizer=own, steps=steps[0])
    own = _torch_optimizer(kind, module)
    pg.record(module, inputs[1], paths[1], loss=squared, optimizer=own, steps=steps[1])
    return paths


@pytest.mark.parametrize("kind", ["adamw", "momentum"])
def test_two_recorded_trainings_are_held_against_each_other(kind, tmp_path):
    first, second = _two(tmp_path, kind)
    both = pg.compare(first, second, steps=STEPS, options=OPTIONS)
    assert both.passed, str(both)
    assert len(both.training) == STEPS
    turned = pg.compare(second, first, options=OPTIONS)
    assert turned.passed and len(turned.training) == 1


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ({"decay": 0.01}, "optimizer.weight_decay"),
        ({"loss": lambda output: (output**2).sum()}, "loss.differs"),
    ],
    ids=["decay", "loss"],
)
def test_what_two_recorded_trainings_do_otherwise_is_told(how, cause, tmp_path):
    both = pg.compare(*_two(tmp_path, "adamw", **how), steps=STEPS, options=OPTIONS)
    assert not both.passed
    assert [finding.cause_id for finding in both.findings] == [cause], str(both)


def test_of_two_recordings_rules_that_are_known_to_part_decide_nothing(tmp_path):
    strict = {"rtol": 1e-6, "atol": 1e-9}
    both = pg.compare(*_two(tmp_path, "rmsprop"), steps=STEPS, options=strict)
    assert not both.passed
    told = {(finding.cause_id, finding.verdict) for finding in both.findings}
    assert told == {("training.undecided", "not-comparable")}, str(both)


def test_steps_that_one_of_two_recordings_lacks_are_refused(tmp_path):
    with pytest.raises(UsageError, match="the recording holds 1; found 3"):
        pg.compare(*_two(tmp_path, "adamw", (1, 3)), steps=STEPS, options=OPTIONS)


def test_two_recorded_trainings_that_draw_are_not_passed(tmp_path):
    layer = paddle.nn.Sequential(paddle.nn.Linear(6, 4), paddle.nn.Dropout(0.5))
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Dropout(0.5))
    inputs = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    pg.assign_weight(layer, module, example_inp=inputs)
    paths = tmp_path / "port.pgref", tmp_path / "ref.pgref"
    own = paddle.optimizer.SGD(0.1, parameters=layer.parameters())
    pg.record(layer, inputs[0], paths[0], loss=squared, optimizer=own, steps=1)
    own = torch.optim.SGD(module.parameters(), 0.1)
    pg.record(module, inputs[1], paths[1], loss=squared, optimizer=own, steps=1)
    both = pg.compare(*paths, options=OPTIONS)
    assert not both.passed
    (training,) = [each for each in both.obligations if each.name == "training"]
    assert training.status == "not shown" and "random numbers of its own" in training.by
    assert not any(finding.phase == "optimizer" for finding in both.findings)


@pytest.mark.parametrize("recorded", ["adamw"], indirect=True)
def test_another_decay_is_named(recorded):
    here, there = _both(recorded, decay=0.01)
    assert not there.passed
    assert there.findings[0].cause_id == "optimizer.weight_decay", str(there)
    assert _told(here) == _told(there)


@pytest.mark.parametrize("recorded", ["momentum"], indirect=True)
def test_another_momentum_is_named(recorded):
    here, there = _both(recorded, momentum=0.8)
    assert not there.passed
    assert _told(here) == _told(there)


@pytest.mark.parametrize("recorded", ["momentum"], indirect=True)
def test_what_was_not_recorded_is_refused(recorded, tmp_path):
    _, module, path = recorded
    port = Port()
    optimizer = _paddle_optimizer("momentum", port)
    example = {"x": paddle.to_tensor(X)}, {"x": X}

    def compared(other=path, **named):
        pg.compare(port, other, example, **named)

    with pytest.raises(UsageError, match="the recording holds 3; found 4"):
        compared(steps=4, optimizer=[optimizer, None], loss_fn=[squared, None])
    with pytest.raises(UsageError, match=r"loss_fn=\[first_loss, None\]"):
        compared(optimizer=[optimizer, None])
    with pytest.raises(UsageError, match=r"\[first_optimizer, None\]"):
        compared(optimizer=[optimizer, optimizer])
    with pytest.raises(UsageError, match="no loop"):
        compared(train_step=[lambda model, batch: None] * 2)
    plain = tmp_path / "plain.pgref"
    pg.record(module, {"x": torch.from_numpy(X)}, plain, loss=squared)
    with pytest.raises(UsageError, match="made without one"):
        compared(plain, optimizer=[optimizer, None], loss_fn=[squared, None])
    theirs = torch.optim.SGD(module.parameters(), 0.1)
    with pytest.raises(UsageError, match="under a loss"):
        pg.record(module, {"x": torch.from_numpy(X)}, plain, optimizer=theirs)
    with pytest.raises(UsageTypeError, match="expected an optimizer of torch"):
        pg.record(module, {"x": torch.from_numpy(X)}, plain, loss=squared, optimizer=optimizer)


class Dropped(torch.nn.Module):
    """Draws, and holds another epsilon than its port."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm, self.fc = torch.nn.LayerNorm(6, eps=eps), torch.nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(self.fc(self.norm(x)), 0.5, self.training)


class DroppedPort(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = paddle.nn.LayerNorm(6), paddle.nn.Linear(6, 4)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.nn.functional.dropout(self.fc(self.norm(x)), 0.5, training=self.training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 1e-2])
@pytest.mark.parametrize("factor", [1.0, 0.9])
def test_losses_are_held_against_each_other_on_the_recorded_output(training, eps, factor, tmp_path):
    torch.manual_seed(0)
    module, port = Dropped(eps).train(training), DroppedPort()
    port.train() if training else port.eval()
    path = tmp_path / "ref.pgref"
    pg.record(module, {"x": torch.from_numpy(X)}, path, loss=squared)

    def scaled(output):
        return factor * squared(output)

    example = {"x": paddle.to_tensor(X)}, {"x": X}
    report = pg.compare(port, path, example, loss_fn=[scaled, None], options=OPTIONS)
    told = [own.cause_id for own in report.findings if own.phase == "loss"]
    assert told == ([] if factor == 1.0 else ["loss.differs"]), str(report)
    assert report.passed == (factor == 1.0 and eps == 1e-5), str(report)


@pytest.mark.parametrize("recorded", ["momentum"], indirect=True)
@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        ({"steps": [{"loss": "low", "settings": []}]}, "loss"),
        ({"band": [[1, "loss", "loss", 0.0]]}, "band"),
        ({"trainable": "first.weight"}, "trainable"),
        ({"given": {"noise": [["x"]]}}, "given"),
        ({"settings": {"first.weight": {}}}, "no algorithm"),
        ({"settings": {"first.weight": {"algorithm": [1]}}}, "no plain value"),
    ],
)
def test_training_facts_of_another_form_are_refused(recorded, spoiled, said, tmp_path):
    _, _, path = recorded
    other = tmp_path / "spoiled.pgref"
    with zipfile.ZipFile(path) as held, zipfile.ZipFile(other, "w") as written:
        for name in held.namelist():
            content = held.read(name)
            if name == "manifest.json":
                manifest = json.loads(content)
                training = dict(manifest["training"]["v"]) | {
                    key: encode(value, [], lambda thing: None) for key, value in spoiled.items()
                }
                manifest["training"]["v"] = list(training.items())
                content = json.dumps(manifest)
            written.writestr(name, content)
    with pytest.raises(UsageError, match=said):
        pg.compare(Port(), other, ({"x": X}, {"x": X}))


def test_a_training_in_half_precision_is_recorded_with_its_rounding(tmp_path):
    torch.manual_seed(0)
    module = Reference().to(torch.bfloat16)
    x = torch.from_numpy(X).to(torch.bfloat16)
    path = tmp_path / "half.pgref"

    def trained(model, momentum=0.9):
        return torch.optim.SGD(model.parameters(), 0.1, momentum=momentum)

    pg.record(module, {"x": x}, path, loss=squared, optimizer=trained(module), steps=STEPS)
    for momentum, told in ((0.9, []), (0.8, ["optimizer.momentum"])):
        reports = []
        for other, second in ((path, None), (copy.deepcopy(module), momentum)):
            port = copy.deepcopy(module)
            theirs = None if second is None else trained(other)
            report = pg.compare(
                port,
                other,
                ({"x": x}, {"x": x}),
                steps=STEPS,
                loss_fn=[squared, None if second is None else squared],
                optimizer=[trained(port, momentum), theirs],
                options={"allow_rounding": True, "rtol": 1e-2, "atol": 1e-2},
            )
            reports.append(_told(report))
            assert [own.cause_id for own in report.findings if own.fails] == told, str(report)
        assert reports[0] == reports[1]


@pytest.mark.parametrize("steps", [1, STEPS])
def test_a_schedule_that_nothing_steps_is_said(tmp_path, steps):
    port, path = torch.nn.Linear(6, 4), tmp_path / "ref.pgref"
    module = copy.deepcopy(port)
    inputs = {"input": torch.from_numpy(X)}
    own = torch.optim.SGD(module.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(own, 1)
    pg.record(module, inputs, path, loss=squared, optimizer=own, steps=steps)
    assert scheduler.last_epoch == 0
    plain = torch.optim.SGD(port.parameters(), 0.1)
    given = {"loss_fn": [squared, None], "optimizer": [plain, None], "options": OPTIONS}
    report = pg.compare(port, path, (inputs, {"input": X}), steps=steps, **given)
    told = [note for note in report.notes if "is left to a scheduler" in note]
    assert report.passed and len(told) == (steps > 1)


def test_a_schedule_in_a_paddle_optimizer_is_said():
    layer = paddle.nn.Linear(6, 4)
    rate = paddle.optimizer.lr.StepDecay(0.1, step_size=1)
    own = paddle.optimizer.SGD(rate, parameters=layer.parameters())
    tools = needed(backend("paddle").optimizers)
    assert tools.schedule(own) == "StepDecay"
    assert not tools.schedule(paddle.optimizer.SGD(0.1, parameters=layer.parameters()))


@pytest.mark.parametrize(
    ("loss", "told"), [(squared, []), (lambda output: (output**2).sum(), ["loss.differs"])]
)
def test_losses_of_two_recordings_are_held_against_each_other(tmp_path, loss, told):
    layer = paddle.nn.Sequential(paddle.nn.Linear(6, 4), paddle.nn.Tanh())
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh())
    inputs = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    pg.assign_weight(layer, module, example_inp=inputs)
    paths = tmp_path / "port.pgref", tmp_path / "ref.pgref"
    pg.record(layer, inputs[0], paths[0], loss=loss)
    pg.record(module, inputs[1], paths[1], loss=squared)
    report = pg.compare(*paths, options=OPTIONS)
    assert [own.cause_id for own in report.findings if own.fails] == told
    assert report.passed is (not told)
    assert {own.name: own.status for own in report.obligations}["loss"] != "not asked"
