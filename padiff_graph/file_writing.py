"""Files that are whole or not there: written beside their place, moved to it when complete."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from padiff_graph.errors import NotWrittenError

__all__ = ["new_file", "write_text"]


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to, of the same suffix and in the same folder, in place of `path`.

    When the block ends, what was written there stands at `path`; after an exception `path` is as it
    was. What is read from `path` meanwhile is the old file. A device or a pipe, which cannot be
    replaced, is handed out itself.

    Raises:
        NotWrittenError: the folder or the file cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = _mode(target)
        if mode is not None and not stat.S_ISREG(mode):
            yield target
            return
        beside = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix}")
        try:
            os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield beside
            _settle(beside, target, mode)
        finally:
            with suppress(FileNotFoundError):
                beside.unlink()
    except NotWrittenError:  # of another file, written in the same block
        raise
    except OSError as error:
        raise NotWrittenError(f"{path} cannot be written: {_reason(error)}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes text as UTF-8; a lone surrogate, which UTF-8 cannot hold, as its escape.

    Raises:
        NotWrittenError: as in `new_file`.
    """
    with new_file(path) as beside:
        beside.write_bytes(text.encode("utf-8", "backslashreplace"))


def _mode(target: Path) -> int | None:
    """The mode of what stands at the target, None where nothing does."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError("it is a folder")
    if not os.access(target, os.W_OK):
        raise PermissionError("the file there is read-only")
    return mode


def _settle(beside: Path, target: Path, mode: int | None) -> None:
    """Moves a complete file to its place: on the disk first, so that a crash leaves one or the
    other."""
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    if mode is not None:
        beside.chmod(stat.S_IMODE(mode))
    os.replace(beside, target)


def _reason(error: OSError) -> str:
    """The system's words, without its number and its own path."""
    return (error.strerror or str(error)).lower()
