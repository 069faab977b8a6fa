"""Python's garbage collector, out of the way of large graphs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collection"]


@contextmanager
def without_collection() -> Iterator[None]:
    """Many small objects and no cycles: the garbage collector only costs time. As before
    afterwards.

    What was made meanwhile counts as old then, without the walk over all of it that the next
    allocation would start.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            if not gc.get_freeze_count():  # thawing would undo the freezing of whoever runs this
                gc.freeze()
                gc.unfreeze()
            gc.enable()
