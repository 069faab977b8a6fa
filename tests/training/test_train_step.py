"""The user's own training step, a callable of model and batch; and a batch for each step."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError, UsageTypeError

OPTIONS = {"rtol": 1e-3, "atol": 1e-5, "allow_rounding": True}


def _batches(count):
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((4, 6)).astype(np.float32) for _ in range(count)]
    return [({"x": array}, {"x": array}) for array in arrays]


class _Paddle(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = paddle.nn.Linear(6, 8), paddle.nn.Linear(8, 3)

    def forward(self, x):
        return self.fc2(paddle.tanh(self.fc1(x)))


class _Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x)))


def _paddle_step(layer, rate=0.1, cleared=True, clip=0.0, scale=1.0):
    optimizer = paddle.optimizer.SGD(rate, parameters=layer.parameters())

    def step(model, batch):
        loss = (model(**batch) ** 2).mean() * scale
        loss.backward()
        if clip:
            paddle.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if cleared:
            optimizer.clear_grad()
        return loss

    return step


def _torch_step(module, rate=0.1, clip=0.0):
    optimizer = torch.optim.SGD(module.parameters(), rate)

    def step(model, batch):
        optimizer.zero_grad()
        loss = (model(**batch) ** 2).mean()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss.item()

    return step


def _compared(steps=3, batches=3, torch_clip=0.0, **how):
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()
    example = _batches(batches)
    both = [_paddle_step(layer, **how), _torch_step(module, clip=torch_clip)]
    report = pg.compare(
        layer,
        module,
        example if batches > 1 else example[0],
        steps=steps,
        options=OPTIONS,
        train_step=both,
    )
    return report, layer, module


def _told(report):
    return [finding for finding in report.findings if finding.phase == "optimizer"]


@pytest.mark.parametrize("batches", [1, 3])
def test_a_right_loop_passes_and_trains_both(batches):
    torch.manual_seed(0)
    before = _Torch().fc1.weight.detach().clone()
    report, layer, module = _compared(batches=batches)
    assert report.passed and not _told(report)
    assert not torch.equal(module.fc1.weight, before)
    np.testing.assert_allclose(
        layer.fc1.weight.numpy(), module.fc1.weight.detach().numpy().T, rtol=1e-4, atol=1e-6
    )


def test_batches_are_taken_in_turn():
    torch.manual_seed(0)
    alone = _Torch()
    step = _torch_step(alone)
    for _, batch in _batches(3):
        step(alone, {"x": torch.from_numpy(batch["x"])})
    _, _, module = _compared()
    torch.testing.assert_close(module.fc2.weight, alone.fc2.weight)


def test_another_rate_is_named_with_both_values():
    report, *_ = _compared(rate=0.05)
    (finding,) = [told for told in _told(report) if told.fails]
    assert finding.cause_id == "optimizer.learning_rate"
    assert "0.05" in finding.cause and "0.1" in finding.cause and "step 1" in finding.cause


def test_gradients_that_are_not_cleared_are_told():
    report, *_ = _compared(cleared=False)
    assert not report.passed
    (finding,) = [told for told in _told(report) if told.fails]
    assert finding.cause_id == "optimizer.gradients_after_a_step"
    assert "kept (paddle) against cleared (torch)" in finding.cause


@pytest.mark.parametrize("how", [{"clip": 0.01}, {"scale": 2.0}], ids=str)
def test_what_one_loop_does_to_gradients_is_told(how):
    report, *_ = _compared(**how)
    assert not report.passed and any(told.fails for told in _told(report))


def test_clipping_in_both_loops_is_right():
    report, *_ = _compared(clip=0.01, torch_clip=0.01)
    assert not any(told.fails for told in _told(report))


@pytest.mark.parametrize(
    ("train_step", "said"),
    [
        (3, "found int"),
        ([len], "found 1 members"),
        ([len, 3], "the torch side's is 3"),
    ],
)
def test_what_is_no_pair_of_steps_is_refused(train_step, said):
    with pytest.raises((UsageError, UsageTypeError), match=said):
        pg.compare(_Paddle(), _Torch(), _batches(1)[0], train_step=train_step)


def test_a_step_and_an_optimizer_are_one_too_many():
    layer, module = _Paddle(), _Torch()
    optimizers = [
        paddle.optimizer.SGD(0.1, parameters=layer.parameters()),
        torch.optim.SGD(module.parameters(), 0.1),
    ]
    with pytest.raises(UsageError, match="leave one of them out"):
        pg.compare(layer, module, _batches(1)[0], optimizer=optimizers, train_step=[len, len])


def test_as_many_batches_as_steps():
    with pytest.raises(UsageError, match="holds 2 pairs of inputs and steps=3"):
        pg.compare(
            _Paddle(), _Torch(), _batches(2), steps=3, train_step=[len, len], options=OPTIONS
        )


class _DropoutPaddle(_Paddle):
    def forward(self, x):
        return self.fc2(
            paddle.nn.functional.dropout(paddle.tanh(self.fc1(x)), 0.5, training=self.training)
        )


class _DropoutTorch(_Torch):
    def forward(self, x):
        return self.fc2(torch.nn.functional.dropout(torch.tanh(self.fc1(x)), 0.5, self.training))


def test_loops_that_draw_for_themselves_are_not_shown():
    layer, module = _DropoutPaddle(), _DropoutTorch()
    layer.train()
    module.train()
    both = [_paddle_step(layer), _torch_step(module)]
    report = pg.compare(layer, module, _batches(1)[0], train_step=both, options=OPTIONS)
    assert not report.passed and report.equivalent is None
    status = {shown.name: shown.status for shown in report.obligations}
    assert status["training"] == "not shown" and status["tolerance"] == "not shown"
    assert not any("stepped on the second's gradients" in note for note in report.notes)


@pytest.mark.parametrize("factor", [1.0, 0.5], ids=["as it is", "half"])
def test_a_closure_computes_its_gradients_within_the_step(factor):
    layer, module = _Paddle(), _Torch()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)

    def step(model, batch):
        def closure():
            optimizer.zero_grad()
            loss = (model(**batch) ** 2).mean() * factor
            loss.backward()
            return loss

        return optimizer.step(closure)

    loops = [_paddle_step(layer), step]
    report = pg.compare(layer, module, _batches(3), steps=3, train_step=loops, options=OPTIONS)
    causes = [finding.cause for finding in report.findings]
    assert report.passed is (factor == 1.0), causes
    if factor != 1.0:
        first = next(finding for finding in report.findings if finding.fails)
        assert first.reason.get("step") == 1, causes


def test_an_optimizer_that_needs_a_closure_is_watched_and_not_tried():
    layer, module = _Paddle(), _Torch()
    optimizer = torch.optim.LBFGS(module.parameters(), 0.1, max_iter=2)

    def step(model, batch):
        def closure():
            optimizer.zero_grad()
            loss = (model(**batch) ** 2).mean()
            loss.backward()
            return loss

        return optimizer.step(closure)

    loops = [_paddle_step(layer), step]
    report = pg.compare(layer, module, _batches(2), steps=2, train_step=loops, options=OPTIONS)
    finding = next(finding for finding in report.findings if finding.fails)
    assert finding.cause_id == "optimizer.algorithm", finding.cause


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_two_optimizers_that_evaluate_the_loss_again_are_held_against_each_other(rate):
    layer, module = _Paddle(), _Torch()
    ours = paddle.optimizer.LBFGS(rate, max_iter=2, parameters=layer.parameters())
    theirs = torch.optim.LBFGS(module.parameters(), 0.1, max_iter=2)

    def step(optimizer, clear):
        def of_batch(model, batch):
            def closure():
                clear()
                loss = (model(**batch) ** 2).mean()
                loss.backward()
                return loss

            return optimizer.step(closure)

        return of_batch

    stepping = paddle.optimizer.LBFGS.step
    loops = [step(ours, ours.clear_grad), step(theirs, theirs.zero_grad)]
    report = pg.compare(layer, module, _batches(2), steps=2, train_step=loops, options=OPTIONS)
    causes = [finding.cause for finding in report.findings if finding.fails]
    assert report.passed is (rate == 0.1), causes
    if rate != 0.1:
        assert "learning rate is 0.2 (paddle) against 0.1 (torch)" in causes[0]
    assert paddle.optimizer.LBFGS.step is stepping


def _thawing(model, framework, since):
    """Freezes the first layer until a step; of a parameter, in each framework's word."""
    steps = [0]

    def thaw():
        for parameter in model.fc1.parameters():
            if framework == "paddle":
                parameter.stop_gradient = steps[0] < since
            else:
                parameter.requires_grad_(steps[0] >= since)
        steps[0] += 1

    return thaw


