"""Matches taken over by nodes that compute from the very same values.

Where a branch is missing, what stands behind it may go with a look-alike further on that the same
operations read. A like operation that is still open and reads what the matched operands stand for
is the better partner: what a node computes is decided above it, not below. Where both read the
same, as query and key do, it is decided by who reads them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from padiff_graph.matching.labels import LOOSE
from padiff_graph.matching.match_state import FIRM, Pairing, State
from padiff_graph.matching.neighbours import likeness_of_paths
from padiff_graph.matching.rungs.rung import Rung

__all__ = ["take_over"]

SURE = 0.8
"""Confidence of an operand that alone lets a match be taken over: chosen so that what was aligned
in order or follows from one neighbour does not."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A match that others may take over, seen from one side.

    Attributes:
        which: the side where another partner is looked for.
        node: on the other side.
        partner: of the node, on the side `which`.
        wanted: what the node's operands are matched with, on the side `which`; -1 for open ones.
    """

    which: int
    node: int
    partner: int
    wanted: Sequence[int]

    def pair(self, partner: int) -> tuple[int, int]:
        """The node with a partner, first side first."""
        if self.which == 0:
            return partner, self.node
        return self.node, partner


def take_over(state: State, rung: Rung) -> int:
    """Lets open nodes take over matches of others whose operands are not theirs; how many."""
    return _taken_over(state, rung, 1) + _taken_over(state, rung, 0)


def _taken_over(state: State, rung: Rung, which: int) -> int:
    """Goes down one side and holds every match against the open nodes of the other, `which`."""
    mine, theirs = state.side(1 - which), state.side(which)
    partner = state.partner[1 - which]
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
        if partner[node] < 0:
            continue
        held = _Held(which, node, partner[node], [partner[source] for source in mine.sources[node]])
        rivals = _rivals(state, held, readers)
        pairing = _pairing(state, which, held.partner)
        if not rivals or pairing.rung in FIRM:
            continue
        chosen = _nearer(state, held, rivals)
        if chosen is None:
            continue
        state.drop(pairing.first)
        offer(held.partner)
        whole = sorted(theirs.sources[chosen]) == sorted(held.wanted)
        count += rung.pair(state, *held.pair(chosen), "all" if whole else "some")
    return count


def _pairing(state: State, which: int, node: int) -> Pairing:
    """The match of a node."""
    return state.pairings[node if which == 0 else state.partner[1][node]]


def _rivals(state: State, held: _Held, readers: dict[tuple[int, int], list[int]]) -> list[int]:
    """Open nodes that look like the node and read something that it reads."""
    label = state.side(1 - held.which).labels[LOOSE][held.node]
    partner = state.partner[held.which]
    rivals: set[int] = set()
    for source in held.wanted:
        if source >= 0:
            rivals.update(rival for rival in readers.get((label, source), ()) if partner[rival] < 0)
    return sorted(rivals)


def _nearer(state: State, held: _Held, rivals: list[int]) -> int | None:
    """The rival that computes from more of the node's operands than the match so far.

    Among those that compute from the very same, the one that all the node's consumers read. None
    where none does, or several do.
    """
    side = state.side(held.which)
    shared = {rival: _common(side.sources[rival], held.wanted) for rival in rivals}
    least = _common(side.sources[held.partner], held.wanted)
    nearer = [rival for rival in rivals if _reads_more(state, held, rival, least)]
    if nearer:
        most = max(shared[rival] for rival in nearer)
        nearest = [rival for rival in nearer if shared[rival] == most]
        return _best_named(state, held, nearest, side.weighty[held.partner])
    if least != len(held.wanted) or _readers(state, held, held.partner)[0]:
        return None
    siblings = [
        rival
        for rival in rivals
        if shared[rival] == least and _readers(state, held, rival) == (True, True)
    ]
    return _best_named(state, held, siblings, False)


def _reads_more(state: State, held: _Held, rival: int, least: int) -> bool:
    """Whether a rival reads all of the node's operands, or some where the match so far has none of
    them and these are sure themselves."""
    sources = state.side(held.which).sources[rival]
    shared = _common(sources, held.wanted)
    if shared <= least:
        return False
    if shared == len(held.wanted) == len(sources):
        return True
    if least:
        return False
    return any(
        source in sources and _pairing(state, held.which, source).confidence >= SURE
        for source in held.wanted
        if source >= 0
    )


def _common(mine: Sequence[int], theirs: Sequence[int]) -> int:
    """How many members two lists have in common, each as often as it stands in both."""
    return (Counter(mine) & Counter(theirs)).total()


def _readers(state: State, held: _Held, rival: int) -> tuple[bool, bool]:
    """Whether some, and whether all consumers of the node and a rival are partners that read them
    at the same place."""
    partner = state.partner[1 - held.which]
    users = state.side(1 - held.which).users[held.node]
    mine = Counter((partner[user], role) for user, role, *_ in users)
    theirs = Counter((user, role) for user, role, *_ in state.side(held.which).users[rival])
    return bool(mine & theirs), mine == theirs


def _best_named(state: State, held: _Held, rivals: list[int], better: bool) -> int | None:
    """The rival whose path goes best with the node's; None where several do, or none may.

    Its path must go as well with the node's as that of the match so far; `better` where weights are
    read, for then the same operands tell nothing of the result.
    """
    likeness = {rival: _likeness(state, *held.pair(rival)) for rival in rivals}
    most = max(likeness.values(), default=-1)
    if most < max(_likeness(state, *held.pair(held.partner)) + better, 0):
        return None
    best = [rival for rival, value in likeness.items() if value == most]
    return best[0] if len(best) == 1 else None


def _likeness(state: State, first: int, second: int) -> int:
    """How well the paths go together; -1 where they may not."""
    if state.names.agree(first, second) is False or not state.same_scope(first, second):
        return -1
    return likeness_of_paths(state, first, second)
