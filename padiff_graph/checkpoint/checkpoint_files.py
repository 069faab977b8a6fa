"""Checkpoint files: .safetensors (also sharded) and torch's read; .safetensors, .pdparams written.

bfloat16 stands as its bits in uint16, as Paddle holds it in numpy.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from padiff_graph.capture.backend import backend, needed
from padiff_graph.errors import UsageError
from padiff_graph.file_writing import new_file
from padiff_graph.report.wording import cut_short
from padiff_graph.weight_files.safetensors_file import NUMPY, Array, header_of, read_safetensors
from padiff_graph.weight_files.shards import INDEX, shards

__all__ = ["BITS", "Written", "read_checkpoint", "write_checkpoint"]

Tensors = tuple[dict[str, Array], frozenset[str]]
"""Tensors by name, and the names of those that are bfloat16."""
Written = Mapping[str, tuple[tuple[int, ...], str, Callable[[], Array]]]
"""What is to be written: name -> (shape, safetensors dtype, how to make the array in its turn)."""
Progress = Callable[[int, int, str], None]
"""Told of each tensor: its number, how many there are, its name."""

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
SHOWN = 4
"""Names that a message lists before it counts the rest; chosen so that it stays two lines."""


def read_checkpoint(path: Path) -> Tensors:
    """All tensors of a checkpoint, memory-mapped, and the names of those that are bfloat16.

    Takes .safetensors, torch's .pt, .pth, .bin (which needs torch), an index of shards of either
    (.index.json), and a folder that holds one of these.

    Raises:
        UsageError: no such file, another kind of file, or a broken one.
    """
    try:
        if path.is_dir():
            path = _file_in(path)
        if not path.exists():
            raise UsageError(f"expected a checkpoint at {path}; there is none; check the path")
        if path.name.endswith(INDEX):
            return _read_shards(path)
        return _read_file(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_file(path: Path) -> Tensors:
    """The tensors of one file that is no index."""
    if not path.is_file():
        raise UsageError(f"{path}: expected a file; found a folder, a device or a pipe")
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


def _read_shards(index: Path) -> Tensors:
    """The tensors of all shards, each of which stands where the index says, and nowhere else."""
    places = shards(index)
    tensors: dict[str, Array] = {}
    halves: frozenset[str] = frozenset()
    for shard in sorted(set(places.values())):
        path = index.parent / shard
        if not path.exists():
            raise UsageError(f"{index}: expected the shard {shard} beside it; there is none")
        held, held_halves = _read_file(path)
        twice = sorted(tensors.keys() & held)
        if twice:
            raise UsageError(f"{index}: {cut_short(twice, SHOWN)} in more than one shard")
        tensors |= held
        halves |= held_halves
    missing = [name for name in places if name not in tensors]
    if missing:
        raise UsageError(
            f"{index}: names {cut_short(missing, SHOWN)}, which its shards lack; "
            "download them again"
        )
    return tensors, halves


def _read_torch(path: Path) -> Tensors:
    checkpoints = needed(backend("torch").checkpoints)
    try:
        tensors, halves = checkpoints.read(path)
    except ValueError as error:
        raise UsageError(str(error)) from None
    named = {str(name): array for name, array in tensors.items()}
    return named, frozenset(map(str, halves))


def _silent(number: int, total: int, name: str) -> None:
    """Nobody watches."""


def write_checkpoint(path: Path, tensors: Written, progress: Progress = _silent) -> None:
    """Writes .safetensors tensor by tensor, one in memory at a time; or .pdparams.

    A .pdparams is pickled as paddle.save does. `progress` is told of each tensor before it is made.
    The file stands at `path` when it is complete, which may be where the tensors are read from.

    Raises:
        UsageError: another suffix, or integers that a .pdparams cannot tell from bfloat16.
        NotWrittenError: the file cannot be written; what stood at `path` is as it was.
    """
    if path.suffix not in WRITERS:
        raise UsageError(
            f"{path}: expected .pdparams or .safetensors; found {path.suffix or 'no suffix'}"
        )
    if path.suffix == ".pdparams":
        _check_no_uint16(path, tensors)
    with new_file(path) as beside:
        WRITERS[path.suffix](beside, tensors, progress)


def _check_no_uint16(path: Path, tensors: Written) -> None:
    """Paddle reads every uint16 array as the bits of bfloat16 (`paddle.load`)."""
    names = [name for name, (_, dtype, _) in tensors.items() if dtype == "U16"]
    if names:
        raise UsageError(
            f"{path}: expected no uint16, which paddle.load reads as bfloat16; found "
            f"{cut_short(names, SHOWN)}; write .safetensors instead"
        )


def _made(tensors: Written, progress: Progress) -> Iterator[tuple[str, Array]]:
    for number, (name, (_, _, make)) in enumerate(tensors.items()):
        progress(number, len(tensors), name)
        yield name, make()


def _write_pdparams(path: Path, tensors: Written, progress: Progress) -> None:
    arrays = {name: np.array(array) for name, array in _made(tensors, progress)}
    with path.open("wb") as file:
        pickle.dump(arrays, file, protocol=4)


def _write_safetensors(path: Path, tensors: Written, progress: Progress) -> None:
    kinds = {name: (shape, dtype) for name, (shape, dtype, _) in tensors.items()}
    with path.open("wb") as file:
        file.write(header_of(kinds))
        for name, array in _made(tensors, progress):
            little_endian = np.dtype(NUMPY[kinds[name][1]]).newbyteorder("<")
            file.write(np.ascontiguousarray(array, little_endian).tobytes())


WRITERS: Mapping[str, Callable[[Path, Written, Progress], None]] = {
    ".pdparams": _write_pdparams,
    ".safetensors": _write_safetensors,
}
"""What writes a checkpoint, by suffix."""
