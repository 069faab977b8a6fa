"""Parted operations that hang together are one cause."""

from __future__ import annotations

from collections.abc import Iterable

from padiff_graph.matching.result import Matching
from padiff_graph.precision.profiles import Parted

__all__ = ["grouped"]


def grouped(parted: Iterable[Parted], matching: Matching) -> list[list[Parted]]:
    """Operations of which one reads the other, parted the same way, in the order of the data."""
    by_node = {pair.second: pair for pair in parted}
    group_of: dict[int, list[Parted]] = {}
    groups: list[list[Parted]] = []
    for number, pair in sorted(by_node.items()):
        read = [edge.source for edge in matching.second.nodes[number].inputs if edge is not None]
        joined = [
            group_of[source]
            for source in read
            if source in group_of and _way(by_node[source]) == _way(pair)
        ]
        if joined:
            group = joined[0]
        else:
            group = []
            groups.append(group)
        group.append(pair)
        group_of[number] = group
    return groups


def _way(pair: Parted) -> tuple[str, str, bool]:
    """Which precision each side has, at the last part that differs, and whether a kernel has it."""
    part = pair.parts[-1]
    return pair.first_profile[part], pair.second_profile[part], pair.kernel
