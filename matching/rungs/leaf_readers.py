"""Inputs, parameters, constants and what is computed from them alone: matched through their readers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable

from padiff_graph.matching.labels import EXACT, LOOSE, PLAIN, Operand, Side
from padiff_graph.matching.match_state import State
from padiff_graph.matching.rungs.hints import Hints

__all__ = ["match_inputs", "match_weights", "operand_positions"]


def match_inputs(state: State, hints: Hints) -> int:
    """Pairs the graph inputs: by hint, by name, alone in shape and dtype, then in order."""
    count = 0
    mine = [node.id for node in state.first.nodes if node.op == "Input"]
    theirs = [node.id for node in state.second.nodes if node.op == "Input"]
    named = {state.second.nodes[node].name: node for node in theirs}
    hinted = dict(hints.inputs)
    for first in mine:
        name = state.first.nodes[first].name
        if name in hinted:
            second = named.get(hinted[name])
            if second is not None:
                count += state.pair(first, second, "hint", 1.0, "the example inputs correspond")
    # an input whose counterpart the other model does not read goes with no other input
    mine = [node for node in mine if state.first.nodes[node].name not in hinted]
    theirs = [node for node in theirs if state.second.nodes[node].name not in hinted.values()]
    for first in mine:
        second = named.get(state.first.nodes[first].name)
        if (
            second is not None
            and state.partner[0][first] < 0
            and state.first.labels[PLAIN][first] == state.second.labels[PLAIN][second]
        ):
            count += state.pair(first, second, "boundary", 0.99, "inputs of the same name")
    for level, confidence in ((EXACT, 0.97), (PLAIN, 0.95), (LOOSE, 0.7)):
        groups: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for which, nodes in ((0, mine), (1, theirs)):
            for node in nodes:
                if state.partner[which][node] < 0:
                    groups[state.side(which).labels[level][node]][which].append(node)
        for left, right in groups.values():
            if len(left) == len(right):
                sure = confidence if len(left) == 1 else min(confidence, 0.8)
                reason = (
                    "the only inputs of this shape and type"
                    if len(left) == 1
                    else "inputs of one shape, in order"
                )
                for first, second in zip(left, right, strict=True):
                    count += state.pair(first, second, "boundary", sure, reason)
    return count


def operand_positions(state: State, first: int, second: int) -> tuple[tuple[int, int], ...]:
    """Which operand of one node stands for which of the other.

    By position where the operator has positions; for commutative ones by matched sources, then by what is
    alone in its looks, never by position.
    """
    a, b = state.first, state.second
    here, there = a.nodes[first], b.nodes[second]
    mine = list(a.operands[first])
    theirs = list(b.operands[second])
    listed = here.op in ("Concat",) and len(mine) != len(theirs)
    if (
        not here.commutative
        and not there.commutative
        and not listed
        and a.labels[LOOSE][first] == b.labels[LOOSE][second]
    ):
        positions = {o.position for o in theirs}
        return tuple((o.position, o.position) for o in mine if o.position in positions)
    pairs: list[tuple[int, int]] = []
    left = list(theirs)
    rest = []
    for operand in mine:
        partner = state.partner[0][operand.source]
        found = [o for o in left if o.source == partner] if partner >= 0 else []
        if len(found) > 1:
            found = [o for o in found if o.label == operand.label] or found[:1]
        if found:
            left.remove(found[0])
            pairs.append((operand.position, found[0].position))
        else:
            rest.append(operand)
    for alike in (_label_of(EXACT), _label_of(PLAIN), _label_of(LOOSE), _extents_of):
        groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for which, operands in ((0, rest), (1, left)):
            for operand in operands:
                if state.partner[which][operand.source] < 0:
                    key = alike(state.side(which), (first, second)[which], operand)
                    if key is not None:
                        groups[key][which].append(operand.position)
        for ours, others in groups.values():
            if len(ours) == 1 and len(others) == 1:
                pairs.append((ours[0], others[0]))
                rest = [o for o in rest if o.position != ours[0]]
                left = [o for o in left if o.position != others[0]]
    return tuple(sorted(pairs))


def _label_of(level: int) -> Callable[[Side, int, Operand], Hashable]:
    return lambda side, node, operand: (
        side.labels[level][operand.source],
        operand.label if level == EXACT else 0,
    )


def _extents_of(side: Side, node: int, operand: Operand) -> Hashable:
    """The extents of weights as they are read, whatever they come from."""
    edge = side.nodes[node].inputs[operand.position]
    if (
        edge is None
        or edge.view is None
        or not side.fixed[operand.source]
        or side.nodes[operand.source].op == "Constant"
    ):
        return None
    return tuple(sorted(extent for extent in edge.view.shape if extent != 1))


def match_weights(state: State) -> None:
    """Matches parameters, constants and operations on them alone through the operands of matched nodes.

    Several readers vote; a node that readers send to several partners (a fused parameter against its
    parts, shared against separate weights) stays open here: its rows come from the views.
    """
    while True:
        votes: dict[int, Counter[int]] = defaultdict(Counter)
        back: dict[int, Counter[int]] = defaultdict(Counter)
        sure: dict[tuple[int, int], float] = {}
        for pairing in list(state.pairings.values()):
            ours = {
                o.position: o.source
                for o in state.first.operands[pairing.first]
                if _weightlike(state, 0, o.source)
            }
            if not ours:
                continue
            others = {
                o.position: o.source
                for o in state.second.operands[pairing.second]
                if _weightlike(state, 1, o.source)
            }
            for x, y in operand_positions(state, pairing.first, pairing.second) if others else ():
                if x not in ours or y not in others:
                    continue
                mine, theirs = ours[x], others[y]
                votes[mine][theirs] += 1
                back[theirs][mine] += 1
                sure[mine, theirs] = max(sure.get((mine, theirs), 0.0), pairing.confidence)
        count = 0
        for mine, counts in votes.items():
            theirs = next(iter(counts))
            if len(counts) == 1 and len(back[theirs]) == 1:
                confidence = sure[mine, theirs]
                if state.first.nodes[mine].op != state.second.nodes[theirs].op:
                    continue
                count += state.pair(
                    mine,
                    theirs,
                    "operand",
                    confidence,
                    "read at the same place by matched operations",
                )
        if not count:
            return


def _weightlike(state: State, which: int, node: int) -> bool:
    """Whether the node is open, and a parameter, a constant, or computed from these alone."""
    return state.partner[which][node] < 0 and state.side(which).fixed[node]
