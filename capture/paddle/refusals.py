"""What stops Paddle's backward, in words: its own refusal, or the user's code that raises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from padiff_graph.capture.engine import NotRunnable

__all__ = ["refusals_said"]

RAISED = re.compile(
    r"=== *Error message in backward of .*?=+\n(?P<said>.*?)\n\s*At:\n(?P<at>.*?)\n", re.DOTALL
)
"""How Paddle hands on what Python code raised in a backward: its words, and where."""
PLACE = re.compile(r"\s*(?P<file>.+)\((?P<line>\d+)\): (?P<name>.+)")


@contextmanager
def refusals_said() -> Iterator[None]:
    """Paddle's own refusals (a recurrent layer outside training mode, an operation without a
    backward, a custom function whose backward returns too much) are told as such, and so is what a
    custom function's backward raises."""
    try:
        yield
    except (RuntimeError, NotImplementedError, ValueError, OSError) as error:
        raise NotRunnable(f"Paddle cannot differentiate this: {_words(str(error))}") from error


def _words(text: str) -> str:
    """One line; of an exception in the user's code its type and place besides."""
    raised = RAISED.search(text)
    place = PLACE.match(raised["at"]) if raised else None
    if raised is None or place is None:
        return text.strip().splitlines()[0]
    said = raised["said"].strip().splitlines()[0]
    return f"{place['name']} raises {said} ({place['file']}:{place['line']})"
