"""Lines of the user's code: which frames are the user's, which are a framework's own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from types import FrameType

import paddle

__all__ = ["in_user_code", "line_of", "user_line"]

PADDLE = os.path.dirname(paddle.__file__) + os.sep
MODELS = tuple(os.path.join(PADDLE, *parts) for parts in (("vision", "models"), ("text",), ("audio",)))
"""Parts of Paddle that are models: their lines are as good as the user's."""
LAYERS = os.path.join(PADDLE, "nn", "layer")
"""Layers of Paddle, named where no line of the user's is on the way."""
START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trace.py")
"""Where a forward is started: frames further out belong to whoever asked for the capture."""
OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')


@cache
def in_user_code(path: str) -> bool:
    """Whether a file belongs to the user's code or to a library of models."""
    if path.startswith(MODELS):
        return True
    return not path.startswith((PADDLE, OURS, "<")) and f"{os.sep}contextlib.py" not in path and f"{os.sep}_decorator.py" not in path and not path.endswith("decorator.py")


def line_of(frames: Sequence[str]) -> str:
    """ "file:line" of the innermost user frame among traceback lines (outermost first); "" where none is."""
    fallback = ""
    for text in reversed(frames):
        frame = FRAME.match(text)
        if frame is None:
            continue
        if frame["file"] == START:
            break
        if in_user_code(frame["file"]):
            return f"{frame['file']}:{frame['line']}"
        if not fallback and frame["file"].startswith(LAYERS) and not frame["file"].endswith("layers.py"):
            fallback = f"{frame['file']}:{frame['line']}"
    return fallback


def user_line(frame: FrameType | None) -> str:
    """The same, going outwards from a live frame."""
    while frame is not None and frame.f_code.co_filename != START:
        if in_user_code(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
