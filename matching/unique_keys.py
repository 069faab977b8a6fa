"""Pairs by a key that stands once on each side: the elementary step of nearly every rung."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

__all__ = ["only_pairs"]


def only_pairs(
    first: Iterable[tuple[Hashable, int]], second: Iterable[tuple[Hashable, int]]
) -> list[tuple[int, int]]:
    """Pairs the nodes whose key no other node of their side has, in the order of the first side.

    Args:
        first, second: keyed nodes (numbers from 0) of each side; a node may come several times.
    """
    others = _only(second)
    pairs = [(node, others.get(key, -1)) for key, node in _only(first).items()]
    return [(node, other) for node, other in pairs if node >= 0 and other >= 0]


def _only(keyed: Iterable[tuple[Hashable, int]]) -> dict[Hashable, int]:
    """The node of each key, -1 where several have it."""
    places: dict[Hashable, int] = {}
    for key, node in keyed:
        if places.setdefault(key, node) != node:
            places[key] = -1
    return places
