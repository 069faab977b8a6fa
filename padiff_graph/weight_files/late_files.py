"""A model's weights by name, read from one file, a folder of files or an index of shards."""

from __future__ import annotations

import os
from pathlib import Path

from padiff_graph.capture.engine import Array
from padiff_graph.errors import UsageError
from padiff_graph.weight_files.safetensors_file import late_safetensors
from padiff_graph.weight_files.shards import INDEX, shards

__all__ = ["late_files"]


def late_files(name: str | os.PathLike[str]) -> dict[str, Array]:
    """Every tensor of some .safetensors files; its numbers are read when they are asked for.

    Args:
        name: a file, an index of shards (.index.json), or a folder with one index or with files.

    Raises:
        UsageError: no such file, another kind of file, or a broken one.
    """
    path = Path(name)
    try:
        tensors: dict[str, Array] = {}
        for file in _files(path):
            held = late_safetensors(file)
            twice = sorted(tensors.keys() & held)
            if twice:
                raise UsageError(f"{path}: {twice[0]} stands in more than one file")
            tensors |= held
        return tensors
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        indices = sorted(path.glob(f"*.safetensors{INDEX}"))
        if len(indices) == 1:
            return _files(indices[0])
        files = sorted(path.glob("*.safetensors"))
        if len(indices) > 1 or not files:
            raise UsageError(
                f"{path}: expected .safetensors files or one index of them; found {len(indices)} "
                f"indices and {len(files)} files; name the file"
            )
        return files
    if path.name.endswith(INDEX):
        found = [path.parent / shard for shard in sorted(set(shards(path).values()))]
    else:
        found = [path]
    for file in found:
        if file.suffix != ".safetensors" or not file.is_file():
            raise UsageError(
                f"weights: expected a .safetensors file, a folder of them or their .index.json; "
                f"found {file}"
            )
    return found
