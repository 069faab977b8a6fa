"""Matching by values: equal tensors correspond, unequal ones do not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from padiff_graph.matching.match_state import Pairing, State
from padiff_graph.matching.neighbours import agreeing_operands, contradicted
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.rungs.value_evidence import Fingerprint

__all__ = ["equal_values", "weigh_values"]

NEARER = 4.0
"""So many times nearer a value has to be: a fresh norm changes nothing but the last digits."""
CONFIRMED = 0.95
"""Least confidence of a match whose values agree: below 1, for two places may hold one value."""
SURE = 0.97
"""From here on values add nothing."""
WEAK = 0.9
"""Below this a match whose values part although its operands agree is taken back."""
LEAST = 16
"""Fewest elements of a value that alone decides: chosen so that a few small numbers never do."""
STRICT = 1e-4
"""Tolerance there (`Fingerprint.agrees`): a tenth of the usual one, for nothing else speaks for the
match."""

_Prints = tuple[Mapping[int, Fingerprint], Mapping[int, Fingerprint]]
"""For each side the fingerprint of each node's result, where it is known."""


def weigh_values(state: State, rung: Rung) -> int:
    """Confirms matches whose values agree; drops weak ones whose values part although their
    operands agree.

    Where one side may be deployed, a match moves on to the norm whose value the other side yields.
    Returns how many matches are dropped or moved.
    """
    prints = _fingerprints(state, 0), _fingerprints(state, 1)
    changed = 0
    for pairing in list(state.pairings.values()):
        mine, theirs = prints[0].get(pairing.first), prints[1].get(pairing.second)
        if mine is None or theirs is None:
            continue
        moved = _folded(state, pairing, prints)
        if moved is not None:
            state.drop(pairing.first)
            changed += rung.pair(state, *moved, "folded")
        elif mine.agrees(theirs):
            _confirm(pairing, mine.telling)
        elif pairing.confidence < WEAK and _same_inputs(state, pairing, prints):
            state.drop(pairing.first)
            changed += 1
    return changed


def _confirm(pairing: Pairing, telling: bool) -> None:
    if telling and pairing.confidence < SURE:
        pairing.confidence = max(pairing.confidence, CONFIRMED)
        pairing.reason += "; values agree"


def _folded(state: State, pairing: Pairing, prints: _Prints) -> tuple[int, int] | None:
    """The pair that holds instead where an open norm on one side is folded into the other's
    weights.

    It yields what the other node does, and nearer than the node before it; behind another
    difference, where values tell nothing, its place has to do.
    """
    if state.evidence is None or not state.evidence.folds:
        return None
    first, second = pairing.first, pairing.second
    distance = prints[0][first].distance(prints[1][second])
    comparable = _same_inputs(state, pairing, prints)
    for which, (node, partner) in enumerate(((first, second), (second, first))):
        wanted = prints[1 - which][partner]
        side = state.side(which)
        for user, *_ in side.users[node]:
            value = prints[which].get(user)
            if value is None or not state.open(which, user):
                continue
            if comparable:
                nearer = value.distance(wanted) * NEARER < distance
                moved = wanted.telling and value.agrees(wanted) and nearer
            else:
                alone = len(side.users[node]) == 1
                moved = alone and side.nodes[user].op == "BatchNormalization"
            if moved:
                return (user, second) if which == 0 else (first, user)
    return None


def equal_values(state: State, rung: Rung) -> int:
    """Matches open nodes by a value that one open node of each side holds."""
    mine, theirs = _telling(state, 0), _telling(state, 1)
    by_size: dict[int, list[int]] = defaultdict(list)
    for node, value in theirs.items():
        by_size[value.size].append(node)
    equal = {
        node: [other for other in by_size[value.size] if value.agrees(theirs[other], STRICT)]
        for node, value in mine.items()
    }
    claims = Counter(other for others in equal.values() for other in others)
    count = 0
    for node, others in equal.items():
        if len(others) != 1 or claims[others[0]] != 1:
            continue
        if not contradicted(state, node, others[0]):
            count += rung.pair(state, node, others[0], "only")
    return count


def _telling(state: State, which: int) -> dict[int, Fingerprint]:
    """The values of open nodes that agree with few others."""
    return {
        node: value
        for node, value in _fingerprints(state, which).items()
        if state.open(which, node) and value.telling and value.size >= LEAST
    }


def _fingerprints(state: State, which: int) -> dict[int, Fingerprint]:
    """The fingerprint of each node's result, where it was taken."""
    if state.evidence is None:
        return {}
    values = state.evidence.second if which else state.evidence.first
    side = state.side(which)
    prints = {}
    for node in side.computing:
        location = next(iter(side.nodes[node].locations), None)
        if location is None or (location.scale, location.shift) != (1.0, 0.0):
            continue
        value = values.get(location.value)
        # The fingerprint is of the whole native tensor: it speaks for the node only where that is
        # its result.
        if value is not None and value.size == location.view.size:
            prints[node] = value
    return prints


def _same_inputs(state: State, pairing: Pairing, prints: _Prints) -> bool:
    """Whether all operands are matched with each other and hold equal values."""
    matched, total = agreeing_operands(state, pairing.first, pairing.second)
    if matched != total or not total:
        return False
    for operand in state.first.operands[pairing.first]:
        mine = prints[0].get(operand.source)
        theirs = prints[1].get(state.partner[0][operand.source])
        if mine is not None and theirs is not None and not mine.agrees(theirs):
            return False
    return True
