"""One operation in place of another: alone between the same matched neighbours on both sides."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.matching.labels import KIND, LOOSE
from padiff_graph.matching.match_state import State

__all__ = ["replaced"]

PASSING = frozenset({"Identity", "Detach"})
"""Operators that hand on their operand: a gradient hook or a detach that one side alone has stands between
nodes that belong together."""


def replaced(state: State) -> int:
    """Matches open nodes whose operands and consumers are all matched, and matched with each other.

    Nothing else can stand there, whatever operator it is: a Gelu for a Relu, another width.
    """
    places: list[dict[Hashable, int]] = []
    for which in (0, 1):
        found: dict[Hashable, int] = {}
        for node in state.waiting(which):
            key = _place(state, which, node)
            if key is not None:
                found[key] = -1 if key in found else node
        places.append(found)
    count = 0
    for key, first in places[0].items():
        second = places[1].get(key, -1)
        if first < 0 or second < 0 or state.names.agree(first, second) is False:
            continue
        a, b = state.first, state.second
        like = a.labels[LOOSE][first] == b.labels[LOOSE][second]
        kin = a.labels[KIND][first] == b.labels[KIND][second]
        count += state.pair(
            first,
            second,
            "replaced",
            0.9 if like else 0.88 if kin else 0.6,
            "stands alone between the same matched operations",
        )
    return count


def _place(state: State, which: int, node: int) -> Hashable | None:
    """The matched neighbours, in the first side's numbers; None where some are open."""
    side = state.side(which)
    partner = state.partner[which]
    sources = []
    for source in _past(side.nodes, partner, side.sources[node], lambda at: side.sources[at]):
        if partner[source] < 0:
            return None
        sources.append(source if which == 0 else partner[source])
    users = []
    for user in _past(
        side.nodes,
        partner,
        [reader[0] for reader in side.users[node]],
        lambda at: [reader[0] for reader in side.users[at]],
    ):
        if partner[user] < 0:
            return None
        users.append(user if which == 0 else partner[user])
    ends = [position for position, _ in side.outputs[node]]
    if not sources or not (users or ends):
        return None
    return tuple(sorted(sources)), tuple(sorted(users)), tuple(ends)


def _past(
    nodes: Sequence[NormalNode],
    partner: Sequence[int],
    near: Iterable[int],
    further: Callable[[int], Iterable[int]],
) -> list[int]:
    """Neighbours, with those beyond an open node that hands on its operand in its place."""
    found: list[int] = []
    waiting = list(near)
    while waiting:
        at = waiting.pop(0)
        if partner[at] < 0 and (
            nodes[at].op in PASSING
            or ("gradient_hook" in nodes[at].marks and len(nodes[at].inputs) == 1)
        ):
            waiting += further(at)
        else:
            found.append(at)
    return found
