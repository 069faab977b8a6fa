"""Numbers that are read when they are asked for and let go with who asked: weights in a file, what
a map makes of them, gradients that are kept on disk.

A `LateArray` stands wherever an array does; whatever looks at its numbers reads them anew. So a
model may be larger than the memory, and nothing else has to know.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

__all__ = ["HELD", "LateArray", "fresh", "kept", "late", "late_of", "of_file"]

Array = np.ndarray[Any, Any]
Read = Callable[[], Array]

HELD = 1 << 28
"""Bytes of gradients that are kept in memory in all; more go to files. Chosen so that a region's
own seldom do, and a quarter of a GiB is little beside two frameworks."""


class LateArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array whose numbers are read when they are asked for.

    Attributes:
        shape, dtype, size, ndim: as of an array; known without reading.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, read: Read) -> None:
        self.shape: tuple[int, ...] = tuple(int(extent) for extent in shape)
        self.dtype = np.dtype(dtype)
        self.read = read
        """Reads the numbers; nobody else holds what it returns."""

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        count: int = self.size * self.dtype.itemsize
        return count

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.read(), dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        read = [each.read() if isinstance(each, LateArray) else each for each in inputs]
        return getattr(ufunc, method)(*read, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.read(), name)

    def __getitem__(self, key: Any) -> Any:
        return self.read()[key]

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LateArray({list(self.shape)}, {self.dtype})"


def late(shape: Sequence[int], dtype: Any, read: Read) -> Array:
    """A `LateArray`, for who takes arrays."""
    return cast(Array, LateArray(shape, dtype, read))


def late_of(array: Array, change: Callable[[Array], Array]) -> Array:
    """What a change of the same shape and dtype makes of an array; late where the array is."""
    if isinstance(array, LateArray):
        return late(array.shape, array.dtype, lambda: change(array.read()))
    return change(array)


def fresh(array: Array) -> Array:
    """The numbers in an array that nobody else holds."""
    if isinstance(array, LateArray):
        return np.require(array.read(), requirements=["C", "W"])
    return np.array(array, order="C")


def of_file(path: str, offset: int, shape: Sequence[int], dtype: Any) -> Array:
    """Numbers that stand in a file from an offset on."""
    count = math.prod(shape)

    def read() -> Array:
        numbers: Array = np.fromfile(path, dtype, count, offset=offset)
        if numbers.size != count:
            raise OSError(f"{path} was cut off while it was in use")
        return numbers.reshape(shape)

    return late(shape, dtype, read)


_in_memory = [0]
"""Bytes of arrays that are kept in memory now."""


def kept(array: Array, before: Array | None = None) -> Array:
    """An array, added to what was kept before, that may wait long: in memory while little is, else
    in a file that goes with it."""
    total = array if before is None else np.asarray(before) + array
    if _in_memory[0] + total.nbytes <= HELD:
        return _held(np.array(total))
    handle, path = tempfile.mkstemp(prefix="padiff-graph-", suffix=".numbers")
    with os.fdopen(handle, "wb") as file:
        np.ascontiguousarray(total).tofile(file)
    made = of_file(path, 0, total.shape, total.dtype)
    weakref.finalize(made, os.unlink, path)
    return made


def _held(array: Array) -> Array:
    made = late(array.shape, array.dtype, array.copy)
    _in_memory[0] += array.nbytes
    weakref.finalize(made, _forget, array.nbytes)
    return made


def _forget(count: int) -> None:
    _in_memory[0] -= count
