"""Matches that names, learned meanwhile, contradict: a run of like blocks that is a block off.

Such a run hangs together by itself, so neighbours never tell. Where the place that the names say is
there to be had, open or held by another match of this kind, the match is given up for the rungs
that go by names.
"""

from __future__ import annotations

from collections.abc import Hashable

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.match_state import FIRM, Pairing, State

__all__ = ["give_up_misnamed"]


def give_up_misnamed(state: State) -> int:
    """Takes back matches whose paths disagree while both could go with nodes whose paths agree; how
    many."""
    wrong = [pairing for pairing in state.pairings.values() if _misnamed(state, pairing)]
    if not wrong:
        return 0
    to_be_had = [
        {_place(state, 0, node) for node in [*state.waiting(0), *(each.first for each in wrong)]},
        {_place(state, 1, node) for node in [*state.waiting(1), *(each.second for each in wrong)]},
    ]
    for places in to_be_had:
        places.discard(None)
    lost = [
        pairing
        for pairing in wrong
        if _place(state, 0, pairing.first) in to_be_had[1]
        or _place(state, 1, pairing.second) in to_be_had[0]
    ]
    for pairing in lost:
        state.drop(pairing.first)
        state.alternatives.pop(pairing.first, None)
    return len(lost)


def _misnamed(state: State, pairing: Pairing) -> bool:
    if pairing.rung in FIRM or state.first.leaf[pairing.first]:
        return False
    return state.names.agree(pairing.first, pairing.second) is False


def _place(state: State, which: int, node: int) -> Hashable:
    """What names say of the place, and the label there; None where they say nothing."""
    name = state.names.key(which, node)
    return None if name is None else (name, state.side(which).labels[LOOSE][node])
