"""The line of code behind a "file:line"."""

from __future__ import annotations

import linecache
import os

__all__ = ["code_line", "short_source"]


def code_line(source: str) -> str:
    """The line, stripped; "" where the file or the line is not there."""
    file, _, line = source.rpartition(":")
    if not file or not line.isdigit():
        return ""
    return linecache.getline(file, int(line)).strip()


def short_source(source: str, folder: str = os.curdir) -> str:
    """The file relative to a folder, the working directory, where it lies inside.

    Behind "site-packages" where it is installed.
    """
    file, colon, line = source.rpartition(":")
    if not colon:
        return source
    for marker in ("site-packages", "dist-packages"):
        inside = file.rpartition(f"{os.sep}{marker}{os.sep}")
        if inside[1]:
            return f"{inside[2]}:{line}"
    relative = os.path.relpath(file, folder)
    if relative.startswith(".."):
        relative = file
    return f"{relative}:{line}"
