"""The .safetensors format: read as memory maps after the whole header was checked, and written.

The safetensors package cannot read bfloat16 into numpy, nor write tensor by tensor; the format is a
length in eight bytes, a JSON header and bytes. What is refused here is what that package refuses
(`safetensors/src/tensor.rs`, version 0.5): data that overlap, leave gaps or lie outside the file
would show memory that is not the tensor's.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from padiff_graph.capture.late_array import late, of_file
from padiff_graph.errors import UsageError

__all__ = ["NUMPY", "Array", "header_of", "late_safetensors", "read_safetensors"]

Array = np.ndarray[Any, Any]

NUMPY = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": "u2",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "c8",
}
"""numpy's code of each safetensors dtype."""
LONGEST = 100_000_000
"""Bytes of a header at most: the safetensors package's own limit."""
AXES = 32
"""Axes of a tensor at most: numpy 1's limit."""
FIELDS = ("dtype", "shape", "data_offsets")
AGAIN = "download or save it again"


@dataclass(frozen=True)
class _Entry:
    """One tensor of a checked header; `begin` and `end` are bytes from where the data begin."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(path: Path) -> tuple[dict[str, Array], frozenset[str]]:
    """The tensors of one .safetensors file, memory-mapped, and the names of those in bfloat16.

    Raises:
        UsageError: a file that is cut off, of another kind, or whose header contradicts itself or
            the data; says what is wrong, and of which tensor.
    """
    entries, start = _entries(path)
    tensors = {entry.name: _mapped(path, start, entry) for entry in entries}
    return tensors, frozenset(entry.name for entry in entries if entry.dtype == "BF16")


def late_safetensors(path: Path) -> dict[str, Array]:
    """The tensors of one .safetensors file, each read when its numbers are asked for; bfloat16 as
    float32.

    Raises:
        UsageError: as of `read_safetensors`.
    """
    entries, start = _entries(path)
    return {entry.name: _late(path, start, entry) for entry in entries}


def _late(path: Path, start: int, entry: _Entry) -> Array:
    dtype = np.dtype(NUMPY[entry.dtype]).newbyteorder("<")
    stored = of_file(str(path), start + entry.begin, entry.shape, dtype)
    if entry.dtype != "BF16":
        return stored
    return late(entry.shape, np.float32, lambda: widened(np.asarray(stored)))


def widened(bits: Array) -> Array:
    """bfloat16 in its bits as float32: the upper half of it."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _entries(path: Path) -> tuple[list[_Entry], int]:
    """The tensors of a checked header, and where the data begin."""
    with path.open("rb") as file:
        size = path.stat().st_size
        header, start = _header(path, file, size)
    entries = [_entry(path, name, written) for name, written in header.items()]
    _check_layout(path, entries, size - start)
    return entries, start


def _header(path: Path, file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header without its metadata, and where the data begin."""
    expected = f"{path}: expected a .safetensors file"
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
    if length + 8 > size:
        raise UsageError(f"{expected}; its header is cut off; {AGAIN}")
    if length > LONGEST:
        raise UsageError(f"{expected}; its header claims {length} bytes of {LONGEST} allowed")
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_each_once)
        json.dumps(header, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        twice = f" ({error})" if isinstance(error, _Twice) else ""
        raise UsageError(f"{expected}; its header is no JSON{twice}; {AGAIN}") from None
    if not isinstance(header, dict):
        raise UsageError(
            f"{expected}, whose header is a JSON object; found a {type(header).__name__}; {AGAIN}"
        )
    header.pop("__metadata__", None)
    return header, 8 + length


class _Twice(ValueError):
    """A name that stands in an object twice."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice("an entry stands in it twice")
    return members


def _entry(path: Path, name: str, written: Any) -> _Entry:
    """One tensor's entry, its fields held against each other."""
    if not isinstance(written, dict) or any(field not in written for field in FIELDS):
        raise UsageError(f"{path}: the entry of {name} lacks one of {', '.join(FIELDS)}; {AGAIN}")
    dtype, shape, offsets = (written[field] for field in FIELDS)
    if not isinstance(dtype, str) or dtype not in NUMPY:
        raise UsageError(
            f"{path}: {name} is of dtype {dtype!s:.40}, which neither numpy nor Paddle's "
            "checkpoints hold; save it as another one first"
        )
    if not _counts(shape) or len(shape) > AXES or not _counts(offsets) or len(offsets) != 2:
        raise UsageError(
            f"{path}: the shape and the data_offsets of {name} are lists of whole numbers, "
            f"0 or greater, the second of two; found others; {AGAIN}"
        )
    begin, end = offsets
    itemsize = np.dtype(NUMPY[dtype]).itemsize
    if end - begin != math.prod(shape) * itemsize or not _addressable(shape, itemsize):
        raise UsageError(
            f"{path}: {name} of shape {shape!s:.80} in {dtype} does not fit its "
            f"{end - begin} bytes of data; {AGAIN}"
        )
    return _Entry(name, dtype, tuple(shape), begin, end)


def _counts(value: Any) -> bool:
    """Whether it is a list of whole numbers, 0 or greater."""
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def _addressable(shape: list[int], itemsize: int) -> bool:
    """Whether numpy can count the bytes; it leaves out axes of no extent."""
    return math.prod(extent for extent in shape if extent) * itemsize < 2**63


def _check_layout(path: Path, entries: list[_Entry], size: int) -> None:
    """The tensors lie one behind the other, without gaps, up to the end of the file."""
    at = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.end > size:
            raise UsageError(f"{path}: the data of {entry.name} is cut off; {AGAIN}")
        if entry.begin != at:
            fault = "overlaps" if entry.begin < at else "leaves a gap behind"
            raise UsageError(f"{path}: the data of {entry.name} {fault} what is before it; {AGAIN}")
        at = entry.end
    if at != size:
        raise UsageError(f"{path}: {size - at} bytes at its end belong to no tensor; {AGAIN}")


def _mapped(path: Path, start: int, entry: _Entry) -> Array:
    """One tensor of a file whose data begin at `start`."""
    dtype = np.dtype(NUMPY[entry.dtype]).newbyteorder("<")
    if entry.shape and entry.end > entry.begin:
        return np.memmap(path, dtype, "r", start + entry.begin, entry.shape)
    # nothing and a single number cannot be mapped
    count = math.prod(entry.shape)
    return np.fromfile(path, dtype, count, offset=start + entry.begin).reshape(entry.shape)


def header_of(kinds: Mapping[str, tuple[tuple[int, ...], str]]) -> bytes:
    """What stands before the data of tensors, by name: (shape, dtype), in this order."""
    text = json.dumps(dict(_placed(kinds))).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _placed(
    kinds: Mapping[str, tuple[tuple[int, ...], str]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    at = 0
    for name, (shape, dtype) in kinds.items():
        end = at + math.prod(shape) * np.dtype(NUMPY[dtype]).itemsize
        yield name, {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
