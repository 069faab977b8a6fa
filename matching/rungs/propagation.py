"""Propagation: from a matched pair to its operands and consumers."""

from __future__ import annotations

from collections import defaultdict

from padiff_graph.matching.labels import KIND, LOOSE
from padiff_graph.matching.match_state import State

__all__ = ["operand_pairs", "propagate", "user_pairs"]


def propagate(state: State, weak: bool = False) -> int:
    """Matches the operands and consumers of matched nodes next to open ones, again from what that matches.

    A pair must look alike (LOOSE) by itself, and so must its operands and its consumers; a weak
    propagation asks for either, and takes the pair at low confidence.
    """
    partner = state.partner[0]
    around = {
        near
        for node in state.waiting(0)
        for near in (
            *(o.source for o in state.first.operands[node]),
            *(user[0] for user in state.first.users[node]),
        )
    }
    todo = sorted((node, partner[node]) for node in around if partner[node] >= 0)
    state.fresh.clear()
    count = 0
    while todo:
        for first, second in todo:
            for word, candidates in (
                ("operand", operand_pairs(state, first, second)),
                ("consumer", user_pairs(state, first, second)),
            ):
                for x, y in candidates:
                    count += _accept(state, x, y, word, first, second, weak)
        todo = list(state.fresh)
        state.fresh.clear()
    return count


def _accept(state: State, x: int, y: int, word: str, first: int, second: int, weak: bool) -> bool:
    if not state.may(x, y) or state.first.labels[LOOSE][x] != state.second.labels[LOOSE][y]:
        return False
    if state.contradicted(x, y):
        return False
    matched, total = state.agreeing_operands(x, y)
    # What stands between matched nodes above and below may well live in another module than its like.
    between = weak and matched == total > 0 and state.bridged(x, y)
    if state.names.agree(x, y) is False and not between:
        return False
    level = KIND if weak else LOOSE
    above = state.like_operands(x, y, level)
    below = state.like_users(x, y, level)
    if not (above and below):
        if not weak:
            return False
        used, uses = state.agreeing_users(x, y)
        # One end must be held whole by matches, the other at least over open nodes; a lone look-alike next to
        # a matched node proves nothing.
        held = ((above or matched == total > 0) and (used or not uses)) or (
            (below or used == uses > 0) and (matched or not total)
        )
        if not held and not between and not (used == uses > 0 and state.bridged(x, y)):
            return False
    reason = f"the {word} of {state.first.nodes[first].op} {first} and {second} that looks like it"
    return state.pair(
        x, y, "neighbour", 0.6 if not (above and below) else 0.75 if weak else 0.9, reason
    )


def operand_pairs(state: State, first: int, second: int) -> list[tuple[int, int]]:
    """Open operands' sources that stand at the same place of two matched nodes."""
    a, b = state.first, state.second
    here, there = a.nodes[first], b.nodes[second]
    if (
        not here.commutative
        and not there.commutative
        and a.labels[LOOSE][first] == b.labels[LOOSE][second]
    ):
        other = {o.position: o.source for o in b.operands[second]}
        same_count = len(here.inputs) == len(there.inputs)
        if same_count:
            return [
                (o.source, other[o.position])
                for o in a.operands[first]
                if o.position in other
                and state.open(0, o.source)
                and state.open(1, other[o.position])
            ]
    return _alone(
        [
            (a.labels[LOOSE][o.source], o.source)
            for o in a.operands[first]
            if state.open(0, o.source)
        ],
        [
            (b.labels[LOOSE][o.source], o.source)
            for o in b.operands[second]
            if state.open(1, o.source)
        ],
    )


def user_pairs(state: State, first: int, second: int) -> list[tuple[int, int]]:
    """Open consumers that read two matched nodes at the same place, alone in their looks."""
    a, b = state.first, state.second
    return _alone(
        [
            ((a.labels[LOOSE][user], role), user)
            for user, role, _, _ in a.users[first]
            if state.open(0, user)
        ],
        [
            ((b.labels[LOOSE][user], role), user)
            for user, role, _, _ in b.users[second]
            if state.open(1, user)
        ],
    )


def _alone(
    mine: list[tuple[object, int]], theirs: list[tuple[object, int]]
) -> list[tuple[int, int]]:
    """Pairs nodes whose key occurs for exactly one node on each side."""
    if not mine or not theirs:
        return []
    keyed: tuple[defaultdict[object, set[int]], defaultdict[object, set[int]]] = (
        defaultdict(set),
        defaultdict(set),
    )
    for groups, nodes in zip(keyed, (mine, theirs), strict=True):
        for key, node in nodes:
            groups[key].add(node)
    return [
        (next(iter(nodes)), next(iter(keyed[1][key])))
        for key, nodes in keyed[0].items()
        if len(nodes) == 1 and len(keyed[1].get(key, ())) == 1
    ]
