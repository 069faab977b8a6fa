"""What happens inside of a user's own training step is named by its stage: accumulation, scales,
clipping, averages of weights."""

from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.training.stages.held_averages import find_average
from tests.training.test_train_step import OPTIONS, _batches, _Paddle, _told, _Torch


class _Loop:
    """A loop with an accumulation, a scale of the loss, clipping and an average of the weights."""

    def __init__(
        self, model, optimizer, micro=2, divisor=2.0, scale=1.0, undo=True, late=False, clip=0.0
    ):
        self.optimizer, self.micro, self.divisor, self.scale = optimizer, micro, divisor, scale
        self.undo, self.late, self.clip = undo, late, clip

    def __call__(self, model, batch):
        paddles = isinstance(model, paddle.nn.Layer)
        total = 0.0
        for part in range(self.micro):
            loss = (model(batch["x"][part::2]) ** 2).mean() / self.divisor
            total += float(loss) * self.divisor / self.micro
            (loss * self.scale).backward()
        deeds = [self._unscale, self._clipping(paddles)]
        for deed in reversed(deeds) if self.late else deeds:
            deed(model)
        self.optimizer.step()
        if paddles:
            self.optimizer.clear_grad()
        else:
            self.optimizer.zero_grad()
        return total

    def _unscale(self, model):
        if self.undo and self.scale != 1.0:
            for parameter in model.parameters():
                parameter.grad = parameter.grad / self.scale

    def _clipping(self, paddles):
        utils = paddle.nn.utils if paddles else torch.nn.utils

        def clip(model):
            if self.clip:
                utils.clip_grad_norm_(list(model.parameters()), self.clip)

        return clip


def _compared(first=None, second=None, steps=2):
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()
    ours = _Loop(layer, paddle.optimizer.SGD(0.1, parameters=layer.parameters()), **(first or {}))
    theirs = _Loop(module, torch.optim.SGD(module.parameters(), 0.1), **(second or {}))
    report = pg.compare(
        layer, module, _batches(steps), steps=steps, options=OPTIONS, train_step=[ours, theirs]
    )
    return [finding for finding in _told(report) if finding.fails], report


@pytest.mark.parametrize(
    ("first", "second", "kind", "words"),
    [
        ({"divisor": 1.0}, {}, "optimizer.accumulation", ("2 times the loss", "1 times")),
        ({"scale": 64.0, "undo": False}, {"scale": 64.0}, "optimizer.unscaling_of_gradients", ()),
        ({"clip": 0.02}, {"clip": 0.01}, "optimizer.gradient_clipping", ("0.02", "0.01")),
        (
            {"clip": 0.01, "scale": 64.0, "late": True},
            {"clip": 0.01, "scale": 64.0},
            "optimizer.gradient_clipping",
            ("0.0001562", "0.01"),
        ),
    ],
    ids=["divisor", "unscaling", "limit", "clipped while scaled"],
)
def test_a_stage_of_a_loop_is_named_with_both_values(first, second, kind, words):
    failing, report = _compared(first, second)
    assert not report.passed
    assert [finding.cause_id for finding in failing] == [kind], [f.cause for f in failing]
    assert "step 1" in failing[0].cause and all(word in failing[0].cause for word in words)
    # what is differentiated is the loop's: no module is at fault
    assert (failing[0].paddle_path == "") == (kind == "optimizer.accumulation")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"scale": 64.0}, {}),
        ({"scale": 64.0, "clip": 0.01}, {"clip": 0.01}),
        ({"micro": 1, "divisor": 1.0}, {"micro": 1, "divisor": 1.0}),
    ],
    ids=["alike", "one scales", "one scales and both clip", "one pass"],
)
def test_loops_that_come_to_the_same_pass(first, second):
    failing, report = _compared(first, second)
    assert report.passed and not failing, [finding.cause for finding in failing]


def _averaging(decay, early, paddles, kept):
    def averaged(model, held):
        for name, parameter in model.named_parameters():
            old = held[name]
            fresh = old * decay + parameter.detach() * (1 - decay)
            held[name] = fresh.clone()

    def step(model, batch):
        (model(batch["x"]) ** 2).mean().backward()
        if early:
            averaged(model, kept)
        optimizer = kept["optimizer"]
        optimizer.step()
        if not early:
            averaged(model, kept)
        (optimizer.clear_grad if paddles else optimizer.zero_grad)()

    return step


