"""Matching by place: the same surroundings, in corresponding modules.

Hashes of the whole ancestry end at the first difference. Beyond it a node is known by its near
surroundings together with its module's path, whose numbers tell repeated blocks apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.normal.index_map import Indices
from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import contradicted
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.unique_keys import only_pairs

__all__ = ["held_in_module", "like_surroundings", "surroundings"]

OWN, PLACE, OUTPUT = map(np.uint64, (0xD1B54A32D192ED03, 0x9E3779B97F4A7C15, 0x8CB92BA72F3D8DD7))
"""What labels, hashes that come with a place, and numbers of model outputs are multiplied by: odd
numbers without a pattern, so that sums of them tell what is in them."""

_Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def surroundings(
    state: State, which: int, radius: int, nodes: Sequence[int], anchored: bool = False
) -> dict[int, tuple[int, int]]:
    """For each of the nodes a hash of what stands up to `radius` operations above it, and one for
    below.

    The hashes of its operands, with their roles, are summed up, as those of its consumers: order
    tells nothing but by roles. All nodes' are worked out, which is soon done.
    """
    side = state.side(which)
    start = _anchored(state, which) if anchored else side.labels[LOOSE]
    labels = np.array(start, np.int64).view(np.uint64)
    readers, sources, roles = side.reads
    outputs = np.array([len(found) for found in side.outputs], np.uint64) * OUTPUT
    above = below = labels
    for _ in range(radius):
        above = _around(labels * OWN, readers, above[sources] * PLACE + roles)
        below = _around(labels * OWN + outputs, sources, below[readers] * PLACE + roles)
    found = above.view(np.int64).tolist(), below.view(np.int64).tolist()
    return {node: (found[0][node], found[1][node]) for node in nodes}


def _around(own: _Hashes, nodes: Indices, parts: _Hashes) -> _Hashes:
    """For each node a hash of its own and of the parts that go to it."""
    np.add.at(own, nodes, _mixed(parts))
    return _mixed(own)


def _mixed(numbers: _Hashes) -> _Hashes:
    """Every bit of each number spread over all of them, in place (the last steps of splitmix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers ^= numbers >> np.uint64(shift)
        numbers *= np.uint64(factor)
    numbers ^= numbers >> np.uint64(31)
    return numbers


def _anchored(state: State, which: int) -> list[int]:
    """Labels, of computing nodes that are matched their anchors."""
    side, anchors = state.side(which), state.anchors[which]
    labels = list(side.labels[LOOSE])
    for node in range(side.size):
        if anchors[node] and not side.leaf[node]:
            labels[node] = anchors[node]
    return labels


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
