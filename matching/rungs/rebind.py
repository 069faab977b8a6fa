"""Matches taken over by nodes that compute from the very same values.

Where a branch is missing, what stands behind it may go with a look-alike further on that the same
operations read. A like operation that is still open and reads what the matched operands stand for is the
better partner: what a node computes is decided above it, not below. Where both read the same, as query and
key do, it is decided by who reads them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.match_state import State

__all__ = ["rebind"]

_FIRM = frozenset({"hint", "boundary", "hash", "values"})
"""Rungs whose matches nothing takes over."""
_SURE = 0.8
"""Confidence of an operand that alone lets a match be taken over."""


def rebind(state: State) -> int:
    """Lets open nodes take over matches of others whose operands are not theirs; how many."""
    return _taken_over(state, 1) + _taken_over(state, 0)


def _taken_over(state: State, which: int) -> int:
    """Goes down one side and holds every match against the open nodes of the other, `which`."""
    mine, theirs = state.side(1 - which), state.side(which)
    partner, back = state.partner[1 - which], state.partner[which]
    readers: dict[tuple[int, int], list[int]] = defaultdict(list)

    def offer(node: int) -> None:
        for source in set(theirs.sources[node]):
            readers[theirs.labels[LOOSE][node], source].append(node)

    for node in state.waiting(which):
        offer(node)
    if not readers:
        return 0
    count = 0
    for node in mine.computing:
        held = partner[node]
        if held < 0:
            continue
        label = mine.labels[LOOSE][node]
        wanted = [partner[source] for source in mine.sources[node]]
        open_ones = {
            other
            for source in wanted
            if source >= 0
            for other in readers.get((label, source), ())
            if back[other] < 0
        }
        pairing = state.pairings[held if which == 0 else node] if open_ones else None
        if pairing is None or pairing.rung in _FIRM:
            continue
        chosen = _nearer(state, which, node, held, sorted(open_ones), wanted)
        if chosen is None:
            continue
        state.drop(pairing.first)
        offer(held)
        first, second = (chosen, node) if which == 0 else (node, chosen)
        count += state.pair(first, second, "operands", *_evidence(state, which, chosen, wanted))
    return count


def _evidence(state: State, which: int, chosen: int, wanted: list[int]) -> tuple[float, str]:
    """Confidence and reason: all operands are the node's, or some."""
    if sorted(state.side(which).sources[chosen]) == sorted(wanted):
        return 0.8, "computed from the same values by the same operation"
    return 0.7, "computed from some of the same values by the same operation"


def _nearer(
    state: State, which: int, node: int, held: int, others: list[int], wanted: list[int]
) -> int | None:
    """The one that computes from more of the node's operands than the match so far; among those that compute
    from the very same, the one that all the node's consumers read. None where none does, or several do."""
    sources = state.side(which).sources
    least = _common(sources[held], wanted)
    shared = {other: _common(sources[other], wanted) for other in others}
    # A part of the operands is enough where the match so far has none of them, and these are sure themselves.
    sure = [
        source
        for source in wanted
        if source >= 0
        and state.pairings[source if which == 0 else state.partner[1][source]].confidence >= _SURE
    ]
    nearer = [
        other
        for other in others
        if shared[other] > least
        and (
            shared[other] == len(wanted) == len(sources[other])
            or (not least and _common(sources[other], sure))
        )
    ]
    if nearer:
        most = max(shared[other] for other in nearer)
        return _best(
            state,
            which,
            node,
            held,
            [other for other in nearer if shared[other] == most],
            state.side(which).weighty[held],
        )
    if least != len(wanted) or _readers(state, which, node, held)[0]:
        return None
    siblings = [
        other
        for other in others
        if shared[other] == least and _readers(state, which, node, other) == (True, True)
    ]
    return _best(state, which, node, held, siblings, False) if siblings else None


def _common(mine: Sequence[int], theirs: Sequence[int]) -> int:
    """How many members two lists have in common, each as often as it stands in both."""
    return (Counter(mine) & Counter(theirs)).total()


def _readers(state: State, which: int, node: int, other: int) -> tuple[bool, bool]:
    """Whether some, and whether all consumers of two nodes are partners that read them at the same place."""
    partner = state.partner[1 - which]
    mine = Counter((partner[user], role) for user, role, *_ in state.side(1 - which).users[node])
    theirs = Counter((user, role) for user, role, *_ in state.side(which).users[other])
    return bool(mine & theirs), mine == theirs


def _best(
    state: State, which: int, node: int, held: int, others: list[int], surely: bool
) -> int | None:
    """The one whose path goes best with the node's; None where several do, or none may.

    Its path must go as well with the node's as that of the match so far; `surely` better where weights are
    read, for then the same operands tell nothing of the result.
    """
    likeness = {other: _likeness(state, which, node, other) for other in others}
    least = _likeness(state, which, node, held) + surely
    best = [
        other
        for other, value in likeness.items()
        if value == max(likeness.values()) and value >= max(least, 0)
    ]
    return best[0] if len(best) == 1 else None


def _likeness(state: State, which: int, node: int, other: int) -> int:
    first, second = (other, node) if which == 0 else (node, other)
    agree = state.names.agree(first, second)
    if agree is False or state.scope[0][first] != state.scope[1][second]:
        return -1
    words = set(state.first.nodes[first].path.split(".")) & set(
        state.second.nodes[second].path.split(".")
    )
    return 100 * bool(agree) + len(words)
