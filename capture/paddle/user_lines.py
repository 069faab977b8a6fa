"""Lines of the user's code: which frames are the user's, which are a framework's own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from types import FrameType

import paddle
from paddle.jit.dy2static.origin_info import Location, global_origin_info_map

__all__ = ["OURS", "in_user_code", "line_of", "user_line", "written"]

PADDLE = os.path.dirname(paddle.__file__) + os.sep
MODELS = tuple(
    os.path.join(PADDLE, *parts) for parts in (("vision", "models"), ("text",), ("audio",))
)
"""Parts of Paddle that are models: their lines are as good as the user's."""
LAYERS = os.path.join(PADDLE, "nn", "layer")
"""Layers of Paddle, named where no line of the user's is on the way."""
START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trace.py")
"""Where a forward is started: frames further out belong to whoever asked for the capture."""
TRANSFORMED = "to_static_tmp"
"""Where Paddle writes transformed forwards."""
OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
"""The capture itself."""
FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')


@cache
def in_user_code(path: str) -> bool:
    """Whether a file belongs to the user's code or to a library of models."""
    if path.startswith(MODELS):
        return True
    return (
        TRANSFORMED not in path
        and not path.startswith((PADDLE, OURS, "<"))
        and f"{os.sep}contextlib.py" not in path
        and f"{os.sep}_decorator.py" not in path
        and not path.endswith("decorator.py")
    )


def written(path: str, line: int) -> tuple[str, int]:
    """Where the user wrote a line that Paddle's transform wrote anew."""
    if TRANSFORMED not in path:
        return path, line
    origin = global_origin_info_map.get(Location(path, line).line_location)
    return (
        (origin.location.filepath, origin.location.lineno) if origin is not None else (path, line)
    )


def line_of(frames: Sequence[str]) -> str:
    """ "file:line" of the innermost user frame among traceback lines (outermost first); "" where
    none is."""
    fallback = ""
    for text in reversed(frames):
        frame = FRAME.match(text)
        if frame is None:
            continue
        if frame["file"] == START:
            break
        file, line = written(frame["file"], int(frame["line"]))
        if in_user_code(file):
            return f"{file}:{line}"
        if (
            not fallback
            and frame["file"].startswith(LAYERS)
            and not frame["file"].endswith("layers.py")
        ):
            fallback = f"{frame['file']}:{frame['line']}"
    return fallback


def user_line(frame: FrameType | None) -> str:
    """The same, going outwards from a live frame."""
    while frame is not None and frame.f_code.co_filename != START:
        file, line = written(frame.f_code.co_filename, frame.f_lineno)
        if in_user_code(file):
            return f"{file}:{line}"
        frame = frame.f_back
    return ""
