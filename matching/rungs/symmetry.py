"""Interchangeable nodes: equal branches that nothing tells apart are paired consistently.

Where both sides have the same number of nodes alike in everything above and below, any pairing is right,
provided that whole branches stay together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.match_state import State
from padiff_graph.matching.rungs.ordered_hashes import from_above, from_below

__all__ = ["symmetric"]


def symmetric(state: State, level: int) -> int:
    """Pairs classes of equal size, one branch after the other, by names and then in program order."""
    keys: list[dict[int, Hashable]] = []
    classes: list[dict[Hashable, list[int]]] = []
    for which in (0, 1):
        above, below = from_above(state, which, level), from_below(state, which, level)
        joint: dict[int, Hashable] = {
            node: (above[node], below[node]) for node in state.waiting(which)
        }
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for node, key in joint.items():
            groups[key].append(node)
        keys.append(joint)
        classes.append(groups)
    count = 0
    for key, mine in classes[0].items():
        theirs = classes[1].get(key, [])
        if len(mine) != len(theirs):
            continue
        for first in mine:
            if state.partner[0][first] >= 0:
                continue
            left = [
                second
                for second in theirs
                if state.partner[1][second] < 0 and state.scope[0][first] == state.scope[1][second]
            ]
            if left:
                second = min(left, key=lambda other: (-_likeness(state, first, other), other))
                count += _branch(
                    state, keys, first, second, len(mine), 0.95 if level < LOOSE else 0.93
                )
    return count


def _likeness(state: State, first: int, second: int) -> int:
    """How well the paths go together: numbers that agree, then equal words."""
    agree = state.names.agree(first, second)
    mine = set(state.first.nodes[first].path.split("."))
    theirs = set(state.second.nodes[second].path.split("."))
    return (100 if agree else 0) + len(mine & theirs)


def _branch(
    state: State,
    keys: list[dict[int, Hashable]],
    first: int,
    second: int,
    size: int,
    confidence: float,
) -> int:
    """Pairs two nodes, and outwards from them whatever is of one class at the same place."""
    count = 0
    todo = [(first, second)]
    while todo:
        x, y = todo.pop()
        if keys[0][x] != keys[1][y] or not state.may(x, y) or state.contradicted(x, y):
            continue
        count += state.pair(
            x,
            y,
            "symmetry",
            confidence,
            f"one of {size} interchangeable branches"
            if size > 1
            else "follows an interchangeable branch",
        )
        for mine, theirs in (
            (
                [(o.role, o.source) for o in state.first.operands[x]],
                [(o.role, o.source) for o in state.second.operands[y]],
            ),
            (
                [(role, user) for user, role, _, _ in state.first.users[x]],
                [(role, user) for user, role, _, _ in state.second.users[y]],
            ),
        ):
            groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
            for which, nodes in ((0, mine), (1, theirs)):
                for role, node in nodes:
                    if (
                        state.open(which, node)
                        and node not in groups[role, keys[which][node]][which]
                    ):
                        groups[role, keys[which][node]][which].append(node)
            for left, right in groups.values():
                if len(left) == len(right):
                    if len(left) > 1:
                        # Several alike at one place: only the first pair is decided here, the rest follows from names.
                        left = left[:1]
                        right = [
                            min(right, key=lambda other: (-_likeness(state, left[0], other), other))
                        ]
                    todo.extend(zip(left, right, strict=True))
    return count
