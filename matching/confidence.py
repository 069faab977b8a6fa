"""What confidence a match keeps once all is matched: how far its neighbours bear it out."""

from __future__ import annotations

from padiff_graph.matching.evidence import Evidence, Fingerprint
from padiff_graph.matching.labels import EXACT, LOOSE
from padiff_graph.matching.state import State

__all__ = ["settle", "weigh_values"]

_BY_ITSELF = frozenset({"hint", "boundary", "hash", "operand", "values"})
"""Rungs whose matches need no neighbour to bear them out."""


def settle(state: State) -> None:
    """Raises matches that every neighbour bears out, lowers those that some contradict, drops lone ones."""
    again = True
    while again:
        again = False
        for pairing in list(state.pairings.values()):
            if pairing.rung in _BY_ITSELF:
                continue
            first, second = pairing.first, pairing.second
            matched, total = state.agreeing_operands(first, second)
            used, uses = state.agreeing_users(first, second)
            if not matched and not used:
                state.drop(first)
                again = True
                continue
            if state.contradicted(first, second) or not matched or not used:
                pairing.confidence = min(pairing.confidence, 0.5 if pairing.rung in ("sequence", "neighbour") else 0.7)
                continue
            agree = state.names.agree(first, second)
            whole = matched == total and used == uses
            exact = state.first.labels[EXACT][first] == state.second.labels[EXACT][second]
            like = state.first.labels[LOOSE][first] == state.second.labels[LOOSE][second]
            if agree is False:
                pairing.confidence = min(pairing.confidence, 0.6)
            elif whole and agree and like and first not in state.alternatives:
                pairing.confidence = max(pairing.confidence, 0.95 if exact else 0.92)
            elif not whole:
                pairing.confidence = min(pairing.confidence, 0.85)


def weigh_values(state: State, evidence: Evidence) -> int:
    """Confirms matches whose values agree; drops weak ones whose values part although their operands agree.

    Then matches open nodes that alone hold a value. Returns how many are dropped or added.
    """
    prints = (_fingerprints(state, 0, evidence), _fingerprints(state, 1, evidence))
    changed = 0
    for pairing in list(state.pairings.values()):
        mine, theirs = prints[0].get(pairing.first), prints[1].get(pairing.second)
        if mine is None or theirs is None:
            continue
        if mine.agrees(theirs):
            if mine.telling and pairing.confidence < 0.97:
                pairing.confidence = max(pairing.confidence, 0.95)
                pairing.reason += "; values agree"
        elif pairing.confidence < 0.9 and _same_inputs(state, pairing.first, pairing.second, prints):
            state.drop(pairing.first)
            changed += 1
    return changed + _by_value(state, prints)


def _by_value(state: State, prints: tuple[dict[int, Fingerprint], dict[int, Fingerprint]]) -> int:
    """Matches open nodes by a value that one open node of each side holds."""
    buckets: dict[int, list[int]] = {}
    for node, found in prints[1].items():
        if state.open(1, node) and found.telling and found.size >= 16:
            buckets.setdefault(found.size, []).append(node)
    wanted: dict[int, list[int]] = {}
    claimed: dict[int, int] = {}
    for node, found in prints[0].items():
        if state.open(0, node) and found.telling and found.size >= 16:
            equal = [other for other in buckets.get(found.size, ()) if found.agrees(prints[1][other], 1e-4)]
            wanted[node] = equal
            for other in equal:
                claimed[other] = claimed.get(other, 0) + 1
    count = 0
    for node, equal in wanted.items():
        if len(equal) == 1 and claimed[equal[0]] == 1 and not state.contradicted(node, equal[0]):
            count += state.pair(node, equal[0], "values", 0.9, "the only operations that yield this value")
    return count


def _fingerprints(state: State, which: int, evidence: Evidence) -> dict[int, Fingerprint]:
    values = evidence.second if which else evidence.first
    found = {}
    for node in state.side(which).computing:
        locations = state.side(which).nodes[node].locations
        if locations and locations[0] is not None:
            value = values.get(locations[0].value)
            # The fingerprint is of the whole native tensor: it speaks for the node only where that is its result.
            if value is not None and value.size == locations[0].view.size:
                found[node] = value
    return found


def _same_inputs(state: State, first: int, second: int, prints: tuple[dict[int, Fingerprint], dict[int, Fingerprint]]) -> bool:
    """Whether all operands are matched with each other and hold equal values."""
    matched, total = state.agreeing_operands(first, second)
    if matched != total or not total:
        return False
    for operand in state.first.operands[first]:
        mine = prints[0].get(operand.source)
        theirs = prints[1].get(state.partner[0][operand.source])
        if mine is not None and theirs is not None and not mine.agrees(theirs):
            return False
    return True
