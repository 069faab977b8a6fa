"""Wrong use, told before anything was changed; and files that could not be written."""

from __future__ import annotations

__all__ = ["NotWrittenError", "UsageError", "UsageTypeError", "short_message", "wants_memory"]

LENGTH = 300
"""Characters of an exception's message that are told; chosen so that it stays a few lines."""
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


def short_message(text: str) -> str:
    """The lines of a message that say something: Paddle sets them among rulers and stacks."""
    lines = [line.strip() for line in text.splitlines()]
    said = " ".join(line for line in lines if line and not line.startswith(("---", "***")))
    return said if len(said) <= LENGTH else f"{said[:LENGTH]} ..."
