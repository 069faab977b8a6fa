"""Numbers that are read when they are asked for: they stand wherever an array does."""

import gc
import os

import numpy as np
import pytest

from padiff_graph.capture import late_array
from padiff_graph.capture.late_array import LateArray, fresh, kept, late, late_of, of_file


@pytest.fixture
def counted():
    reads = []

    def read():
        reads.append(1)
        return np.arange(6, dtype=np.float32).reshape(2, 3)

    return late((2, 3), np.float32, read), reads


def test_shape_and_dtype_are_known_without_reading(counted):
    array, reads = counted
    assert (array.shape, array.dtype, array.size, array.ndim, array.nbytes, len(array)) == (
        (2, 3),
        np.dtype(np.float32),
        6,
        2,
        24,
        2,
    )
    assert not reads


def test_it_computes_as_an_array_does(counted):
    array, _ = counted
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(array, plain)
    assert np.array_equal(array * 2 + 1, plain * 2 + 1)
    assert np.array_equal(array.reshape(-1)[2:], plain.reshape(-1)[2:])
    assert np.array_equal(np.abs(-array), plain)
    assert np.array_equal(array[1], plain[1])
    assert array.max() == 5
    assert bool((array == plain).all())
    assert fresh(array).flags.writeable


def test_a_change_is_made_when_it_is_read(counted):
    array, reads = counted
    doubled = late_of(array, lambda numbers: numbers * 2)
    assert not reads
    assert np.asarray(doubled)[1, 2] == 10
    assert isinstance(doubled, LateArray)
    assert not isinstance(late_of(np.ones(2), lambda numbers: numbers * 2), LateArray)


def test_what_waits_is_in_memory_or_in_a_file_that_goes_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    small = kept(np.ones(4, np.float32))
    assert not os.listdir(tmp_path)
    monkeypatch.setattr(late_array, "HELD", 0)
    large = kept(np.full((2, 2), 3.0), before=np.ones((2, 2)))
    assert len(os.listdir(tmp_path)) == 1
    assert np.array_equal(large, np.full((2, 2), 4.0))
    del large
    gc.collect()
    assert not os.listdir(tmp_path)
    assert np.array_equal(small, np.ones(4))


def test_a_file_is_read_from_an_offset(tmp_path):
    path = tmp_path / "numbers"
    np.arange(10, dtype="<i4").tofile(path)
    array = of_file(str(path), 8, (2, 3), "<i4")
    assert np.array_equal(array, [[2, 3, 4], [5, 6, 7]])
