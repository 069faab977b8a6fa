"""Memory that two processes of one machine map, for large arrays: written once by the one, read in
place by the other, and used again once nobody there reads it any more. Pages that are made anew for
each array take longer than a copy through a socket does."""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from bisect import insort
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["Arena", "Chunk", "Place", "chunk_of", "seen", "view"]

CHUNK = 1 << 26
"""Bytes that are mapped at a time; larger arrays have a chunk of their own."""
KEPT = 1 << 28
"""Bytes of chunks that keep their pages while nothing lies in them; the rest gives them back."""
AVAILABLE = sys.platform == "linux" and hasattr(os, "memfd_create")


class Chunk(mmap.mmap):
    """Mapped memory.

    Attributes:
        number: its descriptor, by which another process maps it.
        address: where it is mapped here.
    """

    number: int
    address: int

    __hash__ = object.__hash__  # that of `mmap.mmap` is of what it holds, as is its equality

    def __eq__(self, other: object) -> bool:
        return self is other


def seen(number: int) -> Chunk:
    """A chunk of another process, to be read.

    Args:
        number: its descriptor, closed with the chunk.

    Raises:
        OSError: it cannot be mapped.
    """
    return _mapped(number, mmap.PROT_READ)


def view(chunk: Chunk, start: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """An array in a chunk.

    Raises:
        ValueError: it is not within the chunk.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if start < 0 or start + count * dtype.itemsize > len(chunk):
        raise ValueError(f"{shape} of {dtype} from byte {start} on is not within {len(chunk)}")
    return np.frombuffer(chunk, dtype, count, start)


def chunk_of(array: Array) -> tuple[Chunk, int] | None:
    """The chunk that an array is read from, and its first byte there; None for what lies elsewhere,
    or is no piece of it."""
    if array.flags.writeable or not array.flags.c_contiguous:
        return None
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    chunk = base.obj if isinstance(base, memoryview) else base
    if not isinstance(chunk, Chunk):
        return None
    return chunk, _address(array) - chunk.address


@dataclass(frozen=True)
class Place:
    """A stretch of a chunk that an array was written to."""

    chunk: Chunk
    start: int
    size: int


@dataclass
class Arena:
    """Chunks of this process that others read, and what is free in them.

    Attributes:
        free: by chunk, (first byte, first byte behind) of each free stretch, in order.
    """

    free: dict[Chunk, list[tuple[int, int]]] = field(default_factory=dict)

    def written(self, array: Array) -> Place | None:
        """Writes an array into a free stretch; None where there is no such memory to be had."""
        place = self._found(array.nbytes)
        if place is not None:
            target = view(place.chunk, place.start, array.dtype, array.shape)
            np.copyto(target.reshape(array.shape), array)
        return place

    def release(self, place: Place) -> None:
        """Nobody reads this stretch any more."""
        holes = self.free[place.chunk]
        insort(holes, (place.start, place.start + place.size))
        joined = [holes[0]]
        for start, end in holes[1:]:
            if start == joined[-1][1]:
                joined[-1] = joined[-1][0], end
            else:
                joined.append((start, end))
        self.free[place.chunk] = joined
        if joined == [(0, len(place.chunk))] and sum(map(len, self.free)) > KEPT:
            os.truncate(place.chunk.number, 0)  # its pages go; it stays as long as it is mapped
            os.truncate(place.chunk.number, len(place.chunk))

    def _found(self, size: int) -> Place | None:
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        for chunk, holes in self.free.items():
            for number, (start, end) in enumerate(holes):
                if end - start >= size:
                    holes[number : number + 1] = [(start + size, end)] if end - start > size else []
                    return Place(chunk, start, size)
        made = _made(max(size, CHUNK)) if AVAILABLE else None
        if made is None:
            return None
        self.free[made] = [(size, len(made))] if len(made) > size else []
        return Place(made, 0, size)


def _made(size: int) -> Chunk | None:
    try:
        number = os.memfd_create("padiff-graph", os.MFD_CLOEXEC)
        os.truncate(number, size)
        return _mapped(number, mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError:  # without such memory arrays cross as they are
        return None


def _mapped(number: int, access: int) -> Chunk:
    try:
        chunk = Chunk(number, os.fstat(number).st_size, flags=mmap.MAP_SHARED, prot=access)
    except BaseException:
        os.close(number)
        raise
    chunk.number = number
    chunk.address = _address(np.frombuffer(chunk, np.uint8))
    weakref.finalize(chunk, os.close, number).atexit = False
    return chunk


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
