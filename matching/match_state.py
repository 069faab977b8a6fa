"""The match state that every rung works on."""

from __future__ import annotations

from dataclasses import dataclass, field

from padiff_graph.matching.labels import LOOSE, Side
from padiff_graph.matching.tree.path_numbers import Names

__all__ = ["Pairing", "State"]

BRIDGE = 24
"""Most nodes that are looked at to find matched ones further away."""


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
        anchors: for each side, a number for each matched node that its partner has too, 0 for open ones.
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
        """The nodes that compute from inputs and have no partner yet, in order; not to be changed."""
        changes, drops, found = self._waiting.get(which, (-1, -1, []))
        if changes != self.changes:
            partner = self.partner[which]
            # They only become fewer, unless a match is taken back.
            found = [
                node
                for node in (found if drops == self.drops else self.side(which).computing)
                if partner[node] < 0
            ]
            self._waiting[which] = (self.changes, self.drops, found)
        return found

    def may(self, first: int, second: int) -> bool:
        """Whether nothing forbids the pair: both free, and under the same hint."""
        return (
            self.partner[0][first] < 0
            and self.partner[1][second] < 0
            and self.scope[0][first] == self.scope[1][second]
        )

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

    # -- how two nodes' neighbours go together

    def contradicted(self, first: int, second: int) -> bool:
        """Whether matched operands of the two go to other partners.

        An operand whose counterpart is still open is no contradiction: something may be missing between.
        For commutative operators: whether both have matched operands, all of them with other partners.
        """
        a, b = self.first, self.second
        if a.nodes[first].commutative or b.nodes[second].commutative:
            mine = {
                self.partner[0][o.source] for o in a.operands[first] if not a.leaf[o.source]
            } - {-1}
            theirs = {
                o.source
                for o in b.operands[second]
                if self.partner[1][o.source] >= 0 and not b.leaf[o.source]
            }
            return (
                bool(mine)
                and bool(theirs)
                and not mine & theirs
                and len(mine) == len(a.operands[first])
                and len(theirs) == len(b.operands[second])
            )
        if a.nodes[first].op != b.nodes[second].op:
            return False
        other = {o.position: o.source for o in b.operands[second]}
        for operand in a.operands[first]:
            source = other.get(operand.position)
            if source is None or a.leaf[operand.source] or b.leaf[source]:
                continue
            if (
                self.partner[0][operand.source] >= 0
                and self.partner[1][source] >= 0
                and self.partner[0][operand.source] != source
            ):
                return True
        return False

    def agreeing_operands(self, first: int, second: int) -> tuple[int, int]:
        """How many operands' sources are matched with each other, and how many there are at most."""
        mine, theirs = self.first.sources[first], self.second.sources[second]
        partner = self.partner[0]
        if len(mine) == len(theirs) == 1:
            return int(partner[mine[0]] == theirs[0]), 1
        left = list(theirs)
        count = 0
        for source in mine:
            if partner[source] in left:
                left.remove(partner[source])
                count += 1
        return count, max(len(mine), len(theirs))

    def agreeing_users(self, first: int, second: int) -> tuple[int, int]:
        """How many consumers are matched with each other, and how many there are at most.

        Model outputs count as consumers.
        """
        a, b = self.first, self.second
        mine, theirs = a.users[first], b.users[second]
        partner = self.partner[0]
        if len(mine) == len(theirs) == 1:
            count = int(partner[mine[0][0]] == theirs[0][0])
        else:
            left = [user[0] for user in theirs]
            count = 0
            for user in mine:
                if partner[user[0]] in left:
                    left.remove(partner[user[0]])
                    count += 1
        ends = (len(a.outputs[first]), len(b.outputs[second]))
        return count + min(ends), max(len(mine) + ends[0], len(theirs) + ends[1])

    def bridged(self, first: int, second: int) -> bool:
        """Whether matched nodes above and below, reached over open ones, go with each other."""
        above = {
            self.partner[0][node] for node in self._reached(0, first, up=True)
        } & self._reached(1, second, up=True)
        below = {
            self.partner[0][node] if node >= 0 else node
            for node in self._reached(0, first, up=False)
        } & self._reached(1, second, up=False)
        return bool(above) and bool(below)

    def _reached(self, which: int, node: int, *, up: bool) -> set[int]:
        """The nearest matched nodes above or below a node; -1 for the model's end."""
        side = self.side(which)
        found: set[int] = set()
        seen: set[int] = set()
        todo = [node]
        while todo and len(seen) < BRIDGE:
            at = todo.pop(0)
            if not up and side.outputs[at]:
                found.add(-1)
            for near in (
                (o.source for o in side.operands[at])
                if up
                else (user[0] for user in side.users[at])
            ):
                if near in seen or side.weight[near]:
                    continue
                seen.add(near)
                if self.partner[which][near] >= 0:
                    found.add(near)
                elif not side.leaf[near]:
                    todo.append(near)
        return found

    def like_users(self, first: int, second: int, level: int = LOOSE) -> bool:
        """Whether the consumers' labels are the same on both sides."""
        return self._user_labels(0, first, level) == self._user_labels(1, second, level)

    def like_operands(self, first: int, second: int, level: int = LOOSE) -> bool:
        """Whether the labels of the operands' sources are the same on both sides."""
        return self._operand_labels(0, first, level) == self._operand_labels(1, second, level)

    def _user_labels(self, which: int, node: int, level: int) -> list[int]:
        side = self.side(which)
        return sorted(
            [side.labels[level][user[0]] for user in side.users[node]]
            + [-1 for _ in side.outputs[node]]
        )

    def _operand_labels(self, which: int, node: int, level: int) -> list[int]:
        side = self.side(which)
        return sorted(side.labels[level][source] for source in side.sources[node])
