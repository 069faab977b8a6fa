"""Matching by place: the same surroundings, in corresponding modules.

Hashes of the whole ancestry end at the first difference. Beyond it a node is known by its near
surroundings together with its module's path, whose numbers tell repeated blocks apart.
"""

from __future__ import annotations

from collections.abc import Hashable

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.state import State

__all__ = ["by_place", "surroundings"]


def surroundings(state: State, which: int, radius: int, level: int = LOOSE, anchored: bool = False) -> list[tuple[int, int]]:
    """For every node a hash of what stands up to `radius` operations above it, and one for below."""
    side = state.side(which)
    labels = side.labels[level]
    partner = state.partner[which]
    start = [
        hash(("matched", node if which == 0 else partner[node])) if anchored and partner[node] >= 0 and not side.leaf[node] else labels[node]
        for node in range(side.size)
    ]
    above, below = list(start), list(start)
    for _ in range(radius):
        higher = list(start)
        lower = list(start)
        for node in side.computing:
            parts = [hash((above[o.source], o.role)) for o in side.operands[node] if not side.leaf[o.source] and not side.weight[o.source]]
            if side.nodes[node].commutative:
                parts.sort()
            higher[node] = hash((start[node], *parts))
            uses = sorted([hash((below[user], role)) for user, role, _, _ in side.users[node]] + [-7 for _ in side.outputs[node]])
            lower[node] = hash((start[node], *uses))
        above, below = higher, lower
    return list(zip(above, below, strict=True))


def by_place(state: State, radius: int) -> int:
    """Matches open nodes alone in (module path, surroundings), the path in the other model's spelling.

    With radius 0 the surroundings are what is matched: all operands or all consumers must be partners.
    """
    seen: list[dict[Hashable, int]] = []
    for which in (0, 1):
        near = surroundings(state, which, radius) if radius else None
        labels = state.side(which).labels[LOOSE]
        places: dict[Hashable, int] = {}
        for node in state.side(which).computing:
            if state.partner[which][node] >= 0:
                continue
            name = state.names.key(which, node)
            if name is None:
                continue
            key = (name, near[node] if near else 0, labels[node])
            places[key] = -1 if key in places else node
        seen.append(places)
    found = []
    for key, first in seen[0].items():
        second = seen[1].get(key, -1)
        if first >= 0 and second >= 0:
            found.append((first, second))
    if radius:
        words = f"the same surroundings {radius} operations around, in corresponding modules"
        return sum(
            state.pair(first, second, "place", 0.9 if radius > 1 else 0.8, words) for first, second in found if not state.contradicted(first, second)
        )
    return _held(state, found)


def _held(state: State, found: list[tuple[int, int]]) -> int:
    """Of these pairs, matches those that partners hold from above or below, as long as there are any."""
    count = 0
    again = True
    while again:
        again = False
        for first, second in found:
            if not state.may(first, second):
                continue
            matched, total = state.agreeing_operands(first, second)
            used, uses = state.agreeing_users(first, second)
            if matched == total > 0 or used == uses > 0:
                again = state.pair(first, second, "place", 0.8, "the only one of its kind in corresponding modules, next to what is matched")
                count += again
    return count
