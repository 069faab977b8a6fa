"""One parameter that neither run of a check reads."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UnreadParameter"]


@dataclass(frozen=True, slots=True)
class UnreadParameter:
    """A parameter that neither run reads, so that nothing was compared of it but its numbers.

    Attributes:
        first, second: its dotted names in both models; "" where one has none that corresponds.
        shape: in the first model, in the second where the first has none.
        equal: whether both hold the same numbers, a transpose left out of account; None where one
            model has no such parameter.
    """

    first: str
    second: str
    shape: tuple[int, ...]
    equal: bool | None
