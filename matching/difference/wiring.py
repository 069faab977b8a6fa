"""Operands that come from elsewhere: operations that changed places, or read another value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import LEAVES, STATIC_LEAVES
from padiff_graph.matching.difference.compared import Compared
from padiff_graph.matching.difference.part_order import reordered, shifted
from padiff_graph.matching.result import Difference, Match

__all__ = ["wiring_differences"]


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A matched pair whose operands come from matched nodes that are not each other's partners."""

    first: int
    second: int
    sources: tuple[int, int]


def wiring_differences(compared: Compared) -> Iterator[Difference]:
    """ "moved" where operations changed places, else "rewired"; crossings that hang together are
    one."""
    crossings: list[_Crossing] = []
    for match in compared.matches:
        a, b = compared.pair(match)
        if a.op in LEAVES or reordered(a, b, compared.partner) is not None:
            continue
        late = shifted(a, b, compared.partner)
        if late:
            yield _late(a, b, late)
        elif a.commutative or b.commutative or a.op != b.op:
            crossings += _any_order(compared, a, b)
        else:
            crossings += _in_order(compared, match, a, b)
    crossings += _at_outputs(compared)
    for group in _connected(crossings):
        yield _difference(compared, group)


def _late(a: NormalNode, b: NormalNode, count: int) -> Difference:
    """A concatenation of parts of another step; people count from one."""
    places = ("late_place", 1 + count), ("second_place", 1)
    if count < 0:
        places = ("early_place", 1), ("second_place", 1 - count)
    return Difference(
        "rewired",
        (a.id,),
        (b.id,),
        "operands.shifted",
        a.path,
        b.path,
        places=((a.id, b.id),),
        facts=(("op", b.op), *places),
    )


def _any_order(compared: Compared, a: NormalNode, b: NormalNode) -> Iterator[_Crossing]:
    """Operands whose order tells nothing: what the first reads too many for what it reads too
    few."""
    mine = [edge.source for edge in a.inputs if edge is not None]
    theirs = [edge.source for edge in b.inputs if edge is not None]
    lost = _without(mine, {compared.back.get(source) for source in theirs}, compared.partner)
    gained = _without(theirs, {compared.partner.get(source) for source in mine}, compared.back)
    lost = [source for source in lost if _computed(compared.first, source)]
    gained = [source for source in gained if _computed(compared.second, source)]
    if len(mine) == len(theirs) or (lost and gained):
        for pair in zip(lost, gained, strict=False):
            yield _Crossing(a.id, b.id, pair)


def _without(
    sources: list[int], counterparts: set[int | None], partner: dict[int, int]
) -> list[int]:
    """Matched sources that are nothing's counterpart on the other side."""
    return [source for source in sources if source in partner and source not in counterparts]


def _in_order(
    compared: Compared, match: Match, a: NormalNode, b: NormalNode
) -> Iterator[_Crossing]:
    for x, y in match.operands:
        mine, theirs = a.inputs[x], b.inputs[y]
        if mine is None or theirs is None:
            continue
        sources = mine.source, theirs.source
        if not (_computed(compared.first, sources[0]) and _computed(compared.second, sources[1])):
            continue
        if _cross(compared, sources):
            yield _Crossing(a.id, b.id, sources)


def _at_outputs(compared: Compared) -> Iterator[_Crossing]:
    """Outputs that are another value; the same values in another order are no difference."""
    firsts, seconds = compared.first.outputs, compared.second.outputs
    returned = {edge.source for edge in seconds.values()}
    for name, edge in firsts.items():
        theirs = seconds.get(name)
        if theirs is None and len(firsts) == len(seconds) == 1:
            theirs = next(iter(seconds.values()))
        if theirs is None:
            continue
        sources = edge.source, theirs.source
        if _cross(compared, sources) and compared.partner[sources[0]] not in returned:
            yield _Crossing(*sources, sources)


def _cross(compared: Compared, sources: tuple[int, int]) -> bool:
    """Whether two matched nodes are not each other's partners."""
    first, second = sources
    if first not in compared.partner or second not in compared.back:
        return False
    return compared.partner[first] != second


def _computed(graph: NormalGraph, node: int) -> bool:
    return graph.nodes[node].op not in STATIC_LEAVES


def _connected(crossings: Sequence[_Crossing]) -> list[list[_Crossing]]:
    """Crossings that share a node are one cause."""
    groups: list[tuple[set[int], list[_Crossing]]] = []
    for crossing in crossings:
        nodes = {crossing.first, crossing.sources[0]}
        members = [crossing]
        for group in [group for group in groups if group[0] & nodes]:
            nodes |= group[0]
            members = group[1] + members
            groups.remove(group)
        groups.append((nodes, members))
    return [members for _, members in groups]


def _difference(compared: Compared, group: list[_Crossing]) -> Difference:
    first = tuple(sorted({crossing.first for crossing in group}))
    second = tuple(sorted({crossing.second for crossing in group}))
    counterparts = {compared.partner.get(crossing.sources[0]) for crossing in group}
    moved = len(group) > 1 and not counterparts.isdisjoint(second)
    ops = ", ".join(dict.fromkeys(compared.second.nodes[node].op for node in second))
    facts: dict[str, object] = {"ops": ops}
    if not moved:
        a = compared.first.nodes[group[0].sources[0]]
        b = compared.second.nodes[group[0].sources[1]]
        facts |= {"first_op": a.op, "first_from": a.path}
        facts |= {"second_op": b.op, "second_from": b.path}
    return Difference(
        "moved" if moved else "rewired",
        first,
        second,
        "operations.exchanged" if moved else "operands.rewired",
        compared.first.nodes[group[0].first].path,
        compared.second.nodes[group[0].second].path,
        places=tuple((crossing.first, crossing.second) for crossing in group),
        facts=tuple(facts.items()),
    )
