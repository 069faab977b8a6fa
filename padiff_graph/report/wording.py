"""Words that several views share: counted things, long lists cut short."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["cut_short", "noun"]


def noun(plural: str, count: int) -> str:
    """The noun for a count: `regions`, and `region` for one."""
    if count == 1:
        return plural.removesuffix("s")
    return plural


def cut_short(names: Sequence[str], limit: int) -> str:
    """Names in a row, `limit` of them at most: "a, b and 3 more"."""
    text = ", ".join(names[:limit])
    if len(names) > limit:
        text += f" and {len(names) - limit} more"
    return text
