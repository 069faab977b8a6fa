"""What stops torch's backward, in words: its own refusal, or the user's code that raises."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.torch.fx_places import foreign

__all__ = ["refusals_said"]

ALLOCATION = "allocate memory"
"""What torch's allocator for the CPU says, in a plain RuntimeError."""


@contextmanager
def refusals_said() -> Iterator[None]:
    """Whatever a backward raises becomes a `NotRunnable` that says so in one line; a want of memory
    passes through.

    A custom function's backward and a hook are the user's code and may raise anything.
    """
    try:
        yield
    except (NotRunnable, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if ALLOCATION in str(error):
            raise
        raise NotRunnable(f"torch cannot differentiate this: {_words(error)}") from error


def _words(error: Exception) -> str:
    """One line; of an exception in the user's code its type and place besides."""
    line = (str(error).strip().splitlines() or [""])[0]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not foreign(frame.filename):
            said = f": {line}" if line else ""
            place = f"{frame.filename}:{frame.lineno}"
            return f"{frame.name} raises {type(error).__name__}{said} ({place})"
    return line or type(error).__name__
