"""Matches taken over by nodes that compute from the very same values.

Where a branch is missing, what stands behind it may go with a look-alike further on that the same
operations read. A like operation that is still open and reads what the matched operands stand for is the
better partner: what a node computes is decided above it, not below.
"""

from __future__ import annotations

from collections import defaultdict

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.state import State

__all__ = ["rebind"]

_FIRM = frozenset({"hint", "boundary", "hash", "values"})
"""Rungs whose matches nothing takes over."""
_Key = tuple[int, tuple[int, ...]]


def rebind(state: State) -> int:
    """Lets open nodes take over matches of others whose operands are not theirs; how many."""
    return _taken_over(state, 1) + _taken_over(state, 0)


def _taken_over(state: State, which: int) -> int:
    """Goes down one side and holds every match against the open nodes of the other, `which`."""
    mine, theirs = state.side(1 - which), state.side(which)
    partner, back = state.partner[1 - which], state.partner[which]
    offers: dict[_Key, list[int]] = defaultdict(list)
    for node in state.waiting(which):
        offers[theirs.labels[LOOSE][node], tuple(sorted(theirs.sources[node]))].append(node)
    if not offers:
        return 0
    count = 0
    for node in mine.computing:
        held = partner[node]
        if held < 0:
            continue
        wanted = tuple(sorted(partner[source] for source in mine.sources[node]))
        if not wanted or wanted[0] < 0 or wanted == tuple(sorted(theirs.sources[held])):
            continue
        pairing = state.pairings[held if which == 0 else node]
        open_ones = [other for other in offers.get((mine.labels[LOOSE][node], wanted), ()) if back[other] < 0]
        if not open_ones or pairing.rung in _FIRM:
            continue
        chosen = _best(state, which, node, held, open_ones)
        if chosen is None:
            continue
        state.drop(pairing.first)
        offers[theirs.labels[LOOSE][held], tuple(sorted(theirs.sources[held]))].append(held)
        first, second = (chosen, node) if which == 0 else (node, chosen)
        count += state.pair(first, second, "operands", 0.8, "computed from the same values by the same operation")
    return count


def _best(state: State, which: int, node: int, held: int, others: list[int]) -> int | None:
    """The one whose path goes best with the node's; None where several do, or none may.

    Its path must go as well with the node's as that of the match so far; better where weights are read,
    for then the same operands tell nothing of the result.
    """
    likeness = {other: _likeness(state, which, node, other) for other in others}
    least = _likeness(state, which, node, held) + state.side(which).weighty[held]
    best = [other for other, value in likeness.items() if value == max(likeness.values()) and value >= max(least, 0)]
    return best[0] if len(best) == 1 else None


def _likeness(state: State, which: int, node: int, other: int) -> int:
    first, second = (other, node) if which == 0 else (node, other)
    agree = state.names.agree(first, second)
    if agree is False or state.scope[0][first] != state.scope[1][second]:
        return -1
    words = set(state.first.nodes[first].path.split(".")) & set(state.second.nodes[second].path.split("."))
    return 100 * bool(agree) + len(words)
