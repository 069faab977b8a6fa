"""Propagation: from a matched pair to its operands and consumers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from padiff_graph.matching.labels import KIND, LOOSE
from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import (
    agreeing_operands,
    agreeing_users,
    bridged,
    contradicted,
    like,
    like_operands,
    like_users,
)
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.unique_keys import only_pairs

__all__ = ["like_neighbours", "weak_neighbours"]

_Case = str | None
"""A case of the rung's grades; None where the pair is refused."""


def like_neighbours(state: State, rung: Rung) -> int:
    """Matches operands and consumers of matched nodes that look alike, as do their own
    neighbours."""
    return _propagate(state, rung, _strict)


def weak_neighbours(state: State, rung: Rung) -> int:
    """Matches operands and consumers that look alike and are held at one end, at low confidence."""
    return _propagate(state, rung, _weak)


def _propagate(state: State, rung: Rung, judge: Callable[[State, int, int], _Case]) -> int:
    """Goes out from matched nodes next to open ones, and on from what that matches."""
    pairs = _frontier(state)
    state.fresh.clear()
    count = 0
    while pairs:
        for first, second in pairs:
            for word, candidates in (
                ("operand", _operand_pairs(state, first, second)),
                ("consumer", _user_pairs(state, first, second)),
            ):
                for mine, theirs in candidates:
                    case = _possible(state, mine, theirs) and judge(state, mine, theirs)
                    if case:
                        op = state.first.nodes[first].op
                        at = f"{op} {first} and {second}"
                        count += rung.pair(state, mine, theirs, case, word=word, at=at)
        pairs = list(state.fresh)
        state.fresh.clear()
    return count


def _frontier(state: State) -> list[tuple[int, int]]:
    """The matched pairs next to open nodes of the first side."""
    side, partner = state.first, state.partner[0]
    around: set[int] = set()
    for node in state.waiting(0):
        around.update(operand.source for operand in side.operands[node])
        around.update(user[0] for user in side.users[node])
    return sorted((node, partner[node]) for node in around if partner[node] >= 0)


# -- which pairs are taken


def _possible(state: State, first: int, second: int) -> bool:
    return (
        state.may(first, second)
        and like(state, first, second)
        and not contradicted(state, first, second)
    )


def _strict(state: State, first: int, second: int) -> _Case:
    if state.names.agree(first, second) is False:
        return None
    if not like_operands(state, first, second) or not like_users(state, first, second):
        return None
    return "both"


def _weak(state: State, first: int, second: int) -> _Case:
    matched, total = agreeing_operands(state, first, second)
    # What stands between matched nodes above and below may well live in another module.
    between = matched == total > 0 and bridged(state, first, second)
    if state.names.agree(first, second) is False and not between:
        return None
    above = like_operands(state, first, second, KIND)
    below = like_users(state, first, second, KIND)
    if above and below:
        return "kin"
    used, uses = agreeing_users(state, first, second)
    # One end must be held whole by matches, the other at least over open nodes; a lone look-alike
    # next to a matched node proves nothing.
    held_above = (above or matched == total > 0) and (used or not uses)
    held_below = (below or used == uses > 0) and (matched or not total)
    if held_above or held_below or between:
        return "one end"
    if used == uses > 0 and bridged(state, first, second):
        return "one end"
    return None


# -- which pairs are looked at


def _operand_pairs(state: State, first: int, second: int) -> Iterable[tuple[int, int]]:
    """Open operands' sources that stand at the same place of two matched nodes."""
    here, there = state.first.nodes[first], state.second.nodes[second]
    ordered = not here.commutative and not there.commutative and like(state, first, second)
    # Positions say nothing where one side has more of them.
    if ordered and len(here.inputs) == len(there.inputs):
        return _by_position(state, first, second)
    return only_pairs(_operands_by_looks(state, 0, first), _operands_by_looks(state, 1, second))


def _by_position(state: State, first: int, second: int) -> list[tuple[int, int]]:
    sources = {operand.position: operand.source for operand in state.second.operands[second]}
    pairs = []
    for operand in state.first.operands[first]:
        source = sources.get(operand.position)
        if source is not None and state.open(0, operand.source) and state.open(1, source):
            pairs.append((operand.source, source))
    return pairs


def _user_pairs(state: State, first: int, second: int) -> Iterable[tuple[int, int]]:
    """Open consumers that read two matched nodes at the same place, alone in their looks."""
    return only_pairs(_users_by_looks(state, 0, first), _users_by_looks(state, 1, second))


def _operands_by_looks(state: State, which: int, node: int) -> Iterator[tuple[int, int]]:
    side = state.side(which)
    for operand in side.operands[node]:
        if state.open(which, operand.source):
            yield side.labels[LOOSE][operand.source], operand.source


def _users_by_looks(state: State, which: int, node: int) -> Iterator[tuple[tuple[int, int], int]]:
    side = state.side(which)
    for user, role, _, _ in side.users[node]:
        if state.open(which, user):
            yield (side.labels[LOOSE][user], role), user
