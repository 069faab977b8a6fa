"""What confidence a match keeps once all is matched: how far its neighbours bear it out."""

from __future__ import annotations

from padiff_graph.matching.labels import EXACT, LOOSE
from padiff_graph.matching.match_state import Pairing, State
from padiff_graph.matching.rungs.value_evidence import Evidence, Fingerprint

__all__ = ["settle", "weigh_values"]

_BY_ITSELF = frozenset({"hint", "boundary", "hash", "operand", "values"})
"""Rungs whose matches need no neighbour to bear them out."""
NEARER = 4.0
"""So many times nearer a value has to be: a fresh norm changes nothing but the last digits."""


def settle(state: State) -> None:
    """Drops matches that nothing bears out, lowers those borne out in part, raises those borne out whole."""
    again = True
    while again:
        again = False
        rivals = {
            side.labels[LOOSE][node]
            for which, side in ((0, state.first), (1, state.second))
            for node in side.computing
            if state.partner[which][node] < 0
        }
        for pairing in list(state.pairings.values()):
            if pairing.rung not in _BY_ITSELF and _untenable(state, pairing, rivals):
                state.drop(pairing.first)
                again = True
    around = {
        pairing.first: (
            *state.agreeing_operands(pairing.first, pairing.second),
            *state.agreeing_users(pairing.first, pairing.second),
        )
        for pairing in state.pairings.values()
        if pairing.rung != "operand"
    }
    for pairing in state.pairings.values():
        if pairing.rung not in _BY_ITSELF:
            pairing.confidence = _weighed(state, pairing, *around[pairing.first])
    raised = []
    for pairing in state.pairings.values():
        if (
            pairing.rung not in ("boundary", "hint", "operand")
            and pairing.confidence >= 0.8
            and _whole(state, pairing, *around[pairing.first])
        ):
            exact = (
                state.first.labels[EXACT][pairing.first]
                == state.second.labels[EXACT][pairing.second]
            )
            # a run of like blocks may be a block off, and all its neighbours with it
            sure = pairing.rung != "sequence" and state.names.firm(pairing.first, pairing.second)
            raised.append((pairing, 0.9 if not sure else 0.95 if exact else 0.92))
    for pairing, confidence in raised:
        pairing.confidence = max(pairing.confidence, confidence)


def _untenable(state: State, pairing: Pairing, rivals: set[int]) -> bool:
    """Whether no neighbour, near or over what is open, bears the match out, or only those on one end while
    others could stand there.

    `rivals` holds the labels of which something is open.
    """
    first, second = pairing.first, pairing.second
    matched, _ = state.agreeing_operands(first, second)
    used, _ = state.agreeing_users(first, second)
    if (matched and used) or (
        (matched or used) and (pairing.rung != "sequence" or state.names.agree(first, second))
    ):
        return False
    if (
        pairing.rung == "sequence"
        and first not in state.alternatives
        and state.first.labels[LOOSE][first] == state.second.labels[LOOSE][second]
        and state.bridged(first, second)
    ):
        return False
    if not matched and not used:
        return True
    return (
        state.first.labels[LOOSE][first] in rivals or state.second.labels[LOOSE][second] in rivals
    )


def _weighed(
    state: State, pairing: Pairing, matched: int, total: int, used: int, uses: int
) -> float:
    """The confidence, lowered where neighbours contradict the match or bear it out only in part."""
    first, second = pairing.first, pairing.second
    confidence = pairing.confidence
    if state.names.agree(first, second) is False:
        confidence = min(confidence, 0.6)
    if state.contradicted(first, second) or not matched or not used:
        return min(confidence, 0.5 if pairing.rung in ("sequence", "neighbour") else 0.7)
    return confidence if matched == total and used == uses else min(confidence, 0.85)


def _whole(state: State, pairing: Pairing, matched: int, total: int, used: int, uses: int) -> bool:
    """Whether names agree and every neighbour is matched, surely, with a neighbour of the other."""
    first, second = pairing.first, pairing.second
    if (
        first in state.alternatives
        or state.first.labels[LOOSE][first] != state.second.labels[LOOSE][second]
    ):
        return False
    if matched != total or used != uses or not state.names.agree(first, second):
        return False
    around = [o.source for o in state.first.operands[first]] + [
        user for user, *_ in state.first.users[first]
    ]
    return all(state.pairings[node].confidence >= 0.8 for node in around if node in state.pairings)


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
        moved = (
            _folded(
                state,
                pairing.first,
                pairing.second,
                prints,
                _same_inputs(state, pairing.first, pairing.second, prints),
            )
            if evidence.folds
            else None
        )
        if moved is not None:
            state.drop(pairing.first)
            changed += state.pair(
                *moved,
                "values",
                0.95,
                "yields the value of the other, into which what stands before it is folded",
            )
        elif mine.agrees(theirs):
            if mine.telling and pairing.confidence < 0.97:
                pairing.confidence = max(pairing.confidence, 0.95)
                pairing.reason += "; values agree"
        elif pairing.confidence < 0.9 and _same_inputs(
            state, pairing.first, pairing.second, prints
        ):
            state.drop(pairing.first)
            changed += 1
    return changed + _by_value(state, prints)


def _folded(
    state: State,
    first: int,
    second: int,
    prints: tuple[dict[int, Fingerprint], dict[int, Fingerprint]],
    comparable: bool,
) -> tuple[int, int] | None:
    """The pair that holds instead where an open norm on one side is folded into the other's weights.

    It yields what the other node does, and nearer than the node before it; behind another difference,
    where values tell nothing (not `comparable`), its place has to do.
    """
    distance = prints[0][first].distance(prints[1][second])
    for which, (node, other) in enumerate(((first, second), (second, first))):
        wanted = prints[1 - which][other]
        users = [user for user, *_ in state.side(which).users[node]]
        for user in users:
            found = prints[which].get(user)
            if found is None or not state.open(which, user):
                continue
            if comparable:
                moved = (
                    wanted.telling
                    and found.agrees(wanted)
                    and found.distance(wanted) * NEARER < distance
                )
            else:
                moved = len(users) == 1 and state.side(which).nodes[user].op == "BatchNormalization"
            if moved:
                return (user, second) if which == 0 else (first, user)
    return None


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
            equal = [
                other
                for other in buckets.get(found.size, ())
                if found.agrees(prints[1][other], 1e-4)
            ]
            wanted[node] = equal
            for other in equal:
                claimed[other] = claimed.get(other, 0) + 1
    count = 0
    for node, equal in wanted.items():
        if len(equal) == 1 and claimed[equal[0]] == 1 and not state.contradicted(node, equal[0]):
            count += state.pair(
                node, equal[0], "values", 0.9, "the only operations that yield this value"
            )
    return count


def _fingerprints(state: State, which: int, evidence: Evidence) -> dict[int, Fingerprint]:
    values = evidence.second if which else evidence.first
    found = {}
    for node in state.side(which).computing:
        locations = state.side(which).nodes[node].locations
        if (
            locations
            and locations[0] is not None
            and (locations[0].scale, locations[0].shift) == (1.0, 0.0)
        ):
            value = values.get(locations[0].value)
            # The fingerprint is of the whole native tensor: it speaks for the node only where that is its result.
            if value is not None and value.size == locations[0].view.size:
                found[node] = value
    return found


def _same_inputs(
    state: State,
    first: int,
    second: int,
    prints: tuple[dict[int, Fingerprint], dict[int, Fingerprint]],
) -> bool:
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
