"""Both trainings over their steps, with the band in which two right runs part."""

from __future__ import annotations

import paddle
import torch

import padiff_graph as pg
from padiff_graph.report.terminal import render_report, text_of
from tests.training.test_train_step import _batches, _Paddle, _paddle_step, _Torch, _torch_step


def _report(options, steps=3, power=2):
    torch.manual_seed(0)
    layer, module = _Paddle(), _Torch()
    optimizer = paddle.optimizer.SGD(0.1, parameters=layer.parameters())

    def other(model, batch):
        loss = (model(**batch) ** power).mean()
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return loss

    ours = _paddle_step(layer) if power == 2 else other
    loops = [ours, _torch_step(module)]
    return pg.compare(
        layer, module, _batches(steps), steps=steps, train_step=loops, options=options
    )


def test_a_training_within_the_tolerance_has_its_curves_without_a_band():
    report = _report({"rtol": 1e-3, "atol": 1e-4, "allow_rounding": True})
    assert report.passed and [step.step for step in report.training] == [1, 2, 3]
    for step in report.training:
        assert step.loss is not None and abs(step.loss[0] - step.loss[1]) < 1e-5
        assert abs(step.gradient_norm[0] - step.gradient_norm[1]) < 1e-4 and step.apart < 1e-5
        assert step.weights_band is None
    text = text_of(render_report(report))
    assert "Training, step by step" in text and "band" not in text


def test_a_departure_is_drawn_with_its_band():
    report = _report({"rtol": 1e-4, "atol": 1e-6, "allow_rounding": True}, power=4)
    assert not report.passed
    first = report.training[0]
    assert first.loss is not None and first.weights_band is not None and first.loss_band is not None
    assert first.apart > first.weights_band > 0
    assert abs(first.loss[0] - first.loss[1]) > first.loss_band
    assert "band" in text_of(render_report(report))
