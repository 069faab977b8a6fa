"""Mixed precision as a stand-in has it: which calls a framework casts, and where that is on.

Autocast leaves float64 alone, and on a CPU does little or nothing; so a stand-in casts by itself
what a GPU would cast, by the framework's own lists, and its graph shows these casts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MIXED", "Autocast", "Lists", "is_mixed", "low_name", "replaced"]

MIXED = "autocast-"
"""What a precision begins with where the weights stay float32 and autocast lowers the products."""


def is_mixed(precision: str) -> bool:
    """Whether a precision is asked as mixed: "autocast-bfloat16"."""
    return precision.startswith(MIXED)


def low_name(precision: str) -> str:
    """The half precision itself: "bfloat16" of "autocast-bfloat16"."""
    return precision.removeprefix(MIXED)


@dataclass(frozen=True)
class Lists:
    """Names of calls by what autocast does with their floating tensors.

    Attributes:
        lower: cast to the half precision.
        single: cast to float32.
        widest: cast to float32 where one of them is.
        back: computed in float32, the result in what the first one had.
        refused: cast inside, where a stand-in does not see it.
    """

    lower: Collection[str]
    single: Collection[str]
    widest: Collection[str]
    back: Collection[str] = ()
    refused: Collection[str] = ()

    @classmethod
    def of(cls, lower: str, single: str, widest: str, refused: str) -> Lists:
        """Of names between blanks."""
        groups = (frozenset(text.split()) for text in (lower, single, widest, refused))
        low, wide, promoted, inside = groups
        return cls(low, wide, promoted, refused=inside)


@dataclass
class Autocast:
    """Where autocast is on, while a stand-in runs.

    Attributes:
        low: name of the half precision that is stood for.
        lists: of the framework.
        blocks: whether it is on, the innermost block last.
    """

    low: str
    lists: Lists
    blocks: list[bool] = field(default_factory=lambda: [False])

    @property
    def on(self) -> bool:
        """Whether calls are cast at present."""
        return self.blocks[-1]

    def enter(self, enabled: bool, dtype: str | None) -> None:
        """A block of the code begins.

        Raises:
            RuntimeError: where it asks for another precision.
        """
        if enabled and dtype not in (None, self.low):
            raise RuntimeError(
                f"autocast in the forward asks for {dtype}, the check for {self.low}: ask both for "
                "one precision"
            )
        self.blocks.append(enabled)

    def leave(self) -> None:
        """The innermost block ends."""
        self.blocks.pop()

    def target(self, name: str, floats: Collection[bool]) -> bool | None:
        """To what a call's floating tensors are cast: True for the half precision, False for
        float32, None where they stay.

        Args:
            name: of the call.
            floats: of each of its floating tensors, whether it is in the half precision.

        Raises:
            RuntimeError: where the call is cast inside.
        """
        if not self.on or not floats:
            return None
        if name in self.lists.refused:
            raise RuntimeError(
                f"{name} inside of autocast is not emulated in half precision: spell it out, or "
                "leave it out of the block"
            )
        if name in self.lists.lower:
            return True
        mixed = name in self.lists.widest and len(set(floats)) > 1
        return False if mixed or name in self.lists.single or name in self.lists.back else None


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """An argument with its tensors changed, those in lists and tuples included."""
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(replaced(member, change) for member in value)
    return change(value)
