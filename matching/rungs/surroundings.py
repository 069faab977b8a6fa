"""Matching by place: the same surroundings, in corresponding modules.

Hashes of the whole ancestry end at the first difference. Beyond it a node is known by its near
surroundings together with its module's path, whose numbers tell repeated blocks apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import contradicted
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.sides import Side
from padiff_graph.matching.unique_keys import only_pairs

__all__ = ["held_in_module", "like_surroundings", "surroundings"]

OUTPUT = -7
"""Stands for a model output among the hashes of what reads a node."""
PART = 3
"""From one part in so many of a side on, all its surroundings are worked out: picking them costs
more."""


def surroundings(
    state: State, which: int, radius: int, nodes: Sequence[int], anchored: bool = False
) -> dict[int, tuple[int, int]]:
    """For each of the nodes a hash of what stands up to `radius` operations above it, and one for
    below."""
    side = state.side(which)
    start = _anchored(state, which) if anchored else side.labels[LOOSE]
    above = below = start
    for around in _needed(side, nodes, radius):
        higher, lower = list(start), list(start)
        for node in around:
            higher[node] = _operands_hash(side, node, start[node], above)
            lower[node] = _users_hash(side, node, start[node], below)
        above, below = higher, lower
    return {node: (above[node], below[node]) for node in nodes}


def _anchored(state: State, which: int) -> list[int]:
    """Labels, of computing nodes that are matched their anchors."""
    side, anchors = state.side(which), state.anchors[which]
    labels = list(side.labels[LOOSE])
    for node in range(side.size):
        if anchors[node] and not side.leaf[node]:
            labels[node] = anchors[node]
    return labels


def _operands_hash(side: Side, node: int, label: int, above: Sequence[int]) -> int:
    computes = side.computes
    parts = [hash((above[o.source], o.role)) for o in side.operands[node] if o.source in computes]
    if len(parts) > 1 and side.nodes[node].commutative:
        parts.sort()
    return hash((label, *parts))


def _users_hash(side: Side, node: int, label: int, below: Sequence[int]) -> int:
    parts = [hash((below[user], role)) for user, role, _, _ in side.users[node]]
    parts += [OUTPUT] * len(side.outputs[node])
    if len(parts) > 1:
        parts.sort()
    return hash((label, *parts))


def _needed(side: Side, wanted: Sequence[int], radius: int) -> list[Sequence[int]]:
    """The nodes whose surroundings matter in each round: at last the wanted ones, before that
    those around them."""
    rounds = [wanted]
    for _ in range(radius - 1):
        if len(wanted) * PART > len(side.computing):
            wanted = side.computing
        else:
            around = set(wanted)
            for node in wanted:
                around.update(operand.source for operand in side.operands[node])
                around.update(user for user, *_ in side.users[node])
            wanted = [node for node in around if node in side.computes]
        rounds.append(wanted)
    return rounds[::-1]


# -- rungs


def like_surroundings(state: State, rung: Rung, radius: int) -> int:
    """Matches open nodes alone in (module path, surroundings), the path in the other model's
    spelling."""
    count = 0
    for first, second in only_pairs(*(_by_place(state, which, radius) for which in (0, 1))):
        if not contradicted(state, first, second):
            count += rung.pair(state, first, second)
    return count


def _by_place(state: State, which: int, radius: int) -> Iterator[tuple[Hashable, int]]:
    keys = {node: state.names.key(which, node) for node in state.waiting(which)}
    named = [node for node, key in keys.items() if key is not None]
    near = surroundings(state, which, radius, named)
    labels = state.side(which).labels[LOOSE]
    return (((keys[node], near[node], labels[node]), node) for node in named)


def held_in_module(state: State, rung: Rung) -> int:
    """Matches nodes of one kind in corresponding modules all of whose operands, or consumers, are
    partners."""
    count = 0
    while True:
        # What is computed from the same values comes before what is read by the same operations.
        more = _held(state, rung, _sources) or _held(state, rung, _consumers)
        if not more:
            return count
        count += more


_Around = Callable[[State, int, int], tuple[int, ...]]


def _held(state: State, rung: Rung, around: _Around) -> int:
    pairs = only_pairs(*(_by_neighbours(state, which, around) for which in (0, 1)))
    return sum(rung.pair(state, first, second) for first, second in pairs)


def _by_neighbours(state: State, which: int, around: _Around) -> Iterator[tuple[Hashable, int]]:
    labels = state.side(which).labels[LOOSE]
    for node in state.waiting(which):
        name = state.names.key(which, node)
        if name is not None:
            near = around(state, which, node)
            if near:
                yield (name, near, labels[node]), node


def _consumers(state: State, which: int, node: int) -> tuple[int, ...]:
    """The matched consumers in the first side's numbers, outputs negative; nothing where one is
    open."""
    side, partner = state.side(which), state.partner[which]
    consumers = [-2 - position for position, _ in side.outputs[node]]
    for user, _, _, _ in side.users[node]:
        if partner[user] < 0:
            return ()
        consumers.append(user if which == 0 else partner[user])
    return tuple(sorted(consumers))


def _sources(state: State, which: int, node: int) -> tuple[int, ...]:
    """The matched sources of the operands in the first side's numbers; nothing where one is
    open."""
    partner = state.partner[which]
    sources = []
    for source in state.side(which).sources[node]:
        if partner[source] < 0:
            return ()
        sources.append(source if which == 0 else partner[source])
    return tuple(sorted(sources))
