"""What confidence a match keeps once all is matched: how far its neighbours and its names bear it
out."""

from __future__ import annotations

from typing import NamedTuple

from padiff_graph.matching.labels import EXACT, LOOSE
from padiff_graph.matching.match_state import FIRM, Pairing, State
from padiff_graph.matching.neighbours import (
    agreeing_operands,
    agreeing_users,
    bridged,
    contradicted,
    like,
)

__all__ = ["SURE", "settle"]

_BY_ITSELF = FIRM | {"operand"}
"""Rungs whose matches need no neighbour to bear them out."""
_NEVER_RAISED = frozenset({"boundary", "hint", "operand"})
"""Rungs whose confidence is not that of their neighbours."""

SURE = 0.8
"""Confidence from which on a match bears out another."""
# Upper bounds, chosen so that benchmarks/damage.py finds no wrong match over 0.9, in this order:
PARTLY = 0.85
"""Some neighbours are open, or matched with others."""
ONE_END = 0.7
"""Operands contradict the match, or one end of it is not borne out."""
ONE_END_OF_A_GUESS = 0.5
"""The same, of a match by order or by one neighbour."""
MISNAMED = 0.6
"""The paths disagree."""
# Lower bounds of a match all of whose neighbours are matched with each other, and surely:
WHOLE = 0.9
"""Names agree, but would allow other places too: a run of like blocks may be a block off as a
whole."""
NAMED = 0.92
"""Names leave no other place."""
NAMED_AND_EXACT = 0.95
"""And the attributes are equal."""
_GUESSES = frozenset({"sequence", "neighbour"})


class _Support(NamedTuple):
    """How many operands and consumers are matched with each other, of how many at most."""

    matched: int
    total: int
    used: int
    uses: int

    @property
    def whole(self) -> bool:
        return self.matched == self.total and self.used == self.uses


def settle(state: State) -> None:
    """Drops matches that nothing bears out, lowers those borne out in part, raises those borne out
    whole."""
    while _drop_untenable(state):
        pass
    support = {
        pairing.first: _support(state, pairing)
        for pairing in state.pairings.values()
        if pairing.rung != "operand"
    }
    for pairing in state.pairings.values():
        if pairing.rung not in _BY_ITSELF:
            pairing.confidence = _lowered(state, pairing, support[pairing.first])
    raised = [
        (pairing, _floor(state, pairing))
        for pairing in state.pairings.values()
        if pairing.rung not in _NEVER_RAISED and _borne_out(state, pairing, support[pairing.first])
    ]
    for pairing, floor in raised:
        pairing.confidence = max(pairing.confidence, floor)


def _support(state: State, pairing: Pairing) -> _Support:
    first, second = pairing.first, pairing.second
    return _Support(*agreeing_operands(state, first, second), *agreeing_users(state, first, second))


# -- dropped


def _drop_untenable(state: State) -> int:
    """Drops the matches that nothing bears out; how many."""
    rivals = {
        state.side(which).labels[LOOSE][node] for which in (0, 1) for node in state.waiting(which)
    }
    dropped = 0
    for pairing in list(state.pairings.values()):
        if pairing.rung not in _BY_ITSELF and _untenable(state, pairing, rivals):
            state.drop(pairing.first)
            dropped += 1
    return dropped


def _untenable(state: State, pairing: Pairing, rivals: set[int]) -> bool:
    """Whether no neighbour, near or over what is open, bears the match out, or only those on one
    end while others could stand there.

    `rivals` holds the labels of which something is open.
    """
    first, second = pairing.first, pairing.second
    above = agreeing_operands(state, first, second)[0] > 0
    below = agreeing_users(state, first, second)[0] > 0
    if above and below:
        return False
    guess = pairing.rung == "sequence"
    if (above or below) and (not guess or state.names.agree(first, second)):
        return False
    alone = guess and first not in state.alternatives
    if alone and like(state, first, second) and bridged(state, first, second):
        return False
    if not above and not below:
        return True
    labels = state.first.labels[LOOSE][first], state.second.labels[LOOSE][second]
    return labels[0] in rivals or labels[1] in rivals


# -- lowered and raised


def _lowered(state: State, pairing: Pairing, support: _Support) -> float:
    """The confidence, lowered where neighbours contradict the match or bear it out only in part."""
    first, second = pairing.first, pairing.second
    confidence = pairing.confidence
    if state.names.agree(first, second) is False:
        confidence = min(confidence, MISNAMED)
    if not support.matched or not support.used or contradicted(state, first, second):
        guess = pairing.rung in _GUESSES
        return min(confidence, ONE_END_OF_A_GUESS if guess else ONE_END)
    return confidence if support.whole else min(confidence, PARTLY)


def _borne_out(state: State, pairing: Pairing, support: _Support) -> bool:
    """Whether names agree and every neighbour is matched, surely, with a neighbour of the other."""
    first, second = pairing.first, pairing.second
    if pairing.confidence < SURE or not support.whole or first in state.alternatives:
        return False
    if not like(state, first, second) or not state.names.agree(first, second):
        return False
    around = [operand.source for operand in state.first.operands[first]]
    around += [user for user, *_ in state.first.users[first]]
    pairings = [state.pairings[node] for node in around if node in state.pairings]
    return all(neighbour.confidence >= SURE for neighbour in pairings)


def _floor(state: State, pairing: Pairing) -> float:
    """The least confidence of a match that neighbours and names bear out."""
    # A run of like blocks may be a block off, and all its neighbours with it.
    if pairing.rung == "sequence" or not state.names.firm(pairing.first, pairing.second):
        return WHOLE
    return NAMED_AND_EXACT if like(state, pairing.first, pairing.second, EXACT) else NAMED
