"""How one tensor is held against the tolerance: by means, by every element, exactly."""

import math

import numpy as np
import pytest

from padiff_graph.referee.tolerance import Tolerance, quantity


def held(first, second, mode="strict", rtol=1e-6, atol=0.0):
    return quantity(
        "output", "a", "b", np.asarray(first), np.asarray(second), Tolerance(rtol, atol, mode)
    )


def test_means_are_held_against_each_other_in_mean_mode():
    first, second = np.array([1.0, 3.0, 2.0]), np.array([3.0, 1.0, 2.0])
    assert held(first, second, "mean").within and not held(first, second, "strict").within
    moved = held(second + 0.5, second, "mean", rtol=0.1, atol=0.1)
    assert not moved.within and moved.mean_error == pytest.approx(0.5)
    assert moved.atol == pytest.approx(0.5 - 0.1 * 2.0)
    assert moved.rtol == pytest.approx((0.5 - 0.1) / 2.0)
    assert held(second + 0.5, second, "mean", rtol=moved.rtol, atol=0.1).within


@pytest.mark.parametrize("mode", ["mean", "strict"])
def test_whole_numbers_are_held_exactly(mode):
    big = np.array([2**53, 5], np.int64)
    near = np.array([2**53 + 1, 5], np.int64)
    assert held(big, big, mode).within
    apart = held(near, big, mode, rtol=1.0, atol=10.0)
    assert not apart.within and apart.error == 1.0 and math.isinf(apart.rtol)
    assert not held([True, False], [True, True], mode, rtol=2.0).within


@pytest.mark.parametrize("mode", ["mean", "strict"])
def test_infinities_agree_with_themselves_only(mode):
    assert held([np.inf, 1.0], [np.inf, 1.0], mode).within
    assert held([np.nan, 1.0], [np.nan, 1.0], mode).within
    for other in (np.nan, -np.inf, 1.0):
        assert not held([np.inf, 1.0], [other, 1.0], mode).within


def test_complex_numbers_and_empty_ones():
    assert held([1 + 1j], [1 + 1j]).within and not held([1 + 1j], [1 - 1j]).within
    assert not held([1 + 1j], [1 - 1j], "mean").within
    assert held(np.zeros((0, 3)), np.zeros((0, 3))).within
    assert not held(np.zeros((0, 3)), np.zeros((3, 0))).within


def test_what_was_measured_already_is_not_measured_again():
    first, second = np.float32([1.0, 2.5]), np.float32([1.0, 2.0])
    plain = quantity("output", "a", "b", first, second, Tolerance())
    assert quantity("output", "a", "b", first, second, Tolerance(), largest=(0.5, 2.0)) == plain
    strict = Tolerance(mode="strict")
    assert quantity("output", "a", "b", first, second, strict).error == plain.error
