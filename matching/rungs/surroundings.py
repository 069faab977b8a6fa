"""Matching by place: the same surroundings, in corresponding modules.

Hashes of the whole ancestry end at the first difference. Beyond it a node is known by its near
surroundings together with its module's path, whose numbers tell repeated blocks apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from padiff_graph.matching.labels import LOOSE, Side
from padiff_graph.matching.match_state import State

__all__ = ["by_place", "surroundings"]


def surroundings(
    state: State, which: int, radius: int, nodes: Sequence[int], anchored: bool = False
) -> dict[int, tuple[int, int]]:
    """For each of the nodes a hash of what stands up to `radius` operations above it, and one for below."""
    side = state.side(which)
    start = side.labels[LOOSE]
    if anchored:
        start = [
            label if leaf else anchor or label
            for label, leaf, anchor in zip(start, side.leaf, state.anchors[which], strict=True)
        ]
    computes = side.computes
    above = below = start
    for around in _needed(side, nodes, radius):
        higher = list(start)
        lower = list(start)
        for node in around:
            parts = [
                hash((above[o.source], o.role)) for o in side.operands[node] if o.source in computes
            ]
            if len(parts) > 1 and side.nodes[node].commutative:
                parts.sort()
            higher[node] = hash((start[node], *parts))
            uses = [hash((below[user], role)) for user, role, _, _ in side.users[node]]
            if side.outputs[node]:
                uses += [-7] * len(side.outputs[node])
            if len(uses) > 1:
                uses.sort()
            lower[node] = hash((start[node], *uses))
        above, below = higher, lower
    return {node: (above[node], below[node]) for node in nodes}


def _needed(side: Side, wanted: Sequence[int], radius: int) -> list[Sequence[int]]:
    """The nodes whose surroundings matter in each round: at last the wanted ones, before that those around them."""
    rounds = [wanted]
    for _ in range(radius - 1):
        if len(wanted) * 3 > len(side.computing):
            wanted = side.computing
        else:
            around = set(wanted)
            for node in wanted:
                around.update(o.source for o in side.operands[node])
                around.update(user for user, *_ in side.users[node])
            wanted = [node for node in around if node in side.computes]
        rounds.append(wanted)
    return rounds[::-1]


def by_place(state: State, radius: int) -> int:
    """Matches open nodes alone in (module path, surroundings), the path in the other model's spelling.

    With radius 0 the surroundings are what is matched: all operands or all consumers must be partners.
    """
    if not radius:
        return _held(state)
    seen: list[dict[Hashable, int]] = []
    for which in (0, 1):
        named = {
            node: name
            for node in state.waiting(which)
            if (name := state.names.key(which, node)) is not None
        }
        near = surroundings(state, which, radius, list(named))
        labels = state.side(which).labels[LOOSE]
        places: dict[Hashable, int] = {}
        for node, name in named.items():
            place = (name, near[node], labels[node])
            places[place] = -1 if place in places else node
        seen.append(places)
    words = f"the same surroundings {radius} operations around, in corresponding modules"
    count = 0
    for key, first in seen[0].items():
        second = seen[1].get(key, -1)
        if first >= 0 and second >= 0 and not state.contradicted(first, second):
            count += state.pair(first, second, "place", 0.9 if radius > 1 else 0.8, words)
    return count


def _held(state: State) -> int:
    """Matches nodes of one kind in corresponding modules that partners hold whole from below, or from above."""
    count = 0
    again = True
    reason = "the only one of its kind in corresponding modules next to what is matched"
    while again:
        again = False
        for held in (_sources, _consumers):
            seen: list[dict[Hashable, int]] = []
            for which in (0, 1):
                labels = state.side(which).labels[LOOSE]
                places: dict[Hashable, int] = {}
                for node in state.waiting(which):
                    name = state.names.key(which, node)
                    around = held(state, which, node) if name is not None else None
                    if around:
                        place = (name, around, labels[node])
                        places[place] = -1 if place in places else node
                seen.append(places)
            for key, first in seen[0].items():
                second = seen[1].get(key, -1)
                if first >= 0 and second >= 0 and state.pair(first, second, "place", 0.8, reason):
                    count += 1
                    again = True
            if again:
                # What is computed from the same values comes before what is read by the same operations.
                break
    return count


def _consumers(state: State, which: int, node: int) -> tuple[int, ...]:
    """The matched consumers in the first side's numbers, outputs negative; nothing where one is open."""
    side = state.side(which)
    partner = state.partner[which]
    found = [-2 - position for position, _ in side.outputs[node]]
    for user, _, _, _ in side.users[node]:
        if partner[user] < 0:
            return ()
        found.append(user if which == 0 else partner[user])
    return tuple(sorted(found))


def _sources(state: State, which: int, node: int) -> tuple[int, ...]:
    """The matched sources of the operands in the first side's numbers; nothing where one is open."""
    side = state.side(which)
    partner = state.partner[which]
    found = []
    for source in side.sources[node]:
        if partner[source] < 0:
            return ()
        found.append(source if which == 0 else partner[source])
    return tuple(sorted(found))
