"""Ordered hashes of everything above or below a node, and matching what they make unique.

The hash from above covers a node's whole ancestry down from the graph's inputs, the hash from below
everything that depends on it, both with operand order. Unlike Weisfeiler-Lehman refinement they
reach through the whole graph in one pass. Nodes that are matched count as anchors: both sides get
the same number there, whatever lies behind.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import wraps

from padiff_graph.matching.labels import EXACT, LOOSE
from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import contradicted, crossed, like_operands, like_users
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.unique_keys import only_pairs

__all__ = [
    "alike_above",
    "alike_below",
    "alike_between",
    "alike_throughout",
    "from_above",
    "from_below",
    "read_below",
    "votes",
]


def _kept(compute: Callable[[State, int, int, bool], list[int]]) -> Callable[..., list[int]]:
    """A pass over one side, made again only where a match came or went since."""

    @wraps(compute)
    def hashes_of(state: State, which: int, level: int, anchored: bool = True) -> list[int]:
        key = (compute.__name__, which, level, anchored)
        changes, hashes = state.hashes.get(key, (-1, []))
        if changes != state.changes:
            hashes = compute(state, which, level, anchored)
            state.hashes[key] = (state.changes, hashes)
        return hashes

    return hashes_of


@_kept
def from_above(state: State, which: int, level: int, anchored: bool = True) -> list[int]:
    """For every computing node a hash of what it is computed from."""
    side = state.side(which)
    labels = side.labels[level]
    exact = level == EXACT
    hashes = list(state.anchors[which]) if anchored else [0] * side.size
    for node in side.inputs:
        hashes[node] = hashes[node] or labels[node]
    for node in state.waiting(which) if anchored else side.computing:
        parts = []
        for operand in side.operands[node]:
            weight = side.weight[operand.source]
            above = 0 if weight else hashes[operand.source]
            if not exact:
                parts.append(hash((above, operand.role, 0)))
            elif not weight:
                parts.append(hash((above, operand.role, operand.label)))
            else:  # where weights come from, a parameter or several, only exactness asks
                parts.append(hash((1, operand.role)))
        if side.nodes[node].commutative:
            parts.sort()
        hashes[node] = hash((labels[node], *parts))
    return hashes


@_kept
def from_below(state: State, which: int, level: int, anchored: bool = True) -> list[int]:
    """For every computing node a hash of what is computed from it."""
    side = state.side(which)
    labels = side.labels[level]
    exact, loose = level == EXACT, level >= LOOSE
    hashes = list(state.anchors[which]) if anchored else [0] * side.size
    for node in reversed(state.waiting(which) if anchored else side.computing):
        users = side.users[node]
        if exact:
            parts = [hash((hashes[user], role, label)) for user, role, label, _ in users]
        else:
            parts = [hash((hashes[user], role, 0)) for user, role, _, _ in users]
        for position, output in side.outputs[node]:
            parts.append(hash(("output", 0 if loose else position, output)))
        if len(parts) > 1:
            parts = sorted(set(parts) if loose else parts)
        hashes[node] = hash((labels[node], *parts))
    return hashes


@_kept
def read_below(state: State, which: int, level: int, anchored: bool = True) -> list[int]:
    """For every computing node a hash of what it looks like and of what sums and products below
    tell it apart by: by what they multiply it, and what they add to it."""
    side = state.side(which)
    labels = side.labels[level]
    hashes = list(state.anchors[which]) if anchored else [0] * side.size
    for node in reversed(state.waiting(which) if anchored else side.computing):
        parts = set()
        for user, _, _, position in side.users[node]:
            factors = side.factors.get(user)
            parts.add(hash((hashes[user], factors[position] if factors else None)))
        hashes[node] = hash((labels[node], *sorted(parts)))
    return hashes


# -- rungs


def alike_throughout(state: State, rung: Rung, level: int) -> int:
    """Matches nodes that are alike in everything above and everything below, and alone in that."""
    count = 0
    for first, second in only_pairs(*(_throughout(state, which, level) for which in (0, 1))):
        count += rung.pair(state, first, second)
    return count


def alike_between(state: State, rung: Rung, level: int) -> int:
    """Matches nodes alike up to what is matched, above and below, unless their paths disagree."""
    count = 0
    for first, second in only_pairs(*(_throughout(state, which, level) for which in (0, 1))):
        if state.names.agree(first, second) is not False and not crossed(state, first, second):
            count += rung.pair(state, first, second)
    return count


def alike_above(state: State, rung: Rung, level: int) -> int:
    """Matches nodes alike in everything above, alone in that, whose consumers look alike too.

    A pair whose path numbers disagree is left to later rungs: a run of equal blocks may be shifted.
    """
    return _one_sided(state, rung, level, from_above, like_users)


def alike_below(state: State, rung: Rung, level: int) -> int:
    """Matches nodes alike in everything below, alone in that, whose operands look alike too."""
    return _one_sided(state, rung, level, from_below, like_operands)


def _one_sided(
    state: State,
    rung: Rung,
    level: int,
    hashes: Callable[[State, int, int], list[int]],
    confirmed: Callable[[State, int, int], bool],
) -> int:
    count = 0
    for first, second in only_pairs(*(_keyed(state, which, level, hashes) for which in (0, 1))):
        if state.names.agree(first, second) is False or contradicted(state, first, second):
            continue
        if confirmed(state, first, second) and not crossed(state, first, second):
            count += rung.pair(state, first, second)
    return count


def votes(state: State, level: int) -> list[tuple[int, int]]:
    """Pairs that a hash from above or from below alone would match, right or not: to learn names
    from."""
    pairs: list[tuple[int, int]] = []
    for hashes in (from_above, from_below):
        pairs += only_pairs(*(_keyed(state, which, level, hashes) for which in (0, 1)))
    return pairs


def _keyed(
    state: State, which: int, level: int, hashes: Callable[[State, int, int], list[int]]
) -> Iterator[tuple[Hashable, int]]:
    """The open nodes of one side by a hash of one direction."""
    kept = hashes(state, which, level)
    return ((kept[node], node) for node in state.waiting(which))


def _throughout(state: State, which: int, level: int) -> Iterator[tuple[Hashable, int]]:
    """The open nodes of one side by their hashes of both directions."""
    above, below = from_above(state, which, level), from_below(state, which, level)
    return (((above[node], below[node]), node) for node in state.waiting(which))
