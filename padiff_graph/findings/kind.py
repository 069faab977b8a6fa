"""One row of the list of causes."""

from __future__ import annotations

from dataclasses import dataclass

from padiff_graph.findings.cause import Cause

__all__ = ["Kind", "kind_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of cause.

    Attributes:
        id: stable, dotted: the family, then the kind.
        meaning: in one line, for a person.
        example: a cause of this kind, as a finding has it.
    """

    id: str
    meaning: str
    example: Cause


def kind_of(id: str, meaning: str, /, **facts: object) -> Kind:
    """A row whose example has these facts."""
    return Kind(id, meaning, Cause.of(id, **facts))
