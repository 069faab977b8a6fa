"""One call at a time: the modes that a capture switches are one for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["one_at_a_time"]

P = ParamSpec("P")
R = TypeVar("R")
LOCK = threading.RLock()
"""Held by the call that runs; its own inner calls pass."""


def one_at_a_time(call: Callable[P, R]) -> Callable[P, R]:
    """A function that waits until no other thread is in a function marked like this."""

    @wraps(call)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with LOCK:
            return call(*args, **kwargs)

    return alone
