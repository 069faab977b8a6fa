"""Interchangeable nodes: equal branches that nothing tells apart are paired consistently.

Where both sides have the same number of nodes alike in everything above and below, any pairing is
right, provided that whole branches stay together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from padiff_graph.matching.labels import EXACT
from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import contradicted, crossed, likeness_of_paths
from padiff_graph.matching.rungs.ordered_hashes import from_above, from_below, read_below
from padiff_graph.matching.rungs.rung import Rung

__all__ = ["interchangeable"]

_Class = tuple[int, ...]
"""What nodes have in common that are alike in everything above and below."""
_Classes = tuple[Mapping[int, _Class], Mapping[int, _Class]]
"""For each side the class of each open node."""


def interchangeable(state: State, rung: Rung, level: int) -> int:
    """Pairs classes of equal size, one branch after the other, by names and then in program
    order; first of those that are read alike, then of those that one model may read otherwise."""
    return _paired(state, rung, level, factored=True) + _paired(state, rung, level, factored=False)


def _paired(state: State, rung: Rung, level: int, factored: bool) -> int:
    classes = _classes(state, 0, level, factored), _classes(state, 1, level, factored)
    members = _members(classes[0]), _members(classes[1])
    count = 0
    for alike, mine in members[0].items():
        theirs = members[1].get(alike, [])
        if len(mine) != len(theirs):
            continue
        for first in mine:
            if state.partner[0][first] >= 0:
                continue
            left = [second for second in theirs if _fit(state, first, second)]
            if left:
                second = _likest(state, first, left)
                count += _branch(state, rung, classes, (first, second), len(mine))
    return count


def _fit(state: State, first: int, second: int) -> bool:
    """Whether nothing speaks against a pair."""
    if not state.may(first, second):
        return False
    return not contradicted(state, first, second) and not crossed(state, first, second)


def _classes(state: State, which: int, level: int, factored: bool) -> dict[int, _Class]:
    passes = [hashes(state, which, level) for hashes in (from_above, from_below)]
    if factored:
        passes.append(read_below(state, which, EXACT))
    return {node: tuple(each[node] for each in passes) for node in state.waiting(which)}


def _members(classes: Mapping[int, _Class]) -> dict[_Class, list[int]]:
    members: dict[_Class, list[int]] = defaultdict(list)
    for node, alike in classes.items():
        members[alike].append(node)
    return members


def _likest(state: State, first: int, seconds: Iterable[int]) -> int:
    """The node whose path goes best with the first one's, in program order among equals."""
    return min(seconds, key=lambda second: (-likeness_of_paths(state, first, second), second))


def _branch(state: State, rung: Rung, classes: _Classes, start: tuple[int, int], size: int) -> int:
    """Pairs two nodes, and outwards from them whatever is of one class at the same place."""
    count = 0
    waiting = [start]
    while waiting:
        first, second = waiting.pop()
        if classes[0][first] != classes[1][second] or not _fit(state, first, second):
            continue
        case = "of several" if size > 1 else "follows"
        count += rung.pair(state, first, second, case, size=size)
        for around in (_operands, _users):
            waiting.extend(
                _beside(state, classes, around(state, 0, first), around(state, 1, second))
            )
    return count


def _beside(
    state: State,
    classes: _Classes,
    mine: Sequence[tuple[int, int]],
    theirs: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, int]]:
    """Pairs of neighbours of one class in one role, as many on each side.

    Of several alike only the first pair is decided here; the rest follows from names.
    """
    groups: dict[tuple[int, _Class], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for which, neighbours in ((0, mine), (1, theirs)):
        for role, node in neighbours:
            if state.open(which, node):
                members = groups[role, classes[which][node]][which]
                if node not in members:
                    members.append(node)
    for left, right in groups.values():
        if len(left) == len(right):
            yield left[0], _likest(state, left[0], right)


def _operands(state: State, which: int, node: int) -> list[tuple[int, int]]:
    return [(operand.role, operand.source) for operand in state.side(which).operands[node]]


def _users(state: State, which: int, node: int) -> list[tuple[int, int]]:
    return [(role, user) for user, role, _, _ in state.side(which).users[node]]
