"""Saved outputs of two runs are read and held against each other before anything runs."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padiff_graph.errors import UsageError
from padiff_graph.request.saved_outputs import read_saved


def _saved(folder: Path, first: Any, second: Any) -> tuple[str, str]:
    paths = []
    for name, arrays in (("first", first), ("second", second)):
        if isinstance(arrays, dict):
            np.savez(folder / f"{name}.npz", **arrays)
            paths.append(str(folder / f"{name}.npz"))
        else:
            np.save(folder / f"{name}.npy", arrays)
            paths.append(str(folder / f"{name}.npy"))
    return paths[0], paths[1]


def test_arrays_are_found_by_name_or_by_place(tmp_path: Path) -> None:
    one, other = np.arange(3.0), np.arange(4.0)
    saved = read_saved(*_saved(tmp_path, {"a": one, "b": other}, {"b": other + 1, "a": one}))
    named = saved.of(1, ("a", "a"), 2)
    assert named is not None
    assert (named[0] == one).all()
    placed = saved.of(1, ("x", "y"), 2)
    assert placed is not None
    assert (placed[1] - placed[0] == 1).all()
    assert saved.of(0, ("x", "y"), 3) is None


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"a": np.ones(2)}, {"a": np.ones(2), "b": np.ones(2)}, "the same outputs"),
        (np.ones(2), np.ones(3), "has shape"),
        (np.ones(2), np.array(["x", "y"]), "save it as float32"),
        (np.ones(2), np.ones(2, dtype="V2"), "save it as float32"),
        ({}, {}, "holds no array"),
        (np.ones(2), np.array([object()]), "cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, first: Any, second: Any, said: str
) -> None:
    paths = _saved(tmp_path, first, second)
    with pytest.raises(UsageError, match=said):
        read_saved(*paths)


def test_files_that_hold_no_arrays_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.npy"
    text.write_text("no array")
    for path in (str(text), str(tmp_path), str(tmp_path / "none.npy")):
        with pytest.raises(UsageError, match="cannot be read"):
            read_saved(path, path)


def _packed(member: str, data: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(member, data)
    return held.getvalue()


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _torn(data: bytes) -> bytes:
    return data[:80] + bytes(byte ^ 255 for byte in data[80:120]) + data[120:]


DAMAGED = (
    _packed("x.npy", _header("(2,)")),
    _torn(_packed("x.npy", _header("(512,)") + bytes(range(256)) * 8)),
    _packed("x.txt", b"no array"),
    _packed("x.npy", _header(f"({10**15}, 4)")),
    _header(f"({10**15}, 4)"),
    _header("(" * 3000),
)


@pytest.mark.parametrize("data", DAMAGED)
def test_damaged_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="cannot be read"):
        read_saved(str(path), str(path))
