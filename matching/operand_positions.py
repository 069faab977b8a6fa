"""Which operand of one node stands for which of the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator

from padiff_graph.capture.normal.traits import same_family, traits
from padiff_graph.matching.labels import EXACT, LOOSE, PLAIN
from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import like
from padiff_graph.matching.sides import Operand, Side
from padiff_graph.matching.unique_keys import only_pairs

__all__ = ["operand_positions"]

_Look = Callable[[Side, int, Operand], Hashable]
"""What is seen of a node's operand, None for nothing."""


def operand_positions(state: State, first: int, second: int) -> tuple[tuple[int, int], ...]:
    """Which operand of one node stands for which of the other, as (first position, second
    position).

    By position where the operator has positions, and by role where two operators of one family
    stand in for one another; for commutative ones by matched sources, then by what is alone in its
    looks, never by position.
    """
    mine, theirs = state.first.operands[first], state.second.operands[second]
    if not mine or not theirs:
        return ()
    if _has_positions(state, first, second):
        positions = {operand.position for operand in theirs}
        return tuple((o.position, o.position) for o in mine if o.position in positions)
    if _has_roles(state, first, second):
        roles = _roles(state.first, first), _roles(state.second, second)
        return tuple((roles[0][role], roles[1][role]) for role in roles[0] if role in roles[1])
    pairs = _by_sources(state, mine, theirs)
    for look in _LOOKS:
        taken = {position for position, _ in pairs}, {position for _, position in pairs}
        pairs += only_pairs(
            _by_looks(state, 0, first, look, (o for o in mine if o.position not in taken[0])),
            _by_looks(state, 1, second, look, (o for o in theirs if o.position not in taken[1])),
        )
    return tuple(sorted(pairs))


def _has_positions(state: State, first: int, second: int) -> bool:
    """Whether operands of the two nodes go together by position."""
    here, there = state.first.nodes[first], state.second.nodes[second]
    if here.commutative or there.commutative:
        return False
    count = len(state.first.operands[first]), len(state.second.operands[second])
    if not like(state, first, second):  # the weights of two recurrent layers all the same
        return here.op == there.op and count[0] == count[1] and _named(here.op)
    return here.op != "Concat" or count[0] == count[1]


def _named(op: str) -> bool:
    """Whether an operator's first operands have names, so that those behind them, of any number,
    stand in an order of their own."""
    row = traits(op)
    return row.variadic and row.operands[0] != "*"


def _has_roles(state: State, first: int, second: int) -> bool:
    """Whether both are of one family whose operands go by name: the scales of two norms, which
    looks and shapes do not tell from their biases; of one operator, where one lacks some operand
    that the other has."""
    here, there = state.first.nodes[first], state.second.nodes[second]
    if here.commutative or there.commutative:
        return False
    if here.op == there.op and len(state.first.operands[first]) == len(
        state.second.operands[second]
    ):
        return False
    return same_family(here.op, there.op) and not (
        traits(here.op).variadic or traits(there.op).variadic
    )


def _roles(side: Side, node: int) -> dict[str, int]:
    """The positions of a node's operands, by role."""
    row = traits(side.nodes[node].op)
    return {row.role(operand.position): operand.position for operand in side.operands[node]}


def _by_sources(
    state: State, mine: Iterable[Operand], theirs: Iterable[Operand]
) -> list[tuple[int, int]]:
    """Operands whose sources are matched; of several the one that is read alike."""
    left = list(theirs)
    pairs = []
    for operand in mine:
        partner = state.partner[0][operand.source]
        alike = [each for each in left if each.source == partner] if partner >= 0 else []
        if alike:
            chosen = next((each for each in alike if each.label == operand.label), alike[0])
            left.remove(chosen)
            pairs.append((operand.position, chosen.position))
    return pairs


def _by_looks(
    state: State, which: int, node: int, look: _Look, operands: Iterable[Operand]
) -> Iterator[tuple[Hashable, int]]:
    """The positions of operands without matched source, by what is seen of them."""
    for operand in operands:
        if state.partner[which][operand.source] < 0:
            seen = look(state.side(which), node, operand)
            if seen is not None:
                yield seen, operand.position


def _exact(side: Side, node: int, operand: Operand) -> Hashable:
    return side.labels[EXACT][operand.source], operand.label


def _plain(side: Side, node: int, operand: Operand) -> Hashable:
    return side.labels[PLAIN][operand.source]


def _loose(side: Side, node: int, operand: Operand) -> Hashable:
    return side.labels[LOOSE][operand.source]


def _extents(side: Side, node: int, operand: Operand) -> Hashable:
    """The extents of weights as they are read, whatever they come from."""
    edge = side.nodes[node].inputs[operand.position]
    if edge is None or edge.view is None or not side.fixed[operand.source]:
        return None
    if side.nodes[operand.source].op == "Constant":
        return None
    return tuple(sorted(extent for extent in edge.view.shape if extent != 1))


_LOOKS: tuple[_Look, ...] = (_exact, _plain, _loose, _extents)
"""From strict to loose."""