@pytest.mark.parametrize("since", [1, 2])
def test_a_layer_that_is_trained_from_another_step_on(since):
    layer, module = _Paddle(), _Torch()
    ours, theirs = _thawing(layer, "paddle", since), _thawing(module, "torch", 2)
    port, reference = _paddle_step(layer), _torch_step(module)

    def ahead(thaw, step):
        def thawed(model, batch):
            thaw()
            return step(model, batch)

        return thawed

    loops = [ahead(ours, port), ahead(theirs, reference)]
    report = pg.compare(layer, module, _batches(4), steps=4, train_step=loops, options=OPTIONS)
    causes = [finding.cause for finding in report.findings if finding.fails]
    if since == 2:
        assert report.passed, causes
    else:
        (cause,) = causes
        assert "from step 2 on: gradient is arrives (paddle) against none (torch)" in cause


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_momentum_moves_what_no_gradient_reaches_where_gradients_are_set_to_zero(momentum):
    layer, module = _Paddle(), _Torch()
    used = [0, 0]

    def ours(model, batch):
        hidden = paddle.tanh(model.fc1(batch["x"]))
        loss = (hidden**2).mean() + ((model.fc2(hidden) ** 2).mean() if used[0] % 2 == 0 else 0.0)
        used[0] += 1
        loss.backward()
        port.step()
        port.clear_grad()
        return loss

    def theirs(model, batch):
        hidden = torch.tanh(model.fc1(batch["x"]))
        loss = (hidden**2).mean() + ((model.fc2(hidden) ** 2).mean() if used[1] % 2 == 0 else 0.0)
        used[1] += 1
        loss.backward()
        reference.step()
        reference.zero_grad()
        return loss

    port = paddle.optimizer.Momentum(0.1, momentum, layer.parameters())
    reference = torch.optim.SGD(module.parameters(), 0.1, momentum)
    report = pg.compare(
        layer, module, _batches(2), steps=2, train_step=[ours, theirs], options=OPTIONS
    )
    causes = [finding.cause for finding in report.findings if finding.fails]
    assert report.passed is not bool(momentum), causes
    if momentum:
        told = "from step 2 on: update without a gradient is made (paddle) against none (torch)"
        assert told in causes[0]
