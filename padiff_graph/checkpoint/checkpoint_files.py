"""Checkpoint files: reading .safetensors (also sharded) and torch's, writing .safetensors and .pdparams.

bfloat16 stands as its bits in uint16, as Paddle holds it in numpy. The safetensors package cannot read
bfloat16 into numpy, nor write tensor by tensor; the format is a header and bytes, read and written here.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend, needed
from padiff_graph.errors import UsageError

__all__ = ["BITS", "Written", "read_checkpoint", "read_safetensors", "write_checkpoint"]

Array = np.ndarray[Any, Any]
Written = Mapping[str, tuple[tuple[int, ...], str, Callable[[], Array]]]
"""What is to be written: name -> (shape, safetensors dtype, how to make the array when its turn comes)."""

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
IN_FOLDERS = (
    "*.safetensors.index.json",
    "*.safetensors",
    "*.bin.index.json",
    "*.bin",
    "*.pt",
    "*.pth",
)
"""What is looked for in a folder, the first kind that is there."""
BITS = {np.dtype(code): name for name, code in NUMPY.items() if name != "BF16"}
"""safetensors' name of each numpy dtype."""


def read_checkpoint(path: Path) -> tuple[dict[str, Array], frozenset[str]]:
    """All tensors of a checkpoint, memory-mapped, and the names of those that are bfloat16.

    Takes .safetensors, torch's .pt, .pth, .bin (which needs torch), an index of shards of either
    (.index.json), and a folder that holds one of these.

    Raises:
        UsageError: no such file, another kind of file, or a broken one.
    """
    if path.is_dir():
        found = next((files for pattern in IN_FOLDERS if (files := sorted(path.glob(pattern)))), [])
        if len(found) != 1:
            raise UsageError(
                f"{path}: expected one checkpoint or one index of shards; found {len(found)}; name the file"
            )
        path = found[0]
    if not path.exists():
        raise UsageError(f"expected a checkpoint at {path}; there is none; check the path")
    if path.name.endswith(".index.json"):
        tensors: dict[str, Array] = {}
        halves: frozenset[str] = frozenset()
        for shard in _shards(path):
            part, bits = read_checkpoint(path.with_name(shard))
            tensors |= part
            halves |= bits
        return tensors, halves
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix in (".pt", ".pth", ".bin"):
        checkpoints = needed(backend("torch").checkpoints)
        try:
            tensors = checkpoints.read(path)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return tensors, frozenset(
            name for name, array in tensors.items() if array.dtype == np.uint16
        )
    raise UsageError(
        f"{path}: expected .pt, .pth, .bin, .safetensors or an index of shards (.index.json); found {path.suffix or 'no suffix'}"
    )


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{index}: expected an index of shards, JSON with a weight_map from tensor to file; found none; download or save it again"
        ) from None


def read_safetensors(path: Path) -> tuple[dict[str, Array], frozenset[str]]:
    """The tensors of one .safetensors file, memory-mapped.

    Raises:
        UsageError: a file that is cut off or of another kind.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length + 8 > size:
            raise UsageError(
                f"{path}: expected a .safetensors file; its header is cut off; download or save it again"
            )
        try:
            header = json.loads(file.read(length))
        except ValueError:
            raise UsageError(
                f"{path}: expected a .safetensors file; its header is no JSON; download or save it again"
            ) from None
    tensors, halves = {}, set()
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in NUMPY:
            raise UsageError(
                f"{path}: {name} is of dtype {entry['dtype']}, which neither numpy nor Paddle's checkpoints hold; save it as another one first"
            )
        begin, end = entry["data_offsets"]
        if 8 + length + end > size:
            raise UsageError(
                f"{path}: the data of {name} is cut off; download or save the file again"
            )
        dtype = np.dtype(NUMPY[entry["dtype"]]).newbyteorder("<")
        shape = tuple(entry["shape"])
        tensors[name] = (
            np.memmap(path, dtype, "r", 8 + length + begin, shape)
            if math.prod(shape) and shape
            else np.fromfile(path, dtype, math.prod(shape), offset=8 + length + begin).reshape(
                shape
            )
        )
        if entry["dtype"] == "BF16":
            halves.add(name)
    return tensors, frozenset(halves)


def write_checkpoint(
    path: Path,
    tensors: Written,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> None:
    """Writes .safetensors tensor by tensor (one in memory at a time) or .pdparams (pickled as paddle.save does).

    `progress` is told of each tensor before it is made.

    Raises:
        UsageError: another suffix.
    """
    tensors = {
        name: (shape, dtype, _telling(make, progress, number, len(tensors), name))
        for number, (name, (shape, dtype, make)) in enumerate(tensors.items())
    }
    if path.suffix == ".safetensors":
        _write_safetensors(path, tensors)
    elif path.suffix == ".pdparams":
        with path.open("wb") as file:
            pickle.dump(
                {name: np.array(make()) for name, (_, _, make) in tensors.items()}, file, protocol=4
            )
    else:
        raise UsageError(
            f"{path}: expected .pdparams or .safetensors; found {path.suffix or 'no suffix'}"
        )


def _telling(
    make: Callable[[], Array],
    progress: Callable[[int, int, str], None],
    number: int,
    total: int,
    name: str,
) -> Callable[[], Array]:
    def told() -> Array:
        progress(number, total, name)
        return make()

    return told


def _write_safetensors(path: Path, tensors: Written) -> None:
    header: dict[str, Any] = {}
    at = 0
    for name, (shape, dtype, _) in tensors.items():
        end = at + math.prod(shape) * np.dtype(NUMPY[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for chunk in _bytes(tensors):
            file.write(chunk)


def _bytes(tensors: Written) -> Iterator[bytes]:
    for _, dtype, make in tensors.values():
        yield np.ascontiguousarray(make(), np.dtype(NUMPY[dtype]).newbyteorder("<")).tobytes()
