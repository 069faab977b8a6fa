"""The match state that every rung works on."""

from __future__ import annotations

from dataclasses import dataclass, field

from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.value_evidence import Evidence
from padiff_graph.matching.sides import Side
from padiff_graph.matching.tree.path_numbers import Names

__all__ = ["FIRM", "Pairing", "State"]

FIRM = frozenset({"hint", "boundary", "hash", "values"})
"""Rungs whose matches nothing that comes later undoes: given, or decided by a whole model or by
values."""


@dataclass(slots=True)
class Pairing:
    """A match as the ladder holds it, before confidence is settled."""

    first: int
    second: int
    rung: str
    confidence: float
    reason: str


@dataclass
class State:
    """Both sides, and who is matched with whom.

    Attributes:
        partner: for each side, node -> node of the other side, -1 for none.
        anchors: for each side, a number for each matched node that its partner has too, 0 for open
            ones.
        hints: what the user gave.
        evidence: fingerprints of values, where the models were run.
        pairings: by first-side node.
        scope: for each side, the number of the hint that a node lies under; 0 for none.
        alternatives: first-side node -> second-side nodes between which nothing decides.
        fresh: pairs whose neighbours were not looked at yet.
        changes: how often something was matched or taken back.
        drops: how often something was taken back.
        hashes: passes over a side that hold as long as `changes` stands.
    """

    first: Side
    second: Side
    names: Names
    hints: Hints
    evidence: Evidence | None = None
    partner: tuple[list[int], list[int]] = field(init=False)
    anchors: tuple[list[int], list[int]] = field(init=False)
    pairings: dict[int, Pairing] = field(default_factory=dict)
    scope: tuple[list[int], list[int]] = field(init=False)
    alternatives: dict[int, set[int]] = field(default_factory=dict)
    fresh: list[tuple[int, int]] = field(default_factory=list)
    changes: int = 0
    drops: int = 0
    hashes: dict[tuple[str, int, int, bool], tuple[int, list[int]]] = field(default_factory=dict)
    _waiting: dict[int, tuple[int, int, list[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.partner = ([-1] * self.first.size, [-1] * self.second.size)
        self.anchors = ([0] * self.first.size, [0] * self.second.size)
        self.scope = ([0] * self.first.size, [0] * self.second.size)

    def side(self, which: int) -> Side:
        """The first (0) or second (1) side."""
        return self.second if which else self.first

    def open(self, which: int, node: int) -> bool:
        """Whether the node computes from inputs and has no partner yet."""
        side = self.side(which)
        return self.partner[which][node] < 0 and not side.leaf[node] and not side.weight[node]

    def waiting(self, which: int) -> list[int]:
        """The nodes that compute from inputs and have no partner yet, in order; not to be
        changed."""
        changes, drops, nodes = self._waiting.get(which, (-1, -1, []))
        if changes == self.changes:
            return nodes
        if drops != self.drops:  # only then there can be more of them
            nodes = self.side(which).computing
        partner = self.partner[which]
        nodes = [node for node in nodes if partner[node] < 0]
        self._waiting[which] = (self.changes, self.drops, nodes)
        return nodes

    def unfinished(self) -> bool:
        """Whether both sides have nodes without a partner."""
        return bool(self.waiting(0) and self.waiting(1))

    def may(self, first: int, second: int) -> bool:
        """Whether nothing forbids the pair: both free, under the same hint, and of one kind of
        numbers, real or complex."""
        return (
            self.partner[0][first] < 0
            and self.partner[1][second] < 0
            and self.first.complex[first] == self.second.complex[second]
            and self.same_scope(first, second)
        )

    def same_scope(self, first: int, second: int) -> bool:
        """Whether both lie under the same hint, or under none."""
        return self.scope[0][first] == self.scope[1][second]

    def pair(self, first: int, second: int, rung: str, confidence: float, reason: str) -> bool:
        """Matches two nodes; False where something forbids it."""
        if not self.may(first, second):
            return False
        self.partner[0][first] = second
        self.partner[1][second] = first
        self.anchors[0][first] = self.anchors[1][second] = hash(("matched", first))
        self.pairings[first] = Pairing(first, second, rung, confidence, reason)
        self.fresh.append((first, second))
        self.changes += 1
        return True

    def drop(self, first: int) -> None:
        """Takes a match back."""
        second = self.partner[0][first]
        self.partner[0][first] = -1
        self.partner[1][second] = -1
        self.anchors[0][first] = self.anchors[1][second] = 0
        del self.pairings[first]
        self.changes += 1
        self.drops += 1
