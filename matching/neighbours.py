"""How the neighbours of two nodes go together: what bears a match out, and what contradicts it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from padiff_graph.matching.labels import EXACT, LOOSE
from padiff_graph.matching.match_state import State
from padiff_graph.matching.operand_factors import Factors
from padiff_graph.matching.sides import Side

__all__ = [
    "agreeing_operands",
    "agreeing_users",
    "bridged",
    "contradicted",
    "crossed",
    "like",
    "like_operands",
    "like_users",
    "likeness_of_paths",
    "returned_twin",
]

BRIDGE = 24
"""Most nodes that are looked at to find matched ones further away: chosen so that a few operations
that one model lacks are bridged, and a pass over all open nodes stays linear."""
AGREEING_NUMBERS = 100
"""What numbers that agree count against one equal word: more than any path has words."""
END = -1
"""Stands for the model's end among the nodes below."""


def like(state: State, first: int, second: int, level: int = LOOSE) -> bool:
    """Whether two nodes look alike by themselves."""
    return state.first.labels[level][first] == state.second.labels[level][second]


# -- matched neighbours


def contradicted(state: State, first: int, second: int) -> bool:
    """Whether matched operands of the two go to other partners.

    An operand whose counterpart is still open is no contradiction: something may be missing
    between. For commutative operators: whether all operands of both are matched, and none with
    each other.
    """
    here, there = state.first.nodes[first], state.second.nodes[second]
    if here.commutative or there.commutative:
        return _sets_apart(state, first, second)
    return here.op == there.op and _positions_apart(state, first, second)


def crossed(state: State, first: int, second: int) -> bool:
    """Whether a matched sum or product reads each of the two as its counterpart reads another of
    its operands: what is added on one side is subtracted on the other."""
    readers = {user for user, *_ in state.second.users[second]}
    for user in {user for user, *_ in state.first.users[first]}:
        partner = state.partner[0][user]
        if partner in readers and _crosswise(state, (user, first), (partner, second)):
            return True
    return False


def returned_twin(state: State, first: int, second: int) -> int | None:
    """The node that the second model returns where the first one returns `first`, if it is a twin
    of `second`: alike, of the same operands but for weights, and read by nothing either."""
    side, returned = state.second, state.first.outputs[first]
    if not returned or not side.outputs[second] or side.outputs[second] == returned:
        return None
    if state.first.users[first] or side.users[second]:
        return None
    sources = side.sources[second]
    twins = {user for source in sources for user, *_ in side.users[source]} - {second}
    for twin in twins:
        alone = side.outputs[twin] == returned and not side.users[twin]
        if alone and side.sources[twin] == sources and like(state, first, twin):
            return twin
    return None


def _crosswise(state: State, mine: tuple[int, int], theirs: tuple[int, int]) -> bool:
    """The same of one operand of each, both as (reader, operand)."""
    ours, yours = state.first.factors.get(mine[0]), state.second.factors.get(theirs[0])
    if ours is None or yours is None or sorted(ours) != sorted(yours):
        return False
    own = _own(state.first, ours, *mine)
    if own == _own(state.second, yours, *theirs):
        return False
    # where looks tell the operands apart, the factor is what differs
    seen = _look(state.first, mine[1])
    rivals = {edge.source for edge in state.second.nodes[theirs[0]].inputs if edge is not None}
    return seen != _look(state.second, theirs[1]) or any(
        seen == _look(state.second, rival)
        for rival in rivals
        if own == _own(state.second, yours, theirs[0], rival)
    )


def _look(side: Side, node: int) -> tuple[int, ...]:
    """What a node and what it reads look like by themselves."""
    labels = side.labels[EXACT]
    return labels[node], *sorted(labels[each.source] for each in side.operands[node])


def _own(side: Side, factors: Factors, reader: int, operand: int) -> Factors:
    """The factors that a reader reads one of its operands with."""
    edges = side.nodes[reader].inputs
    return tuple(
        sorted(
            factor
            for edge, factor in zip(edges, factors, strict=True)
            if edge is not None and edge.source == operand
        )
    )


def _sets_apart(state: State, first: int, second: int) -> bool:
    a, b = state.first, state.second
    wanted = {
        state.partner[0][operand.source]
        for operand in a.operands[first]
        if not a.leaf[operand.source]
    }
    wanted.discard(-1)
    read = {
        operand.source
        for operand in b.operands[second]
        if state.partner[1][operand.source] >= 0 and not b.leaf[operand.source]
    }
    if not wanted or not read or wanted & read:
        return False
    return len(wanted) == len(a.operands[first]) and len(read) == len(b.operands[second])


