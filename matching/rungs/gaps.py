"""The gaps that matched nodes leave: stretches of both programs in which open nodes can go
together."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from padiff_graph.matching.labels import EXACT, KIND, LOOSE, PLAIN
from padiff_graph.matching.match_state import State
from padiff_graph.matching.rungs.surroundings import surroundings

__all__ = ["UNKNOWN", "Features", "features", "gaps"]

Array = np.ndarray[Any, np.dtype[np.int64]]
_LEVELS = (EXACT, PLAIN, LOOSE, KIND)
UNKNOWN = -(1 << 62)
"""Stands where names say nothing."""
RADIUS = 2
"""How far around a node its surroundings are compared: chosen so that neighbours and theirs count.
"""


def gaps(state: State) -> list[tuple[list[int], list[int]]]:
    """Open nodes of both sides between consecutive anchors that stand in the same order."""
    partner = state.partner[0]
    matched = [(node, partner[node]) for node in state.first.computing if partner[node] >= 0]
    anchors = [*_increasing(matched), (state.first.size, state.second.size)]
    parts = [_cut(state.waiting(which), [anchor[which] for anchor in anchors]) for which in (0, 1)]
    return [(mine, theirs) for mine, theirs in zip(*parts, strict=True) if mine and theirs]


def _cut(nodes: list[int], bounds: list[int]) -> list[list[int]]:
    """The nodes, in order, in stretches that end before each bound."""
    stretches = []
    start = 0
    for bound in bounds:
        stop = bisect_left(nodes, bound, start)
        stretches.append(nodes[start:stop])
        start = stop
    return stretches


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest chain of pairs (sorted by the first) whose seconds increase too: patience
    sorting."""
    tails: list[int] = []
    ends: list[int] = []
    before = [-1] * len(pairs)
    for at, (_, second) in enumerate(pairs):
        place = bisect_left(tails, second)
        if place == len(tails):
            tails.append(second)
            ends.append(at)
        else:
            tails[place] = second
            ends[place] = at
        if place:
            before[at] = ends[place - 1]
    chain = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(pairs[at])
        at = before[at]
    return chain[::-1]


@dataclass(frozen=True, slots=True)
class Features:
    """What pairs of open nodes are scored by: a column for each node.

    Attributes:
        labels: [4, nodes] by level of strictness, EXACT first.
        near: [2, nodes] hashes of the surroundings above and below.
        template: [nodes] number of the path's template.
        marks: [relations, nodes] numbers of the path in the learned relations, `UNKNOWN` for none.
        inside: [relations, nodes] whether both models have that number.
        scope: [nodes] number of the hint that the node lies under.
        weighty: [nodes] whether it reads weights.
    """

    labels: Array
    near: Array
    template: Array
    marks: Array
    inside: Array
    scope: Array
    weighty: Array

    def part(self, start: int, count: int) -> Features:
        """So many columns from one on."""
        columns = slice(start, start + count)
        return Features(*(getattr(self, each.name)[..., columns] for each in fields(self)))


def features(state: State, which: int, nodes: list[int]) -> Features:
    """The features of open nodes of one side."""
    side = state.side(which)
    near = surroundings(state, which, RADIUS, nodes, anchored=True)
    marks = np.full((len(state.names.offsets), len(nodes)), UNKNOWN, np.int64)
    inside = np.zeros(marks.shape, np.int64)
    for column, node in enumerate(nodes):
        for relation, number in state.names.marks(which, node).items():
            marks[relation, column] = number
            inside[relation, column] = number in state.names.room[relation]
    labels = [[side.labels[level][node] for node in nodes] for level in _LEVELS]
    return Features(
        np.array(labels, np.int64),
        np.array([near[node] for node in nodes], np.int64).T,
        np.array([state.names.template(which, node) for node in nodes], np.int64),
        marks,
        inside,
        np.array([state.scope[which][node] for node in nodes], np.int64),
        np.array([side.weighty[node] for node in nodes], np.int64),
    )
