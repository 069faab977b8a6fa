"""One tensor judged from arrays and bounds alone: no framework is loaded."""

from __future__ import annotations

import numpy as np
import pytest

from padiff_graph.capture.engine import Array
from padiff_graph.referee.gradient_check import Slope
from padiff_graph.referee.referee import measure
from padiff_graph.referee.tensor_judgement import Judgement, Rules, judge_tensor

R = np.random.default_rng(0)
FINE = R.standard_normal(64)
PLAIN = FINE.astype(np.float32)
BOUND = 1e-6


def judged(first: Array, fine: Array | None = None, **rules: bool) -> Judgement:
    """`first` against PLAIN; in float64 `fine` against FINE."""
    doubles = None if fine is None else (fine, FINE)
    return judge_tensor(measure(first, PLAIN), (first, PLAIN), doubles, Rules(BOUND, **rules))


@pytest.mark.parametrize(
    ("first", "fine", "verdict"),
    [
        (PLAIN, None, "equal"),
        (PLAIN + np.float32(1e-2), None, "different"),
        # what vanishes in float64 is rounding
        (PLAIN + np.float32(3e-6), FINE, "rounding"),
        # what stays is a difference
        (PLAIN * np.float32(1.01), FINE * 1.01, "different"),
        # what appears in float64 alone is rounding of constants that one side holds in float32
        (PLAIN, FINE * 1.01, "rounding"),
    ],
)
def test_float64_decides(first: Array, fine: Array | None, verdict: str) -> None:
    assert judged(first, fine).verdict == verdict


def test_a_differing_epsilon_is_held_to_what_float64_leaves_of_it() -> None:
    fine = FINE * (1 + 1e-8)
    assert judged(PLAIN, fine).verdict == "equal"
    assert judged(PLAIN + np.float32(1e-5), fine).verdict == "rounding"
    assert judged(PLAIN + np.float32(1e-5), fine, attribute=True).verdict == "different"


def test_another_dtype_is_a_difference_though_float64_hides_it() -> None:
    coarse = PLAIN.astype(np.float16).astype(np.float32)
    assert judged(coarse, FINE, mixed=True).verdict == "different"


def test_the_side_that_loses_precision_alone_is_named() -> None:
    coarse = PLAIN.astype(np.float16).astype(np.float32)
    judgement = judged(coarse, FINE)
    assert judgement.verdict == "different" and judgement.coarse


@pytest.mark.parametrize(
    ("analytic", "numeric", "rounding", "agrees"),
    [(1.0, 1.00005, 0.0, True), (1.0, 0.5, 0.0, False), (1e-12, 2e-12, 1e-9, True)],
)
def test_a_gradient_is_that_of_its_forward(
    analytic: float, numeric: float, rounding: float, agrees: bool
) -> None:
    assert Slope(analytic, numeric, rounding).agrees is agrees
