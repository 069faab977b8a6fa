"""What structure says of each native operation: whether numbers must be asked for it in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import attributes_equal
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.same_call import own_backwards, same_calls

__all__ = ["Structure"]

RESIDUE = 1e-15
"""What sums of a few constants leave in float64 in the place of zero; no epsilon is as small."""
UNITS = 2.0
"""So many units in the last place of its largest number may a table be apart without a question:
chosen at what one operation that rounds leaves on each side."""


@dataclass(frozen=True)
class Structure:
    """Native operations of both sides by what structure says of them.

    Attributes:
        doubt: operations without a counterpart, opaque ones, roots of sums with another epsilon,
            and those of a difference in what is computed: numbers read in a wrong order differ by
                far more than rounding, which float32 shows as well.
        named: operations whose epsilon differs, that of a root too: its effect may be as small as
            what float64 leaves elsewhere.
        differences: positions of differences by native operation of each side.
        altered: operations that an attribute differs of, or a number that is added to what they
            read, however small.
        own: operations whose backward may be no derivative by design.
        same: one public operation called alike, the native operation of either side.
    """

    doubt: tuple[frozenset[int], frozenset[int]]
    named: tuple[frozenset[int], frozenset[int]]
    differences: tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]
    altered: tuple[frozenset[int], frozenset[int]]
    own: tuple[frozenset[int], frozenset[int]]
    same: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, matching: Matching, differences: Sequence[Difference]) -> Structure:
        """Reads a matching and its structural differences."""
        first = _Side.of(matching.first, {match.first for match in matching.matches})
        second = _Side.of(matching.second, {match.second for match in matching.matches})
        for at, reader in _readers_of_other_tables(matching):
            (first, second)[at].doubt.update(reader.native)
        for pair in _shifted_otherwise(matching):
            for side, node in zip((first, second), pair, strict=True):
                side.altered.update(node.native)
                if _root(node):
                    side.doubt.update(node.native)
                    side.named.update(node.native)
        for number, difference in enumerate(differences):
            for at, side in enumerate((first, second)):
                side.add(number, difference, nodes_of(difference, at))
        return cls(
            (frozenset(first.doubt), frozenset(second.doubt)),
            (frozenset(first.named), frozenset(second.named)),
            (first.where, second.where),
            (frozenset(first.altered), frozenset(second.altered)),
            (own_backwards(matching.first), own_backwards(matching.second)),
            same_calls(matching, (first.where.keys(), second.where.keys())),
        )

    def doubtful(self, first: Iterable[int], second: Iterable[int]) -> bool:
        """Whether a region of these operations needs the referee whatever float32 says."""
        return not (self.doubt[0].isdisjoint(first) and self.doubt[1].isdisjoint(second))

    def attributed(self, first: Iterable[int], second: Iterable[int]) -> bool:
        """Whether structure names a differing epsilon among these operations."""
        return not (self.named[0].isdisjoint(first) and self.named[1].isdisjoint(second))

    def altering(self, first: Iterable[int], second: Iterable[int]) -> bool:
        """Whether an attribute differs of one of these operations."""
        return not (self.altered[0].isdisjoint(first) and self.altered[1].isdisjoint(second))


def _readers_of_other_tables(matching: Matching) -> Iterator[tuple[int, NormalNode]]:
    """(side, operation) of what reads tables of constants that differ by more than rounding may
    leave: they are computed anew in float64, where it vanishes."""
    apart = [
        (match.first, match.second)
        for match in matching.matches
        if _other_numbers(matching.first.nodes[match.first], matching.second.nodes[match.second])
    ]
    for at, normal in enumerate((matching.first, matching.second)):
        tables = {pair[at] for pair in apart}
        for node in normal.nodes if tables else ():
            if any(edge is not None and edge.source in tables for edge in node.inputs):
                yield at, node


def _shifted_otherwise(matching: Matching) -> Iterator[tuple[NormalNode, NormalNode]]:
    """Operations that read the same with another number added: an epsilon under a root may be too
    small to show in its result, and decides the gradient at zero."""
    for match in matching.matches:
        a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
        for x, y in match.operands:
            mine, theirs = a.inputs[x], b.inputs[y]
            if mine is None or theirs is None or attributes_equal(mine.shift, theirs.shift):
                continue
            if abs(mine.shift - theirs.shift) > RESIDUE:
                yield a, b


def _root(node: NormalNode) -> bool:
    """Whether it is a root: an epsilon shows little in its result and decides its gradient at zero,
    where a logarithm or a negative power shows it in either."""
    exponent = node.attrs.get("exponent") if node.op == "Pow" else None
    return isinstance(exponent, int | float) and 0.0 < exponent < 1.0


def _other_numbers(first: NormalNode, second: NormalNode) -> bool:
    """Whether both are tables of floats that differ."""
    mine, theirs = first.constant, second.constant
    if mine is None or theirs is None or mine.size != theirs.size or "f" not in mine.dtype.kind:
        return False
    ours, others = (array.astype(np.float64).reshape(-1) for array in (mine, theirs))
    unit = float(np.finfo(mine.dtype).eps)
    with np.errstate(invalid="ignore"):
        gap = np.abs(ours - others).max(initial=0.0)
    return bool(gap > UNITS * unit * np.abs(others).max(initial=0.0))


@dataclass
class _Side:
    """What is known of one side's operations while differences are read."""

    normal: NormalGraph
    doubt: set[int]
    named: set[int]
    altered: set[int]
    where: dict[int, tuple[int, ...]]

    @classmethod
    def of(cls, normal: NormalGraph, matched: set[int]) -> _Side:
        doubt: set[int] = set()
        for node in normal.nodes:
            if not node.leaf and (node.id not in matched or node.opaque):
                doubt.update(node.native)
        return cls(normal, doubt, set(), set(), {})

    def add(self, number: int, difference: Difference, nodes: Iterable[int]) -> None:
        natives = native_of(self.normal, nodes)
        if not difference.order:
            self.doubt.update(natives)
        if difference.cause_id.startswith("attribute."):
            self.altered.update(natives)
        if difference.kind == "attribute" and "eps" in difference.attribute.lower():
            self.named.update(natives)
        for native in natives:
            self.where[native] = (*self.where.get(native, ()), number)


def nodes_of(difference: Difference, side: int) -> tuple[int, ...]:
    """All normal-form nodes of a difference on one side, its other places included."""
    nodes = (difference.first, difference.second)[side]
    return (*nodes, *(place[side] for place in difference.places if place[side] >= 0))


def native_of(normal: NormalGraph, nodes: Iterable[int]) -> set[int]:
    """The native operations that normal-form nodes stand for."""
    return {native for node in nodes for native in normal.nodes[node].native}


def claims(normal: NormalGraph) -> Counter[int]:
    """How many nodes of the normal form each native operation stands in."""
    return Counter(native for node in normal.nodes for native in set(node.native))


def own_native_of(
    normal: NormalGraph, nodes: Iterable[int], claimed: Mapping[int, int]
) -> set[int]:
    """The native operations that yield these nodes or stand in them alone: a mask made once for
    many readers is no sign of where one of them is."""
    own: set[int] = set()
    for node in nodes:
        native = normal.nodes[node].native
        own.update(number for number in native if claimed[number] == 1 or number == max(native))
    return own
