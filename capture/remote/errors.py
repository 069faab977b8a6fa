"""Errors of the other process, raised here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.capture.capture_errors import (
    CaptureError,
    ContextError,
    UnfaithfulCaptureError,
)
from padiff_graph.capture.engine import NotRunnable

__all__ = ["ElsewhereError", "SideEndedError", "error_data", "raised_there"]


class ElsewhereError(RuntimeError):
    """What the user's code raised in the other process; the message says of which type, and where.

    Attributes:
        trace: the traceback there.
    """

    trace: str = ""


class SideEndedError(ElsewhereError):
    """The other process is gone, or does not answer."""


CAPTURE = {cls.__name__: cls for cls in (CaptureError, ContextError, UnfaithfulCaptureError)}
OWN: Mapping[str, type[Exception]] = {
    cls.__name__: cls
    for cls in (NotRunnable, ValueError, KeyError, TypeError, NotImplementedError, RuntimeError)
}
"""Exceptions that mean something to who asks."""


def error_data(error: BaseException, place: str, trace: str) -> dict[str, Any]:
    """An exception as plain data.

    Args:
        place: " at file:line" of the user's code, "" where none of it raised.
        trace: the traceback as text.
    """
    return {
        "type": type(error).__name__,
        "kinds": [cls.__name__ for cls in type(error).__mro__],
        "text": str(error),
        "place": place,
        "trace": trace,
        "source": getattr(error, "source", ""),
        "attempts": [list(attempt) for attempt in getattr(error, "attempts", ())],
    }


def raised_there(data: Mapping[str, Any]) -> Exception:
    """The exception to raise here."""
    name, text = data["type"], data["text"]
    if name in CAPTURE:
        attempts = tuple((way, reason) for way, reason in data["attempts"])
        return CAPTURE[name](text, data["source"], attempts)
    own = next((OWN[kind] for kind in data["kinds"] if kind in OWN), None)
    if own is not None and not data["place"]:
        return own(text)
    error = ElsewhereError(f"{name}{data['place']}" + (f": {text}" if text else ""))
    error.trace = data["trace"]
    return error
