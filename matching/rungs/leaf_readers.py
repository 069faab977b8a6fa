"""Parameters, constants and what is computed from them alone: matched through their readers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from padiff_graph.matching.match_state import Pairing, State
from padiff_graph.matching.operand_positions import operand_positions

__all__ = ["match_weights"]

REASON = "read at the same place by matched operations"


def match_weights(state: State) -> None:
    """Matches parameters, constants and operations on them alone through the operands of matched
    nodes.

    Several readers vote; a node that readers send to several partners (a fused parameter against
    its parts, shared against separate weights) stays open here: its rows come from the views. A
    match is as sure as the surest of its readers.
    """
    while _match_read(state):
        pass


def _match_read(state: State) -> bool:
    """One round: what matched operations read becomes matched; whether some of that reads
    something itself, without which another round would say the same."""
    wanted: dict[int, set[int]] = defaultdict(set)
    back: dict[int, set[int]] = defaultdict(set)
    confidence: dict[tuple[int, int], float] = {}
    for pairing in state.pairings.values():
        for first, second in _read(state, pairing):
            wanted[first].add(second)
            back[second].add(first)
            surest = max(confidence.get((first, second), 0.0), pairing.confidence)
            confidence[first, second] = surest
    more = False
    for first, seconds in wanted.items():
        second = next(iter(seconds))
        if len(seconds) > 1 or len(back[second]) > 1:
            continue
        if state.first.nodes[first].op == state.second.nodes[second].op:
            state.pair(first, second, "operand", confidence[first, second], REASON)
            more = more or not state.first.leaf[first]
    return more


def _read(state: State, pairing: Pairing) -> Iterator[tuple[int, int]]:
    """Open leaves that two matched nodes read at the same place."""
    mine, theirs = _weights(state, 0, pairing.first), _weights(state, 1, pairing.second)
    if mine and theirs:
        for position, other in operand_positions(state, pairing.first, pairing.second):
            if position in mine and other in theirs:
                yield mine[position], theirs[other]


def _weights(state: State, which: int, node: int) -> dict[int, int]:
    """Operands that are open parameters, constants, or computed from these alone, by position."""
    side, partner = state.side(which), state.partner[which]
    return {
        operand.position: operand.source
        for operand in side.operands[node]
        if side.fixed[operand.source] and partner[operand.source] < 0
    }
