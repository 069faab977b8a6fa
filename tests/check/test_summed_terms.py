"""The slope of a function that flattens out is what is left of numbers that cancel: its rounding is
that of these numbers, and no side has lost precision there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.graph import Value
from padiff_graph.check.summed_terms import summed_terms
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.referee.referee import measure
from padiff_graph.referee.tensor_judgement import Rules, judge_tensor

SLOPES = np.array([5.3e-4, 2e-4])


def _terms(op: str, kind: Any) -> float:
    record = SimpleNamespace(op=op)
    graph = SimpleNamespace(record=lambda node: record)
    side = SimpleNamespace(graph=graph, shape=lambda value: (2, 8))
    pair: Any = SimpleNamespace(first=side, second=side)
    cut, part = SimpleNamespace(second=(Value(7),)), SimpleNamespace(nodes=(7,))
    region: Any = SimpleNamespace(first=part, second=part, cut=cut)
    return summed_terms(TensorPair(kind, "x", "x", SLOPES, SLOPES), pair, region, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("op", ["aten.tanh.default", "pd_op.sigmoid", "aten.gelu_.default"])
def test_the_slope_of_what_flattens_out_is_a_difference_of_larger_numbers(op: str) -> None:
    size = _terms(op, "input")
    assert size > 1.0
    off = SLOPES + np.array([2.9e-8, 0.0])
    plain, fine = (off.astype(np.float32), SLOPES.astype(np.float32)), (SLOPES, SLOPES)
    single = measure(*plain)
    assert judge_tensor(single, plain, fine, Rules(5e-7, gradient=True)).coarse is not None
    assert judge_tensor(single, plain, fine, Rules(5e-7, True, size=size)).verdict == "rounding"


@pytest.mark.parametrize(("op", "kind"), [("aten.relu.default", "input"), ("aten.tanh", "output")])
def test_nothing_cancels_elsewhere(op: str, kind: str) -> None:
    assert _terms(op, kind) == 0.0


class _Spread(paddle.nn.Layer):
    """The spread of rows, which are all the same; `halved` in the precision of half the bits."""

    def __init__(self, squared: bool, halved: bool) -> None:
        super().__init__()
        self.fc, self.squared, self.halved = (
            paddle.nn.Linear(5, 6, bias_attr=False),
            squared,
            halved,
        )

    def forward(self, x: Any) -> Any:
        x = self.fc(x)
        x = x.astype("float16").astype("float32") if self.halved else x
        return x.var(1) if self.squared else x.std(1)


class _TorchSpread(torch.nn.Module):
    def __init__(self, squared: bool) -> None:
        super().__init__()
        self.fc, self.squared = torch.nn.Linear(5, 6, bias=False), squared

    def forward(self, x: Any) -> Any:
        return self.fc(x).var(1) if self.squared else self.fc(x).std(1)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("phase", ["both", "forward"])
def test_the_spread_of_equal_rows_is_rounding(squared: bool, phase: str) -> None:
    x = np.ones((3, 4, 5), np.float32) * np.arange(1, 4, dtype=np.float32)[:, None, None]
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4, "diff_phase": phase}
    report = pg.compare(_Spread(squared, False), _TorchSpread(squared), example, options=options)
    assert report.passed and not any(finding.fails for finding in report.findings)


def test_the_spread_of_rows_in_half_precision_is_not() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4}
    report = pg.compare(_Spread(False, True), _TorchSpread(False), example, options=options)
    assert any(finding.fails for finding in report.findings)
