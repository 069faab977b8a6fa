"""Which output of one model is the counterpart of which output of the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.partial_runs import CALL
from padiff_graph.matching.result import Matching

__all__ = ["OutputPair", "named_pairs", "output_pairs", "yielded_alike"]


class OutputPair(NamedTuple):
    """An output of the first model and its counterpart, by leaf name and native value."""

    first: str
    second: str
    first_value: Value
    second_value: Value


class _Pairing:
    """Names that are not paired yet, and the pairs so far."""

    def __init__(self, firsts: Sequence[str], seconds: Sequence[str]) -> None:
        self.firsts, self.seconds = list(firsts), list(seconds)
        self.pairs: list[tuple[str, str]] = []

    def take(self, first: str, second: str) -> None:
        self.pairs.append((first, second))
        self.firsts.remove(first)
        self.seconds.remove(second)


def output_pairs(matching: Matching) -> list[OutputPair]:
    """Which output of the first is the counterpart of which output of the second.

    By what yields them first (`yielded_alike`), then by name, then by position where as many are
    left on both sides. Outputs without a counterpart are left out; what a model returns that is cut
    short where it stops has one only by what yields it.
    """
    pairing = _by_yield(matching)
    if any(name.startswith(CALL) for name in (*pairing.firsts, *pairing.seconds)):
        return named_pairs(matching, pairing.pairs)
    for name in list(pairing.seconds):
        if name in pairing.firsts:
            pairing.take(name, name)
    if len(pairing.firsts) == len(pairing.seconds):
        for first, second in zip(list(pairing.firsts), list(pairing.seconds), strict=True):
            pairing.take(first, second)
    return named_pairs(matching, pairing.pairs)


def yielded_alike(matching: Matching) -> list[OutputPair]:
    """Outputs that the same computation yields: by what the matching says of the values, then by
    the operations that yield them."""
    return named_pairs(matching, _by_yield(matching).pairs)


def named_pairs(matching: Matching, names: Sequence[tuple[str, str]]) -> list[OutputPair]:
    """Pairs of outputs by name with their values, in the order of the second model."""
    firsts, seconds = _outputs(matching.first), _outputs(matching.second)
    order = list(seconds)
    return [
        OutputPair(first, second, firsts[first], seconds[second])
        for first, second in sorted(names, key=lambda pair: order.index(pair[1]))
    ]


def _by_yield(matching: Matching) -> _Pairing:
    firsts, seconds = _outputs(matching.first), _outputs(matching.second)
    pairing = _Pairing(tuple(firsts), tuple(seconds))
    _by_point(matching, pairing, firsts, seconds)
    for first, second in _by_operation(matching, pairing.firsts, pairing.seconds):
        pairing.take(first, second)
    return pairing


def _outputs(normal: NormalGraph) -> dict[str, Value]:
    """The native value of each output."""
    outputs: dict[str, Value] = {}
    for node in normal.graph.of_kind("output"):
        if node.inputs and node.inputs[0] is not None:
            outputs[node.name] = node.inputs[0]
    return outputs


def _by_point(
    matching: Matching, pairing: _Pairing, firsts: Mapping[str, Value], seconds: Mapping[str, Value]
) -> None:
    """Outputs whose values a point lays side by side."""
    together: dict[Value, set[Value]] = defaultdict(set)
    for point in matching.points:
        together[point.second].add(point.first)
    for second in list(pairing.seconds):
        mates = together.get(seconds[second], set())
        exact = [first for first in pairing.firsts if firsts[first] in mates]
        # a model may return one value under several names: then the same one, or the first
        if len({firsts[first] for first in exact}) == 1:
            pairing.take(second if second in exact else exact[0], second)


def _by_operation(
    matching: Matching, firsts: Sequence[str], seconds: Sequence[str]
) -> list[tuple[str, str]]:
    """Outputs that matched operations yield, moved in the same way on the way out; none that
    several could be."""
    partner = matching.partner()
    ours = {name: edge for name, edge in matching.first.outputs.items() if name in firsts}
    theirs = {name: edge for name, edge in matching.second.outputs.items() if name in seconds}
    fits = [
        (first, second)
        for first, mine in ours.items()
        for second, yours in theirs.items()
        if partner.get(mine.source) == yours.source and _moved_alike(mine, yours)
    ]
    pairs: list[tuple[str, str]] = []
    for first, second in fits:
        alone = _one_value(fits, second, 1, ours) and _one_value(fits, first, 0, theirs)
        # a model may return one value under several names: then the first of them
        if alone and not any(first == name or second == mate for name, mate in pairs):
            pairs.append((first, second))
    return pairs


def _one_value(
    fits: Sequence[tuple[str, str]], name: str, side: int, others: Mapping[str, Edge]
) -> bool:
    """Whether all that an output of one side fits is one value of the other side."""
    return len({others[fit[1 - side]] for fit in fits if fit[side] == name}) == 1


def _moved_alike(first: Edge, second: Edge) -> bool:
    shapes = [edge.view.shape if edge.view else None for edge in (first, second)]
    return first.output == second.output and shapes[0] == shapes[1]
