"""Where an operation of an fx graph stands: module path, call of the module, the user's line."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from types import FrameType
from typing import Any, NamedTuple

import torch

__all__ = [
    "MODULES",
    "ROOT",
    "SOURCE",
    "Place",
    "Places",
    "foreign",
    "innermost",
    "innermost_frame",
]

OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
"""Files of the capture itself."""
WALL = OWN + "flat_model.py"
"""Where the user's model is called: the user's frames are inside of its `forward`."""
FRAMEWORK = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
FRAME = re.compile(r'File "([^"]+)", line (\d+)')
ROOT = "model"
"""Attribute under which the traced wrapper holds the user's model."""
MODULES = "nn_module_stack"
"""fx metadata, torch.export's own: (path, class) of the modules around a node, outermost first, by
a key for the call."""
SOURCE = "padiff_source"
"""fx metadata, noted by `fx_notes`: the user's line."""


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
    """The innermost frame of a stack trace in the user's code, "" where there is none."""
    for file, line in reversed(FRAME.findall(trace)):
        if file == WALL:
            return ""
        if not foreign(file):
            return f"{file}:{line}"
    return ""


def innermost_frame(frame: FrameType | None) -> str:
    """The same for a running frame and those around it; "" where the model is not running."""
    line = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file == WALL and frame.f_code.co_name == "forward":
            return line
        if not line and not foreign(file):
            line = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class Places:
    """Reads places from fx metadata, with paths as the user's `named_modules()` spells them."""

    def __init__(self, model: torch.nn.Module) -> None:
        first: dict[int, str] = {}
        self.first_names: dict[str, str] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self.first_names[name] = first.setdefault(id(module), name)
        self.calls: dict[str, dict[Any, int]] = {}

    def place(self, meta: Mapping[str, Any]) -> Place:
        """The place of one fx node by its metadata."""
        source = meta.get(SOURCE) or innermost(meta.get("stack_trace") or "")
        around = meta.get(MODULES) or {}
        if not around:
            return Place("", 0, source)
        *_, (path, _class) = around.values()
        if path == ROOT or path.startswith(ROOT + "."):
            path = path[len(ROOT) + 1 :]
        path = self.first_names.get(path, path)
        calls = self.calls.setdefault(path, {})
        return Place(path, calls.setdefault(tuple(around), len(calls)), source)

    def inside(self, meta: Mapping[str, Any]) -> bool:
        """Whether a node was recorded inside the user's model and not in the wrapper around it."""
        return len(meta.get(MODULES) or {}) > 1
