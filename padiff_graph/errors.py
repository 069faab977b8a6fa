"""Wrong use, told before anything was changed; and files that could not be written."""

from __future__ import annotations

__all__ = ["NotWrittenError", "UsageError", "UsageTypeError"]


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
