"""One operation in place of another: alone between the same matched neighbours on both sides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.labels import KIND
from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import like
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.sides import Side
from padiff_graph.matching.unique_keys import only_pairs

__all__ = ["same_place"]


class _Place(NamedTuple):
    """The matched neighbours of an open node in the first side's numbers, and the outputs it
    yields."""

    sources: tuple[int, ...]
    users: tuple[int, ...]
    outputs: tuple[int, ...]


def same_place(state: State, rung: Rung) -> int:
    """Matches open nodes whose operands and consumers are all matched, and matched with each other.

    Nothing else can stand there, whatever operator it is: a Gelu for a Relu, another width.
    """
    count = 0
    for first, second in only_pairs(_places(state, 0), _places(state, 1)):
        if state.names.agree(first, second) is False:
            continue
        if like(state, first, second):
            case = "like"
        elif like(state, first, second, KIND):
            case = "kin"
        else:
            case = "another operator"
        count += rung.pair(state, first, second, case)
    return count


def _places(state: State, which: int) -> Iterator[tuple[_Place, int]]:
    """The open nodes of one side with no open neighbour, by place."""
    for node in state.waiting(which):
        place = _place(state, which, node)
        if place is not None:
            yield place, node


def _place(state: State, which: int, node: int) -> _Place | None:
    """The place of a node; None where a neighbour is open."""
    side = state.side(which)

    def users_of(at: int) -> list[int]:
        return [user[0] for user in side.users[at]]

    sources = _matched(
        state, which, _past(side, state.partner[which], node, side.sources.__getitem__)
    )
    if not sources:
        return None
    users = _matched(state, which, _past(side, state.partner[which], node, users_of))
    outputs = tuple(position for position, _ in side.outputs[node])
    if users is None or not (users or outputs):
        return None
    return _Place(sources, users, outputs)


def _matched(state: State, which: int, nodes: Iterable[int]) -> tuple[int, ...] | None:
    """Matched nodes in the first side's numbers, in order; None where one is open."""
    partner = state.partner[which]
    numbers = []
    for node in nodes:
        if partner[node] < 0:
            return None
        numbers.append(node if which == 0 else partner[node])
    return tuple(sorted(numbers))


def _past(
    side: Side, partner: list[int], node: int, further: Callable[[int], Iterable[int]]
) -> Iterator[int]:
    """Neighbours, with those beyond an open node that hands on its operand in its place."""
    waiting = deque(further(node))
    while waiting:
        at = waiting.popleft()
        if partner[at] < 0 and _passing(side, at):
            waiting.extend(further(at))
        else:
            yield at


def _passing(side: Side, node: int) -> bool:
    """Whether a node hands on its operand: a gradient hook or a detach that one side alone has
    stands between nodes that belong together."""
    hook = "gradient_hook" in side.nodes[node].marks and len(side.nodes[node].inputs) == 1
    return hook or traits(side.nodes[node].op).passes
