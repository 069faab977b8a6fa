"""Cosine, relative L2 and the place of the largest difference."""

import math

import numpy as np
import pytest

from padiff_graph.referee import closeness as module
from padiff_graph.referee.closeness import closeness


def test_numbers_of_a_tensor(monkeypatch):
    monkeypatch.setattr(module, "PIECE", 5)  # more than one piece
    random = np.random.default_rng(0)
    second = random.standard_normal((3, 4)).astype("float32")
    first = second.copy()
    first[2, 1] += 0.5
    first[0, 3] -= 0.25
    got = closeness(first, second)
    wide = first.astype("float64"), second.astype("float64")
    gap = wide[0] - wide[1]
    assert got.error == pytest.approx(0.5)
    assert (got.index, got.shape) == ((2, 1), (3, 4))
    assert got.relative_l2 == pytest.approx(np.linalg.norm(gap) / np.linalg.norm(wide[1]))
    angle = (wide[0] * wide[1]).sum() / np.linalg.norm(wide[0]) / np.linalg.norm(wide[1])
    assert got.cosine == pytest.approx(angle)


def test_equal_and_opposite():
    ones = np.ones((2, 2), "float32")
    assert closeness(ones, ones) == module.Closeness(1.0, 0.0, 0.0, (), (2, 2))
    assert closeness(-ones, ones).cosine == -1.0


def test_what_has_no_angle():
    zeros, ones = np.zeros(3, "float32"), np.ones(3, "float32")
    assert closeness(zeros, zeros) == module.Closeness(None, 0.0, 0.0, (), (3,))
    assert closeness(ones, zeros).relative_l2 == math.inf
    assert closeness(np.ones(2), np.ones(3)) is None
    assert closeness(np.ones(0), np.ones(0)) is None


def test_numbers_that_are_not_finite():
    first = np.array([1.0, np.nan, np.inf, 2.0])
    same = closeness(first, first)
    assert (same.cosine, same.relative_l2, same.error) == (pytest.approx(1.0), 0.0, 0.0)
    near = closeness(first, np.array([1.0, np.nan, np.inf, 2.5]))
    assert near.relative_l2 == pytest.approx(0.5 / math.hypot(1.0, 2.5)) and near.index == (3,)
    got = closeness(first, np.array([1.0, 0.0, np.inf, 2.0]))
    assert (got.error, got.index, got.relative_l2, got.cosine) == (math.inf, (1,), math.inf, None)
    assert closeness(np.array([1, 7], "int64"), np.array([1, 4], "int64")).error == 3.0


@pytest.mark.parametrize("numbers", [[1.0, -2.0], [0.0, 0.0], [math.inf, 1.0], [math.nan, 1.0]])
def test_equal_numbers_are_as_near_when_it_is_known(numbers):
    both = np.asarray(numbers, "float32"), np.asarray(numbers, "float32")
    assert closeness(*both, equal=True) == closeness(*both)
