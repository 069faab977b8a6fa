"""Wrong use, told before anything was changed; and files that could not be written."""

from __future__ import annotations

__all__ = ["NotWrittenError", "UsageError", "UsageTypeError", "wants_memory"]

WANTING = (
    "can't allocate",
    "cannot allocate",
    "out of memory",
    "bad_alloc",
    "resourceexhausted",
    "memoryerror",
)
"""What frameworks say where the memory is not enough, in small letters, and what a side says of it
that raised it in its own process."""


class UsageError(ValueError):
    """A call that cannot mean anything: says what was expected, what was found, what to do.

    Raised before a model, an input or a global state is touched. The command line answers it with
    exit code 2 and no traceback.
    """


class UsageTypeError(UsageError, TypeError):
    """The same for an argument of the wrong type."""


class NotWrittenError(OSError):
    """A file could not be written; what stood in its place is as it was.

    The command line answers it with exit code 4; a verdict that was reached is told all the same.
    """


def wants_memory(error: BaseException) -> bool:
    """Whether an exception says that there was not enough memory."""
    said = str(error).lower()
    plain = isinstance(error, RuntimeError) and any(words in said for words in WANTING)
    return plain or isinstance(error, MemoryError)
