"""Further calls that are not run side by side where it is known what they compute."""

import random

import numpy as np
import paddle
import pytest
import torch

import padiff_graph
from padiff_graph.capture.paddle.engine import PaddleEngine
from padiff_graph.obligations import same_calls
from tests.obligations.test_state_findings import (
    OPTIONS,
    Caches,
    ChangesAtTheThirdCall,
    Deed,
    X,
    built,
)


@pytest.fixture(autouse=True)
def forwards(monkeypatch):
    """How often the Paddle model is run; every model counts as large."""
    monkeypatch.setattr(same_calls, "LARGE", 0)
    counted, forward = [], PaddleEngine.forward

    def noted(engine, *given, **named):
        counted.append(1)
        return forward(engine, *given, **named)

    monkeypatch.setattr(PaddleEngine, "forward", noted)
    return counted


def compared(first, second, training=True):
    pair = built("paddle", first), built("torch", second)
    for model in pair:
        model.train() if training else model.eval()
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    return padiff_graph.compare(*pair, example, options=OPTIONS)


class Normalizes(Deed):
    """A batch norm; where the factor is 2 the result reads the running mean as well, where it is 3
    Python draws a number."""

    def setup(self, model, lib):
        model.norm = (lib.nn.BatchNorm2D if lib is paddle else lib.nn.BatchNorm2d)(6)

    def forward(self, model, lib, x):
        y = model.norm(model.fc(x).reshape([4, 6, 1, 1])).reshape([4, 6])
        if self.factor == 3:
            return y * (1 + (random.random() > 2))
        mean = model.norm._mean if lib is paddle else model.norm.running_mean
        return y + mean if self.factor == 2 else y


@pytest.mark.parametrize(("factor", "runs"), [(1, 1), (2, 5), (3, 5)])
def test_a_model_is_run_again_only_where_a_later_call_may_differ(factor, runs, forwards):
    report = compared(Normalizes(factor), Normalizes(factor))
    assert report.passed, [finding.cause for finding in report.findings]
    assert len(forwards) == runs
    state = {entry.name: entry for entry in report.obligations}["state"]
    assert ("do the same" in state.by) == (runs == 1)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("factors", [(2, 1), (1, 2)])
def test_what_only_the_third_call_does_is_told(factors, beside):
    report = compared(*(ChangesAtTheThirdCall(factor, beside) for factor in factors))
    assert "state.second_call" in [f.cause_id for f in report.findings if f.fails]


@pytest.mark.parametrize("factors", [(1, 2), (2, 1)])
def test_a_cache_that_goes_stale_is_told(factors):
    report = compared(*map(Caches, factors))
    assert "state.second_call" in [f.cause_id for f in report.findings if f.fails]


@pytest.mark.parametrize("count", ["number", "numbers"])
def test_a_buffer_that_a_result_reads_has_its_calls_run(count, forwards):
    class Counts(Deed):
        def setup(self, model, lib):
            size = [1] if count == "number" else [6]
            model.register_buffer("seen", lib.zeros(size))

        def forward(self, model, lib, x):
            model.seen.add_(lib.ones_like(model.seen))
            late = model.seen > 1.5
            late = late.astype("float32") if lib is paddle else late.float()
            return model.fc(x) * (1.0 + (self.factor - 1.0) * late)

    assert compared(Counts(2), Counts(2)).passed
    assert len(forwards) == 5


def test_an_average_over_all_calls_is_no_last_value():
    norm, other = paddle.nn.BatchNorm1D(6, momentum=0.0), torch.nn.BatchNorm1d(6, momentum=None)
    layer = paddle.nn.Sequential(paddle.nn.Linear(6, 6), norm)
    module = torch.nn.Sequential(torch.nn.Linear(6, 6), other)
    example = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    report = padiff_graph.compare(layer, module, example, options=OPTIONS)
    assert [f.cause_id for f in report.findings if f.fails] == ["state.second_call"]


def test_programs_that_differ_in_one_number_are_told_apart():
    class Scaled(paddle.nn.Layer):
        factor, table = 2.0, np.arange(6, dtype="float32")

        def forward(self, x):
            return x * self.factor + paddle.to_tensor(self.table)

    from padiff_graph.capture.api import Capture

    model = Scaled()
    example = {"x": paddle.to_tensor(X)}
    graph = Capture.of(model, example).graph
    assert same_calls._traced_alike(model, example, graph)
    model.factor = 3.0
    assert not same_calls._traced_alike(model, example, graph)
    model.factor, model.table = 2.0, np.ones(6, "float32")
    assert not same_calls._traced_alike(model, example, graph)


class CountsBesideANorm(Deed):
    """A norm that keeps statistics, and calls that are counted outside of the model: those behind
    the second are doubled where the factor is two."""

    def setup(self, model, lib):
        model.norm = (lib.nn.BatchNorm2D if lib is paddle else lib.nn.BatchNorm2d)(6)
        self.calls = []

    def forward(self, model, lib, x):
        y = model.fc(model.norm(x[:, :, None, None])[:, :, 0, 0])
        self.calls.append(1)
        return y * self.factor if len(self.calls) > 2 else y


@pytest.mark.parametrize("factors", [(2, 1), (1, 2)])
def test_calls_that_all_depart_but_for_the_first_run_are_told(factors):
    report = compared(*map(CountsBesideANorm, factors))
    assert "state.second_call" in [f.cause_id for f in report.findings if f.fails]
    assert compared(CountsBesideANorm(1), CountsBesideANorm(1)).passed
