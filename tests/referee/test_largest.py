"""The largest difference: the same in pieces as at once."""

import math

import numpy as np
import pytest

from padiff_graph.referee.largest import PIECE, difference

SIZES = (10, 2 * PIECE + 7)


def made(size):
    second = np.linspace(-3.0, 2.0, size, dtype=np.float32)
    first = second.copy()
    first[size - 2] += np.float32(0.5)
    return first, second


@pytest.mark.parametrize("size", SIZES)
def test_largest_of_all_numbers(size):
    first, second = made(size)
    assert difference(first, second) == (pytest.approx(0.5), 3.0)
    assert difference(second, second) == (0.0, 3.0)
    assert difference(first[::2], second[::2])[1] == 3.0


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_not_finite(size, at):
    first, second = made(size)
    second[at] = np.nan
    assert difference(first, second)[0] == math.inf
    first[at] = np.nan
    assert difference(first, second)[0] == pytest.approx(0.5)
    first[at] = second[at] = -np.inf
    error, scale = difference(first, second)
    assert error == pytest.approx(0.5) and math.isfinite(scale)
    first[at] = np.inf
    assert difference(first, second)[0] == math.inf


def test_other_kinds():
    whole = np.asarray([2**53, 1]), np.asarray([2**53 + 1, 1])
    assert difference(*whole)[0] == 1.0
    assert difference(np.asarray([1j]), np.asarray([0j])) == (1.0, 0.0)
    assert difference(np.ones(0), np.ones(0)) == (0.0, 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("largest", [0.0, 1.0, np.inf])
def test_numbers_below_the_smallest_normal_one_are_none(dtype, largest):
    tiny = np.finfo(dtype).tiny
    other = np.array([largest, 0.0], dtype)
    finite = 0.0 if np.isinf(largest) else largest
    assert difference(other + np.array([0, tiny / 4], dtype), other) == (0.0, finite)
    assert difference(other + np.array([0, tiny * 2], dtype), other) == (2 * tiny, finite)


def test_subnormal_numbers_of_float16_count():
    other = np.array([1e-3, 0.0], np.float16)
    error, scale = difference(other + np.array([5e-5, 0], np.float16), other)
    assert error > 4e-5 and scale == pytest.approx(1e-3, rel=1e-3)
