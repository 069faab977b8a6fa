"""Wrong use of the library, told before anything was changed."""

from __future__ import annotations

__all__ = ["UsageError", "UsageTypeError"]


class UsageError(ValueError):
    """A call that cannot mean anything: says what was expected, what was found, what to do.

    Raised before a model, an input or a global state is touched. The command line answers it with
    exit code 2 and no traceback.
    """


class UsageTypeError(UsageError, TypeError):
    """The same for an argument of the wrong type."""
