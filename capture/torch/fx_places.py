"""Where an operation of an fx graph stands: module path, which call of the module, line in the user's code."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from types import FrameType
from typing import Any, NamedTuple

import torch

__all__ = ["OWN", "Place", "Places", "foreign", "innermost", "innermost_frame"]

OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
"""Files of the capture itself."""
WALL = OWN + "trace.py"
"""Where the user's model is called: the user's frames are inside of this one."""
FRAMEWORK = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
FRAME = re.compile(r'File "([^"]+)", line (\d+)')
ROOT = "model"
"""Attribute under which the traced wrapper holds the user's model."""


class Place(NamedTuple):
    """Module path, call of that module, "file:line"."""

    path: str = ""
    call: int = 0
    source: str = ""


def foreign(file: str) -> bool:
    """Whether a file belongs to torch or to the capture, so that the user's line is further out."""
    return file.startswith((FRAMEWORK, OWN, "<"))


@functools.lru_cache(maxsize=1 << 16)
def innermost(trace: str) -> str:
    """The innermost frame of a stack trace that is in the user's code, "" where there is none."""
    for file, line in reversed(FRAME.findall(trace)):
        if file == WALL:
            return ""
        if not foreign(file):
            return f"{file}:{line}"
    return ""


def innermost_frame(frame: FrameType | None) -> str:
    """The same for a running frame and those outside of it; "" where the user's model is not running."""
    found = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file == WALL and frame.f_code.co_name == "forward":
            return found
        if not found and not foreign(file):
            found = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class Places:
    """Reads places from fx metadata, with paths as `named_modules()` of the user's model spells them."""

    def __init__(self, model: torch.nn.Module) -> None:
        first: dict[int, str] = {}
        self.first_names: dict[str, str] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self.first_names[name] = first.setdefault(id(module), name)
        self.calls: dict[str, dict[Any, int]] = {}

    def place(self, meta: Mapping[str, Any]) -> Place:
        """The place of one fx node by its metadata."""
        stack = meta.get("nn_module_stack") or {}
        entries = [(key, entry[0]) for key, entry in stack.items()]
        trace = meta.get("stack_trace") or ""
        source = meta.get("padiff_source") or (innermost(trace) if trace else "")
        if not entries:
            return Place("", 0, source)
        path = entries[-1][1]
        name = (
            path.removeprefix(ROOT).removeprefix(".")
            if path == ROOT or path.startswith(ROOT + ".")
            else path
        )
        name = self.first_names.get(name, name)
        calls = self.calls.setdefault(name, {})
        return Place(name, calls.setdefault(tuple(key for key, _ in entries), len(calls)), source)

    def inside(self, meta: Mapping[str, Any]) -> bool:
        """Whether a node was recorded inside the user's model and not in the wrapper around it."""
        return len(meta.get("nn_module_stack") or {}) > 1
