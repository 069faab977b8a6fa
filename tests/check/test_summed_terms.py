"""The slope of a function that flattens out is what is left of numbers that cancel: its rounding is
that of these numbers, and no side has lost precision there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from padiff_graph.capture.graph import Value
from padiff_graph.check.summed_terms import summed_terms
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.referee.referee import measure
from padiff_graph.referee.tensor_judgement import Rules, judge_tensor

SLOPES = np.array([5.3e-4, 2e-4])


def _terms(op: str, kind: Any) -> float:
    record = SimpleNamespace(op=op)
    graph = SimpleNamespace(record=lambda node: record)
    pair: Any = SimpleNamespace(second=SimpleNamespace(graph=graph, shape=lambda value: (2, 8)))
    cut = SimpleNamespace(second=(Value(7),))
    region: Any = SimpleNamespace(second=SimpleNamespace(nodes=(7,)), cut=cut)
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
