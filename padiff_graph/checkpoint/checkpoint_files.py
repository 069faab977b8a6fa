"""Checkpoint files: .safetensors (also sharded) and torch's read; .safetensors, .pdparams written.

bfloat16 stands as its bits in uint16, as Paddle holds it in numpy. The safetensors package cannot
read bfloat16 into numpy, nor write tensor by tensor; the format is a header and bytes, read and
written here.
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
"""What is to be written: name -> (shape, safetensors dtype, how to make the array in its turn)."""
Progress = Callable[[int, int, str], None]
"""Told of each tensor: its number, how many there are, its name."""

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
        path = _file_in(path)
    if not path.exists():
        raise UsageError(f"expected a checkpoint at {path}; there is none; check the path")
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix in (".pt", ".pth", ".bin"):
        return _read_torch(path)
    raise UsageError(
        f"{path}: expected .pt, .pth, .bin, .safetensors or an index of shards (.index.json); "
        f"found {path.suffix or 'no suffix'}"
    )


def _file_in(folder: Path) -> Path:
    files: list[Path] = []
    for pattern in IN_FOLDERS:
        files = sorted(folder.glob(pattern))
        if files:
            break
    if len(files) != 1:
        raise UsageError(
            f"{folder}: expected one checkpoint or one index of shards; found {len(files)}; "
            "name the file"
        )
    return files[0]


def _read_shards(index: Path) -> tuple[dict[str, Array], frozenset[str]]:
    tensors: dict[str, Array] = {}
    halves: frozenset[str] = frozenset()
    for shard in _shards(index):
        shard_tensors, shard_halves = read_checkpoint(index.with_name(shard))
        tensors |= shard_tensors
        halves |= shard_halves
    return tensors, halves


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{index}: expected an index of shards, JSON with a weight_map from tensor to file; "
            "found none; download or save it again"
        ) from None


def _read_torch(path: Path) -> tuple[dict[str, Array], frozenset[str]]:
    checkpoints = needed(backend("torch").checkpoints)
    try:
        tensors = checkpoints.read(path)
    except ValueError as error:
        raise UsageError(str(error)) from None
    halves = frozenset(name for name, array in tensors.items() if array.dtype == np.uint16)
    return tensors, halves


def read_safetensors(path: Path) -> tuple[dict[str, Array], frozenset[str]]:
    """The tensors of one .safetensors file, memory-mapped.

    Raises:
        UsageError: a file that is cut off or of another kind.
    """
    header, start = _safetensors_header(path)
    header.pop("__metadata__", None)
    tensors = {name: _mapped(path, start, name, entry) for name, entry in header.items()}
    return tensors, frozenset(name for name in header if header[name]["dtype"] == "BF16")


def _safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the data begin: a length in eight bytes, the header, the data."""
    size = path.stat().st_size
    expected = f"{path}: expected a .safetensors file"
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if length + 8 > size:
            raise UsageError(f"{expected}; its header is cut off; download or save it again")
        try:
            return json.loads(file.read(length)), 8 + length
        except ValueError:
            raise UsageError(
                f"{expected}; its header is no JSON; download or save it again"
            ) from None


def _mapped(path: Path, start: int, name: str, entry: Mapping[str, Any]) -> Array:
    """One tensor of a file whose data begin at `start`."""
    if entry["dtype"] not in NUMPY:
        raise UsageError(
            f"{path}: {name} is of dtype {entry['dtype']}, which neither numpy nor Paddle's "
            "checkpoints hold; save it as another one first"
        )
    begin, end = entry["data_offsets"]
    if start + end > path.stat().st_size:
        raise UsageError(f"{path}: the data of {name} is cut off; download or save the file again")
    dtype = np.dtype(NUMPY[entry["dtype"]]).newbyteorder("<")
    shape = tuple(entry["shape"])
    if math.prod(shape) and shape:
        return np.memmap(path, dtype, "r", start + begin, shape)
    # nothing and a single number cannot be mapped
    return np.fromfile(path, dtype, math.prod(shape), offset=start + begin).reshape(shape)


def _silent(number: int, total: int, name: str) -> None:
    """Nobody watches."""


def write_checkpoint(path: Path, tensors: Written, progress: Progress = _silent) -> None:
    """Writes .safetensors tensor by tensor, one in memory at a time; or .pdparams.

    A .pdparams is pickled as paddle.save does. `progress` is told of each tensor before it is made.

    Raises:
        UsageError: another suffix.
    """
    if path.suffix == ".safetensors":
        _write_safetensors(path, tensors, progress)
    elif path.suffix == ".pdparams":
        arrays = {name: np.array(array) for name, array in _made(tensors, progress)}
        with path.open("wb") as file:
            pickle.dump(arrays, file, protocol=4)
    else:
        raise UsageError(
            f"{path}: expected .pdparams or .safetensors; found {path.suffix or 'no suffix'}"
        )


def _made(tensors: Written, progress: Progress) -> Iterator[tuple[str, Array]]:
    for number, (name, (_, _, make)) in enumerate(tensors.items()):
        progress(number, len(tensors), name)
        yield name, make()


def _write_safetensors(path: Path, tensors: Written, progress: Progress) -> None:
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
        for name, array in _made(tensors, progress):
            little_endian = np.dtype(NUMPY[tensors[name][1]]).newbyteorder("<")
            file.write(np.ascontiguousarray(array, little_endian).tobytes())
