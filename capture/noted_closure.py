"""A closure that computes gradients within an optimizer's step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["noting_first"]


def noting_first(closure: Callable[[], Any], note: Callable[[], None]) -> Callable[[], Any]:
    """The closure, which notes something once, behind its first call: the gradients that the step
    begins with. Further calls are the optimizer's own trials."""
    calls: list[None] = []

    def noted() -> Any:
        answer = closure()
        if not calls:
            note()
        calls.append(None)
        return answer

    return noted
