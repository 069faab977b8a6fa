"""Why something was found, as plain data: a kind of a closed list, and the values that belong to
it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

__all__ = ["Cause"]

PLACES = frozenset(
    {
        "path",
        "first_path",
        "second_path",
        "first_from",
        "second_from",
        "modules",
        "left_out",
        "region",
        "reads",
    }
)
"""Facts that say where a cause stands: equal causes differ in them."""
PARAMETERS = frozenset({"parameter", "first_name", "second_name", "towards"})
"""Facts that name a parameter or value by its dotted name: equal causes share its own name."""
SIDES = frozenset({"side", "of"})
"""Facts that say which model is meant, 0 or 1: no number to leave out."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause. `cause_sentences.sentence` says it in English; nothing decides anything by that
    sentence.

    Attributes:
        kind: an id of `cause_kinds.KINDS`.
        facts: named values: operators, dotted names, module paths, numbers, `side` (0 or 1: the
            model that the cause speaks of), causes that this one is about.
        seen: what the numbers show of it, where they were asked and say something.
        further: what else is to be said, in this order.
    """

    kind: str
    facts: tuple[tuple[str, object], ...] = ()
    seen: Cause | None = None
    further: tuple[Cause, ...] = ()

    @classmethod
    def of(cls, kind: str, /, **facts: object) -> Cause:
        """A cause with facts by name."""
        return cls(kind, tuple(facts.items()))

    def get(self, name: str) -> object:
        """The fact of that name, None where there is none."""
        return dict(self.facts).get(name)

    def speaks_of(self, kind: str) -> bool:
        """Whether it, what the numbers show of it or what else is said of it is of a kind."""
        told = [*self.further, *([] if self.seen is None else [self.seen])]
        return self.kind == kind or any(cause.speaks_of(kind) for cause in told)

    def showing(self, seen: Cause | None) -> Cause:
        """The same with what the numbers show of it."""
        return replace(self, seen=seen)

    def followed_by(self, *causes: Cause) -> Cause:
        """The same with more to say."""
        return replace(self, further=(*self.further, *causes))

    @property
    def likeness(self) -> Hashable:
        """Equal for causes that are one cause at several places: places and numbers are left out,
        and of dotted names all but the last word."""
        return (
            self.kind,
            tuple((name, _likeness(name, value)) for name, value in self.facts),
            None if self.seen is None else self.seen.likeness,
            tuple(cause.likeness for cause in self.further),
        )


def _likeness(name: str, value: object) -> Hashable:
    """What of one fact equal causes share."""
    if isinstance(value, Cause):
        return value.likeness
    if name in PLACES or (_is_number(value) and name not in SIDES):
        return None
    if isinstance(value, tuple):
        return tuple(_likeness(name, member) for member in value if not _is_number(member))
    if name in PARAMETERS and isinstance(value, str):
        return value.rpartition(".")[2]
    return value if isinstance(value, Hashable) else repr(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
