"""Errors of capturing."""

from __future__ import annotations

from typing import Any

__all__ = ["CaptureError", "ContextError", "MissingKernelError", "UnfaithfulCaptureError"]


class CaptureError(RuntimeError):
    """A model could not be captured. The message names the user's line and says what can be done.

    Attributes:
        source: "file:line" in the user's code, "" where unknown.
        attempts: every rung tried, with its reason for failing.
        model: the user's model.
    """

    model: Any = None

    def __init__(
        self, message: str, source: str = "", attempts: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.source = source
        self.attempts = attempts


class ContextError(CaptureError):
    """A call was made in a mode of a framework that changes what models compute, or forbids it.

    Raised before anything was changed; names the mode.
    """


class MissingKernelError(CaptureError):
    """A model cannot be run where it is: the framework's build has no kernel for its precision."""


class UnfaithfulCaptureError(CaptureError):
    """A capture differs from eager and could not be repaired; names the place where it departs."""
