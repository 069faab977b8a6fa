"""One call at a time: the modes that a capture switches are one for the whole process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ["one_at_a_time"]

P = ParamSpec("P")
R = TypeVar("R")
LOCK = threading.RLock()
"""Held by the call that runs; its own inner calls pass."""


ARITHMETIC: Any = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""numpy's own settings, outside of those that a caller may have switched on."""
AMBIENT = ("torch", "paddle")
"""Frameworks with modes that a caller may have switched on around a call."""


class _Outer:
    """How many calls are running, one inside the other."""

    calls = 0

    def __enter__(self) -> None:
        self.calls += 1

    def __exit__(self, *_: object) -> None:
        self.calls -= 1


_outer = _Outer()


def _ambients() -> list[Any]:
    """Of the frameworks that are loaded, what sets their modes aside."""
    loaded = [name for name in AMBIENT if name in sys.modules]
    return [import_module(f"padiff_graph.capture.{name}.ambient") for name in loaded]


def one_at_a_time(call: Callable[P, R]) -> Callable[P, R]:
    """A function that waits until no other thread is in a function marked like this, and that runs
    outside of the modes that its caller is in.

    Raises:
        ContextError: in a mode that can neither be set aside nor checked in.
    """

    @wraps(call)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with LOCK, ExitStack() as stack:
            if not _outer.calls:
                for module in _ambients():
                    stack.enter_context(module.set_aside((*args, *kwargs.values())))
                stack.enter_context(np.errstate(**ARITHMETIC))
            stack.enter_context(_outer)
            return call(*args, **kwargs)

    return alone
