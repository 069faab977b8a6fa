"""Files from others: JSON and numpy's files, with every way in which they may be damaged or made to
hurt as one exception."""

from __future__ import annotations

import json
import os
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np

__all__ = ["DAMAGED", "UnreadableFile", "load_arrays", "load_json", "reason_of"]

Array = np.ndarray[Any, Any]

DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    MemoryError,  # a header that claims more than there is
    RuntimeError,  # an encrypted member; a depth beyond the recursion limit
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile, json and numpy's readers raise where a file is not what they expect."""
REASON = 200
"""Characters of a reason that are told; chosen so that it stays a sentence."""


class UnreadableFile(Exception):
    """A file from somebody else cannot be read; says why, in a few words."""


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read, in one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error).strip("'\"") or type(error).__name__
    return text if len(text) <= REASON else f"{text[:REASON]} ..."


def load_json(path: str | os.PathLike[str]) -> Any:
    """What a file of JSON holds.

    Raises:
        UnreadableFile: it cannot be opened, is no JSON or is nested too deeply.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except DAMAGED as error:
        raise UnreadableFile(reason_of(error)) from None


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of an .npz file by name; that of an .npy file as "".

    Raises:
        UnreadableFile: it cannot be opened, is damaged or holds something else; objects, which
            would be code, are not read.
    """
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            named = dict(loaded.items()) if hasattr(loaded, "items") else {"": loaded}
    except DAMAGED as error:
        raise UnreadableFile(reason_of(error)) from None
    for name, array in named.items():
        if not isinstance(array, np.ndarray):
            raise UnreadableFile(f"its member {name} is no array")
    return named
