"""Weights of an output that only one model returns: told, and no difference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

WIDTH = 6


class Layer(paddle.nn.Layer):
    def __init__(self, pooled: bool, *, through: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = paddle.nn.Linear(WIDTH, WIDTH)
        self.drop = paddle.nn.Dropout(dropout)
        if pooled:
            self.pooler = paddle.nn.Linear(WIDTH, WIDTH)
            paddle.nn.initializer.Normal()(self.pooler.bias)
        self.pooled, self.through = pooled, through

    def forward(self, x):
        hidden = paddle.nn.functional.gelu(self.drop(self.body(x)))
        if not self.pooled:
            return (hidden,)
        pooled = paddle.tanh(self.pooler(hidden[:, 0]))
        if self.through:
            hidden = hidden + pooled.unsqueeze(1)
        return hidden, pooled


class Module(torch.nn.Module):
    def __init__(self, pooled: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = torch.nn.Linear(WIDTH, WIDTH)
        self.drop = torch.nn.Dropout(dropout)
        if pooled:
            self.pooler = torch.nn.Linear(WIDTH, WIDTH)
        self.pooled = pooled

    def forward(self, x):
        hidden = torch.nn.functional.gelu(self.drop(self.body(x)))
        if not self.pooled:
            return (hidden,)
        return hidden, torch.tanh(self.pooler(hidden[:, 0]))


def example():
    numbers = np.random.default_rng(0).standard_normal((2, 3, WIDTH)).astype("float32")
    return {"x": paddle.to_tensor(numbers)}, {"x": torch.from_numpy(numbers)}


def lone(report):
    return [finding for finding in report.findings if finding.cause_id == "parameter.lone"]


@pytest.mark.parametrize("pooled", ["paddle", "torch"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_weights_of_an_output_that_one_model_returns_are_told(pooled, dropout):
    layer = Layer(pooled == "paddle", dropout=dropout).train()
    module = Module(pooled == "torch", dropout=dropout).train()
    report = pg.compare(layer, module, example(), auto_weights=True)
    assert report.equivalent, str(report)
    (told,) = lone(report)
    assert told.verdict == "suspicious"
    for part in ("pooler.weight", "pooler.bias"):
        assert part in told.cause


def test_weights_that_what_both_return_needs_are_missing():
    report = pg.compare(Layer(True, through=True), Module(False), example(), auto_weights=True)
    assert not report.passed
    assert not lone(report)


def test_the_others_are_copied_and_lone_ones_kept_in_words(caplog):
    layer, module = Layer(True), Module(False)
    pooler = layer.pooler.weight.numpy().copy()
    assert pg.assign_weight(layer, module, example_inp=example())
    assert np.array_equal(layer.body.weight.numpy().T, module.body.weight.detach().numpy())
    assert np.array_equal(layer.pooler.weight.numpy(), pooler)
    (said,) = caplog.messages
    assert "pooler.bias, pooler.weight" in said and "output" in said


def test_weights_that_a_common_output_needs_are_refused():
    layer = Layer(True, through=True)
    body = layer.body.weight.numpy().copy()
    with pytest.raises(pg.WeightAlignmentError, match=r"pooler\.weight"):
        pg.assign_weight(layer, Module(False), example_inp=example())
    assert np.array_equal(layer.body.weight.numpy(), body)


def test_other_weights_that_are_missing_are_told_beside_lone_ones():
    class Gained(Module):
        def __init__(self) -> None:
            super().__init__(False)
            self.gain = torch.nn.Parameter(torch.full((WIDTH,), 0.5))

        def forward(self, x):
            (hidden,) = super().forward(x)
            return (hidden * self.gain,)

    report = pg.compare(Layer(True), Gained(), example(), auto_weights=True)
    assert not report.passed
    assert lone(report)
    assert any(found.verdict == "missing" for found in report.findings), str(report)


def test_weights_that_both_outputs_need_are_no_lone_ones():
    layer, module = Layer(True), Module(True)
    report = pg.compare(layer, module, example(), auto_weights=True)
    assert report.equivalent
    assert not lone(report)


def test_outputs_that_both_models_have_left_over_leave_it_open():
    class Other(Module):
        def forward(self, x):
            hidden = torch.nn.functional.gelu(self.body(x))
            return {"hidden": hidden, "twice": 2 * hidden, "thrice": 3 * hidden}

    class Keyed(Layer):
        def forward(self, x):
            hidden, pooled = super().forward(x)
            return {"hidden": hidden, "pooled": pooled}

    report = pg.compare(Keyed(True), Other(False), example(), auto_weights=True)
    assert not lone(report)
    assert not report.passed


@pytest.mark.parametrize("pooled", [True, False])
def test_a_weight_that_is_missing_with_no_operation_is_told_beside_lone_ones(pooled):
    layer, module = Layer(pooled), Module(False)
    layer.body = paddle.nn.Linear(WIDTH, WIDTH, bias_attr=False)
    report = pg.compare(layer, module, example(), auto_weights=True)
    assert not report.passed
    assert bool(lone(report)) == pooled
    (told,) = [finding for finding in report.findings if finding.fails]
    assert "missing bias of Linear" in told.cause


class Keeping(Layer):
    """Its pooler keeps statistics of its own; the memory is of them, and read where both return."""

    def __init__(self, *, remembered: bool) -> None:
        super().__init__(True)
        self.norm = paddle.nn.BatchNorm1D(WIDTH)
        self.register_buffer("memory", paddle.zeros([WIDTH]))
        self.remembered = remembered

    def forward(self, x):
        hidden = paddle.nn.functional.gelu(self.drop(self.body(x)) + self.memory)
        pooled = self.norm(self.pooler(hidden[:, 0]))
        if self.remembered:
            self.memory.set_value(pooled.mean(0).detach())
        return hidden, pooled


class Remembering(Module):
    def __init__(self) -> None:
        super().__init__(False)
        self.register_buffer("memory", torch.zeros(WIDTH))

    def forward(self, x):
        return (torch.nn.functional.gelu(self.drop(self.body(x)) + self.memory),)


@pytest.mark.parametrize("remembered", [False, True])
def test_what_only_lone_outputs_read_in_the_next_call_is_lone_too(remembered):
    layer, module = Keeping(remembered=remembered).train(), Remembering().train()
    report = pg.compare(layer, module, example(), auto_weights=True)
    assert bool(report.equivalent) is not remembered, str(report)
    assert bool(lone(report)) is not remembered
    assert not any("folded" in note for note in report.notes)