def _averages(decays, early=(False, False), steps=3):
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()
    pg.assign_weight(layer, module, example_inp=_batches(1)[0])
    ours = {name: value.detach().clone() for name, value in layer.named_parameters()}
    theirs = {name: value.detach().clone() for name, value in module.named_parameters()}
    ours["optimizer"] = paddle.optimizer.SGD(0.1, parameters=layer.parameters())
    theirs["optimizer"] = torch.optim.SGD(module.parameters(), 0.1)
    loops = [
        _averaging(decays[0], early[0], True, ours),
        _averaging(decays[1], early[1], False, theirs),
    ]
    report = pg.compare(
        layer, module, _batches(steps), steps=steps, options=OPTIONS, train_step=loops
    )
    return [finding for finding in _told(report) if finding.fails], report


def test_decays_of_averages_are_named():
    failing, report = _averages((0.99, 0.9))
    assert not report.passed
    assert [finding.cause_id for finding in failing] == ["optimizer.average_of_weights"]
    assert "0.99" in failing[0].cause and "0.9, taken" in failing[0].cause


def test_an_average_ahead_of_the_update_is_named():
    failing, _ = _averages((0.9, 0.9), early=(True, False))
    assert [finding.cause_id for finding in failing] == ["optimizer.average_of_weights"]
    assert "before the update" in failing[0].cause and "behind the update" in failing[0].cause


def test_equal_averages_pass():
    failing, report = _averages((0.9, 0.9))
    assert report.passed and not failing


def test_an_average_is_found_and_its_tensors_are_put_back():
    from padiff_graph.capture.torch.optimizer import overwrite
    from padiff_graph.capture.torch.values import array, dtype, is_tensor

    model = _Torch()
    copied = copy.deepcopy(model)
    found = find_average(
        lambda: copied,
        (model,),
        model,
        set(dict(model.named_parameters())),
        is_tensor,
        array,
        dtype,
    )
    assert found is not None and found.held_in() == "float32"
    assert found.values().keys() == dict(model.named_parameters()).keys()
    put_back = found.remembered(overwrite)
    before = copied.fc1.weight.detach().clone()
    with torch.no_grad():
        copied.fc1.weight.add_(1.0)
    for put in put_back:
        put()
    assert torch.equal(copied.fc1.weight, before)


def test_nothing_of_the_watching_is_left_behind():
    before = torch.autograd.backward, paddle.base.core.eager.run_backward
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()

    def failing(model, batch):
        (model(batch["x"]) ** 2).mean().backward()
        raise RuntimeError("of the loop")

    with pytest.raises(RuntimeError, match="of the loop"):
        pg.compare(layer, module, _batches(1)[0], options=OPTIONS, train_step=[failing, failing])
    assert before == (torch.autograd.backward, paddle.base.core.eager.run_backward)
    assert "forward" not in vars(layer) and "forward" not in vars(module)


def test_a_multiple_of_arrays():
    from padiff_graph.training.stages.loss_factor import multiple

    assert multiple([], {}, {}).agrees
    assert np.isclose(multiple([], {}, {}).factor, 1.0)


def _plain(optimizer, factor=1.0, micro=1, training=True, power=2):
    def step(model, batch):
        model.train() if training else model.eval()
        x, total = batch["x"] * factor, 0.0
        for part in range(micro):
            loss = (model(x[part::micro]) ** power).mean() / micro
            loss.backward()
            total += float(loss)
        optimizer.step()
        clear = getattr(optimizer, "clear_grad", optimizer.zero_grad)
        clear()
        return total

    return step


def _departs(**how):
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()
    layer.train()
    module.train()
    loops = [
        _plain(paddle.optimizer.SGD(0.1, parameters=layer.parameters()), **how),
        _plain(torch.optim.SGD(module.parameters(), 0.1)),
    ]
    report = pg.compare(layer, module, _batches(2), steps=2, options=OPTIONS, train_step=loops)
    (finding,) = [finding for finding in _told(report) if finding.fails]
    return finding


def test_another_batch_is_the_first_stage_that_departs():
    finding = _departs(factor=2.0)
    assert finding.cause_id == "training.departs" and "first in the batch: x" in finding.cause


def test_another_loss_in_a_loop_is_told_with_both_numbers():
    finding = _departs(power=4)
    assert finding.cause_id == "training.departs" and "first in the loss" in finding.cause
    assert "(paddle) against" in finding.cause and "at step 1" in finding.cause


def test_the_mode_is_told_where_training_departs():
    finding = _departs(power=4, training=False)
    assert "in evaluation mode (paddle) against training (torch)" in finding.cause
