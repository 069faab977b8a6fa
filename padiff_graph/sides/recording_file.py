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
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0

from padiff_graph.capture.engine import Array
from padiff_graph.data_shapes import misfit
from padiff_graph.errors import UsageError
from padiff_graph.file_reading import DAMAGED, reason_of
from padiff_graph.file_writing import new_file

__all__ = [
    "FORMAT",
    "SUFFIX",
    "VERSION",
    "Recording",
    "RecordingWriter",
    "new_recording",
    "recording_of",
]

FORMAT = "padiff-graph recording"
VERSION = 5
SUFFIX = ".pgref"
MANIFEST = "manifest.json"
WHAT = "a recording as `padiff-graph record` writes it"
HEADERS = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}
"""Readers of a numpy file's header by its version; names in UTF-8, as in the third, are in none."""


class Manifest(TypedDict):
    """What a manifest holds, as far as it is read before anything is decoded."""

    framework: Literal["torch", "paddle", "onnx"]
    nodes: list[Any]
    arrays: dict[str, dict[str, str]]


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

    def holds(self, kind: str, name: str) -> bool:
        """Whether an array of this kind and name was written."""
        return name in self.arrays.get(kind, ())

    def array(self, kind: str, name: str) -> Array:
        """An array that was written."""
        with self.held.open(self.arrays[kind][name]) as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
        return array

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
                packed = any(member.compress_type for member in held.infolist())
                manifest = None if packed else json.loads(held.read(MANIFEST).decode("utf-8"))
        except DAMAGED as error:
            raise self.refused(f"it cannot be read ({reason_of(error)})") from None
        if packed:  # what is packed may be a thousand times as large as the file
            raise self.refused("its members are packed, expected members that are stored")
        self.manifest: dict[str, Any] = self._checked(manifest, members)
        self.framework: str = self.manifest["framework"]
        self._held: zipfile.ZipFile | None = None

    def __enter__(self) -> Recording:
        """Keeps the file open, for who reads many arrays."""
        self._held = zipfile.ZipFile(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def verify(self) -> None:
        """Reads all of the file once.

        Raises:
            UsageError: a member is damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as held:
                damaged = held.testzip()
        except DAMAGED as error:
            raise self.refused(f"it cannot be read ({reason_of(error)})") from None
        if damaged is not None:
            raise self.refused(f"its member {damaged} is damaged")

    def holds(self, kind: str, name: str) -> bool:
        """Whether there is an array of this kind and name."""
        return name in self.manifest["arrays"].get(kind, ())

    def names(self, kind: str) -> list[str]:
        """The names of the arrays of one kind, in the order of writing."""
        return list(self.manifest["arrays"].get(kind, ()))

    def kinds(self, start: str) -> list[str]:
        """The kinds of arrays that begin so."""
        return [kind for kind in self.manifest["arrays"] if kind.startswith(start)]

    def array(self, kind: str, name: str) -> Array:
        """One array.

        Raises:
            UsageError: the file is damaged there, or holds none of this kind and name.
        """
        if not self.holds(kind, name):
            raise self.refused(f"it has no array {name} of {kind}")
        member = self.manifest["arrays"][kind][name]
        try:
            with self._opened() as held, held.open(member) as file:
                array: Array = np.lib.format.read_array(file, allow_pickle=False)
                if file.read(1):
                    raise ValueError("more than one array")
        except DAMAGED as error:
            raise self.refused(f"{kind} {name} cannot be read ({reason_of(error)})") from None
        return array

    def shape(self, kind: str, name: str) -> tuple[int, ...]:
        """The shape of an array that is held, of which no number is read.

        Raises:
            UsageError: as of `array`.
        """
        try:
            with self._opened() as held, held.open(self.manifest["arrays"][kind][name]) as file:
                shape: tuple[int, ...] = HEADERS[np.lib.format.read_magic(file)](file)[0]
        except DAMAGED as error:
            raise self.refused(f"{kind} {name} cannot be read ({reason_of(error)})") from None
        return shape

    def _opened(self) -> AbstractContextManager[zipfile.ZipFile]:
        return zipfile.ZipFile(self.path) if self._held is None else nullcontext(self._held)

    def refused(self, found: str) -> UsageError:
        """The error to raise where the file turns out to be no recording."""
        return UsageError(f"{self.path}: expected {WHAT}; {found}")

    def _checked(self, manifest: Any, members: list[str]) -> dict[str, Any]:
        """The manifest, where it is one and names what the file holds and nothing else."""
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise self.refused("its manifest is of another format")
        version = manifest.get("version")
        if version != VERSION:
            raise self.refused(
                f"it is of version {version!r}, this package reads version {VERSION}; record again"
            )
        wrong = misfit(manifest, Manifest)
        if wrong:
            raise self.refused(f"its manifest does not fit: {wrong}")
        named = [member for own in manifest["arrays"].values() for member in own.values()]
        if sorted([*named, MANIFEST]) != sorted(members):
            raise self.refused("its manifest and its members do not fit together")
        return manifest


def recording_of(model: Any) -> Any:
    """The recording that a path names, whole and undamaged; what is no such path as it is.

    Raises:
        UsageError: as of `Recording` and `Recording.verify`.
    """
    if not isinstance(model, (str, os.PathLike)) or not os.fspath(model).endswith(SUFFIX):
        return model
    recording = Recording(model)
    recording.verify()
    return recording