def _positions_apart(state: State, first: int, second: int) -> bool:
    a, b = state.first, state.second
    partner, back = state.partner
    sources = {operand.position: operand.source for operand in b.operands[second]}
    for operand in a.operands[first]:
        source = sources.get(operand.position)
        if source is None or a.leaf[operand.source] or b.leaf[source]:
            continue
        if partner[operand.source] >= 0 and back[source] >= 0 and partner[operand.source] != source:
            return True
    return False


def agreeing_operands(state: State, first: int, second: int) -> tuple[int, int]:
    """How many operands' sources are matched with each other, and how many there are at most."""
    mine, theirs = state.first.sources[first], state.second.sources[second]
    partner = state.partner[0]
    if len(mine) == len(theirs) == 1:
        return int(partner[mine[0]] == theirs[0]), 1
    return _common((partner[source] for source in mine), theirs), max(len(mine), len(theirs))


def agreeing_users(state: State, first: int, second: int) -> tuple[int, int]:
    """How many consumers are matched with each other, and how many there are at most.

    Model outputs count as consumers.
    """
    a, b = state.first, state.second
    mine, theirs = a.users[first], b.users[second]
    partner = state.partner[0]
    if len(mine) == len(theirs) == 1:
        count = int(partner[mine[0][0]] == theirs[0][0])
    else:
        count = _common((partner[user[0]] for user in mine), (user[0] for user in theirs))
    ends = (len(a.outputs[first]), len(b.outputs[second]))
    return count + min(ends), max(len(mine) + ends[0], len(theirs) + ends[1])


def _common(wanted: Iterable[int], present: Iterable[int]) -> int:
    """How many of the wanted nodes are present, each as often as it is."""
    left = list(present)
    count = 0
    for node in wanted:
        if node in left:
            left.remove(node)
            count += 1
    return count


def bridged(state: State, first: int, second: int) -> bool:
    """Whether matched nodes above and below, reached over open ones, go with each other."""
    for reached in (_nearest_above, _nearest_below):
        partners = {
            node if node == END else state.partner[0][node] for node in reached(state, 0, first)
        }
        if not partners & reached(state, 1, second):
            return False
    return True


def _nearest_above(state: State, which: int, node: int) -> set[int]:
    """The nearest matched nodes above a node."""
    operands = state.side(which).operands
    nearest, _ = _nearest(state, which, node, lambda at: [each.source for each in operands[at]])
    return nearest


def _nearest_below(state: State, which: int, node: int) -> set[int]:
    """The nearest matched nodes below a node; `END` for the model's end."""
    side = state.side(which)
    nearest, passed = _nearest(state, which, node, lambda at: [user[0] for user in side.users[at]])
    if any(side.outputs[at] for at in passed):
        nearest.add(END)
    return nearest


def _nearest(
    state: State, which: int, node: int, further: Callable[[int], Iterable[int]]
) -> tuple[set[int], list[int]]:
    """The nearest matched nodes in one direction, and the open ones passed on the way."""
    side, partner = state.side(which), state.partner[which]
    nearest: set[int] = set()
    seen: set[int] = set()
    passed: list[int] = []
    waiting = deque([node])
    while waiting and len(seen) < BRIDGE:
        at = waiting.popleft()
        passed.append(at)
        for near in further(at):
            if near in seen or side.weight[near]:
                continue
            seen.add(near)
            if partner[near] >= 0:
                nearest.add(near)
            elif not side.leaf[near]:
                waiting.append(near)
    return nearest, passed


# -- neighbours' looks, matched or not


def like_users(state: State, first: int, second: int, level: int = LOOSE) -> bool:
    """Whether the consumers' labels are the same on both sides."""
    return _user_labels(state.first, first, level) == _user_labels(state.second, second, level)


def like_operands(state: State, first: int, second: int, level: int = LOOSE) -> bool:
    """Whether the labels of the operands' sources are the same on both sides."""
    mine, theirs = (
        sorted(side.labels[level][source] for source in side.sources[node])
        for side, node in ((state.first, first), (state.second, second))
    )
    return mine == theirs


def _user_labels(side: Side, node: int, level: int) -> list[int]:
    labels = [side.labels[level][user[0]] for user in side.users[node]]
    return sorted(labels + [END] * len(side.outputs[node]))


def likeness_of_paths(state: State, first: int, second: int) -> int:
    """How well the module paths go together: numbers that agree, then equal words."""
    mine = state.first.nodes[first].path.split(".")
    theirs = state.second.nodes[second].path.split(".")
    numbers = AGREEING_NUMBERS if state.names.agree(first, second) else 0
    return numbers + len(set(mine) & set(theirs))
