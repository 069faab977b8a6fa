"""Ordered hashes of everything above or below a node, and matching what they make unique.

The hash from above covers a node's whole ancestry down from the graph's inputs, the hash from below
everything that depends on it, both with operand order. Unlike Weisfeiler-Lehman refinement they reach
through the whole graph in one pass. Nodes that are matched count as anchors: both sides get the same
number there, whatever lies behind.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import wraps

from padiff_graph.matching.labels import EXACT, LOOSE, PLAIN
from padiff_graph.matching.match_state import State

__all__ = ["from_above", "from_below", "one_sided", "two_sided", "votes"]

_WORDS = {
    EXACT: "operators, attributes, views",
    PLAIN: "operators and sizes",
    LOOSE: "operators and parameter sizes",
}
_TWO_SIDED = {EXACT: 0.99, PLAIN: 0.98, LOOSE: 0.9}


def _kept(compute: Callable[[State, int, int, bool], list[int]]) -> Callable[..., list[int]]:
    """A pass over one side, made again only where a match came or went since."""

    @wraps(compute)
    def found(state: State, which: int, level: int, anchored: bool = True) -> list[int]:
        key = (compute.__name__, which, level, anchored)
        changes, hashes = state.hashes.get(key, (-1, []))
        if changes != state.changes:
            hashes = compute(state, which, level, anchored)
            state.hashes[key] = (state.changes, hashes)
        return hashes

    return found


@_kept
def from_above(state: State, which: int, level: int, anchored: bool = True) -> list[int]:
    """For every computing node a hash of what it is computed from."""
    side = state.side(which)
    labels = side.labels[level]
    exact = level == EXACT
    found = list(state.anchors[which]) if anchored else [0] * side.size
    for node in side.inputs:
        if not found[node]:
            found[node] = labels[node]
    for node in state.waiting(which) if anchored else side.computing:
        parts = [
            # where weights come from, a parameter or several, only exactness asks
            hash((1, o.role))
            if exact and side.weight[o.source]
            else hash(
                (0 if side.weight[o.source] else found[o.source], o.role, o.label if exact else 0)
            )
            for o in side.operands[node]
        ]
        if side.nodes[node].commutative:
            parts.sort()
        found[node] = hash((labels[node], *parts))
    return found


@_kept
def from_below(state: State, which: int, level: int, anchored: bool = True) -> list[int]:
    """For every computing node a hash of what is computed from it."""
    side = state.side(which)
    labels = side.labels[level]
    exact = level == EXACT
    found = list(state.anchors[which]) if anchored else [0] * side.size
    for node in reversed(state.waiting(which) if anchored else side.computing):
        users = side.users[node]
        if len(users) == 1 and not side.outputs[node]:
            user, role, label, _ = users[0]
            found[node] = hash((labels[node], hash((found[user], role, label if exact else 0))))
            continue
        parts = [hash((found[user], role, label if exact else 0)) for user, role, label, _ in users]
        parts += [
            hash(("output", position if level < LOOSE else 0, output))
            for position, output in side.outputs[node]
        ]
        if level >= LOOSE:
            parts = list(set(parts))
        parts.sort()
        found[node] = hash((labels[node], *parts))
    return found


def two_sided(state: State, level: int, anchored: bool = False) -> int:
    """Matches nodes that are alike in everything above and everything below, and alone in that.

    `anchored` says that matches of other rungs stand among what is above and below; certainty is theirs then.
    """
    keys = tuple(
        _of_waiting(state, which, from_above(state, which, level), from_below(state, which, level))
        for which in (0, 1)
    )
    reason = f"the only node with these {_WORDS[level]} above and below" + (
        " up to what is matched" if anchored else ""
    )
    rung, confidence = ("hash-between", 0.9) if anchored else ("hash", _TWO_SIDED[level])

    def accept(a: int, b: int) -> bool:
        if anchored and state.names.agree(a, b) is False:
            return False
        return state.pair(a, b, rung, confidence, reason)

    return _unique(state, keys, accept)


def one_sided(state: State, level: int, weak: bool = False) -> int:
    """Matches nodes alike in everything above (or below), alone in that, and confirmed one hop further.

    One hop further: the consumers of a match from above look alike, the operands of one from below. A
    pair whose path numbers disagree is left to later rungs: a run of equal blocks may be shifted.
    """
    count = 0
    for hashes, confirm, word, rung in (
        (from_above, state.like_users, "above", "hash-above"),
        (from_below, state.like_operands, "below", "hash-below"),
    ):
        keys = tuple(_of_waiting(state, which, hashes(state, which, level)) for which in (0, 1))
        reason = f"the only node with these {_WORDS[level]} {word}"

        def accept(
            a: int,
            b: int,
            confirm: Callable[[int, int], bool] = confirm,
            rung: str = rung,
            reason: str = reason,
        ) -> bool:
            if state.names.agree(a, b) is False or state.contradicted(a, b):
                return False
            if not weak and not confirm(a, b):
                return False
            return state.pair(a, b, rung, 0.6 if weak else 0.9, reason)

        count += _unique(state, keys, accept)
    return count


def votes(state: State, level: int) -> list[tuple[int, int]]:
    """Pairs that a hash from above or from below alone would match, right or not: to learn names from."""
    pairs: list[tuple[int, int]] = []

    def note(a: int, b: int) -> bool:
        pairs.append((a, b))
        return True

    for hashes in (from_above, from_below):
        _unique(
            state,
            tuple(_of_waiting(state, which, hashes(state, which, level)) for which in (0, 1)),
            note,
        )
    return pairs


def _of_waiting(state: State, which: int, *hashes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The hashes of one side's open nodes, in their order."""
    waiting = state.waiting(which)
    return zip(*(map(found.__getitem__, waiting) for found in hashes), strict=True)


def _unique(
    state: State, keys: Sequence[Iterable[Hashable]], accept: Callable[[int, int], bool]
) -> int:
    """Calls `accept` for each key that occurs exactly once among the open nodes of each side.

    `keys` are those of the open nodes, in their order.
    """
    seen: list[dict[Hashable, int]] = []
    for which in (0, 1):
        places: dict[Hashable, int] = {}
        for node, key in zip(state.waiting(which), keys[which], strict=True):
            places[key] = -1 if key in places else node
        seen.append(places)
    count = 0
    for key, first in seen[0].items():
        second = seen[1].get(key, -1)
        if first >= 0 and second >= 0:
            count += accept(first, second)
    return count
