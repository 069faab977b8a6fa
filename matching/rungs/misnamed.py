"""Matches that names, learned meanwhile, contradict: a run of like blocks that is a block off.

Such a run hangs together by itself, so neighbours never tell. Where the place that the names say is there
to be had, open or held by another match of this kind, the match is given up for the rungs that go by names.
"""

from __future__ import annotations

from collections.abc import Hashable

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.match_state import State

__all__ = ["give_up_misnamed"]

_FIRM = frozenset({"hint", "boundary", "hash", "values"})
"""Rungs whose matches names do not undo."""


def give_up_misnamed(state: State) -> int:
    """Takes back matches whose paths disagree while both could go with nodes whose paths agree; how many."""
    wrong = [
        pairing
        for pairing in state.pairings.values()
        if pairing.rung not in _FIRM
        and not state.first.leaf[pairing.first]
        and state.names.agree(pairing.first, pairing.second) is False
    ]
    if not wrong:
        return 0
    free = [
        {_named(state, which, node) for node in [*state.waiting(which), *held]}
        for which, held in ((0, [p.first for p in wrong]), (1, [p.second for p in wrong]))
    ]
    lost = [
        pairing
        for pairing in wrong
        if _named(state, 0, pairing.first) in free[1] - {None}
        or _named(state, 1, pairing.second) in free[0] - {None}
    ]
    for pairing in lost:
        state.drop(pairing.first)
        state.alternatives.pop(pairing.first, None)
    return len(lost)


def _named(state: State, which: int, node: int) -> Hashable:
    """What names say of the place, and the label there; None where they say nothing."""
    name = state.names.key(which, node)
    return None if name is None else (name, state.side(which).labels[LOOSE][node])
