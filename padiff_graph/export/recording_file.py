"""The file of a recording: a zip of `manifest.json` and `.npy` arrays; nothing in it is code.

It opens with zipfile, json and numpy alone. The manifest names the format, its version, and under
`arrays` every other member: what it is ("values.float32", "gradients", ...), its name or value, and
the member that holds it. docs/recordings.md describes it.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.errors import UsageError
from padiff_graph.file_writing import new_file

__all__ = ["FORMAT", "VERSION", "Recording", "RecordingWriter", "new_recording"]

FORMAT = "padiff-graph recording"
VERSION = 1
MANIFEST = "manifest.json"
WHAT = "a recording as `padiff-graph record` writes it"


@dataclass
class RecordingWriter:
    """Writes arrays one by one as they come, the manifest last.

    Attributes:
        held: the open zip.
        arrays: kind -> name -> member.
    """

    held: zipfile.ZipFile
    arrays: dict[str, dict[str, str]] = field(default_factory=dict)
    count: int = 0

    def add(self, kind: str, name: str, array: Array) -> None:
        """Writes one array; it is not kept."""
        member = f"arrays/{self.count:06d}.npy"
        self.count += 1
        with self.held.open(member, "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
        self.arrays.setdefault(kind, {})[name] = member

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Writes the manifest: the facts, and which member holds what."""
        manifest = {"format": FORMAT, "version": VERSION, **facts, "arrays": self.arrays}
        self.held.writestr(MANIFEST, json.dumps(manifest, allow_nan=False))


@contextmanager
def new_recording(path: str | os.PathLike[str]) -> Iterator[RecordingWriter]:
    """A recording to be filled; it stands at `path` when it is whole, and not before.

    Raises:
        NotWrittenError: as of `new_file`.
    """
    with new_file(path) as beside, zipfile.ZipFile(beside, "w", allowZip64=True) as held:
        yield RecordingWriter(held)


class Recording:
    """A recording, opened: the manifest is read and held against the file, arrays are read when
    they are asked for.

    Args:
        path: of the file.

    Raises:
        UsageError: it is no recording, is damaged or cut off, or of another version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            with zipfile.ZipFile(self.path) as held:
                members = held.namelist()
                manifest = json.loads(held.read(MANIFEST).decode("utf-8"))
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, NotImplementedError) as error:
            raise self._refused(f"it cannot be read ({_told(error)})") from None
        self.manifest: dict[str, Any] = self._checked(manifest, members)

    def names(self, kind: str) -> list[str]:
        """The names of the arrays of one kind, in the order of writing."""
        return list(self.manifest["arrays"].get(kind, ()))

    def array(self, kind: str, name: str) -> Array:
        """One array.

        Raises:
            UsageError: the file is damaged there.
            KeyError: it holds none of this kind and name.
        """
        member = self.manifest["arrays"][kind][name]
        try:
            with zipfile.ZipFile(self.path) as held, held.open(member) as file:
                array: Array = np.lib.format.read_array(file, allow_pickle=False)
                if file.read(1):
                    raise ValueError("more than one array")
        except (OSError, zipfile.BadZipFile, ValueError, EOFError, SyntaxError) as error:
            raise self._refused(f"{kind} {name} cannot be read ({_told(error)})") from None
        return array

    def _checked(self, manifest: Any, members: list[str]) -> dict[str, Any]:
        """The manifest, where it is one and names what the file holds and nothing else."""
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise self._refused("its manifest is of another format")
        version = manifest.get("version")
        if version != VERSION:
            raise self._refused(
                f"it is of version {version!r}, this package reads version {VERSION}; record again"
            )
        arrays = manifest.get("arrays")
        if not isinstance(arrays, dict) or not all(
            isinstance(own, dict) for own in arrays.values()
        ):
            raise self._refused("its manifest does not say what the arrays are")
        named = [member for own in arrays.values() for member in own.values()]
        if sorted([*map(str, named), MANIFEST]) != sorted(members):
            raise self._refused("its manifest and its members do not fit together")
        return manifest

    def _refused(self, found: str) -> UsageError:
        return UsageError(f"{self.path}: expected {WHAT}; {found}")


def _told(error: Exception) -> str:
    """An exception in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).strip("'\"") or type(error).__name__
