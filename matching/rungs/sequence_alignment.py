"""Alignment inside gaps: the best common ordered context of what is still open.

Matched nodes in the same order on both sides cut the two programs into gaps. Inside a gap the open nodes
are aligned as sequences (Needleman-Wunsch without gap cost); a pair scores by how much of its label,
its surroundings and its path agree. Where another alignment scores the same, the pair is ambiguous and
keeps a low confidence.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from padiff_graph.matching.labels import EXACT, KIND, LOOSE, PLAIN
from padiff_graph.matching.match_state import State
from padiff_graph.matching.rungs.surroundings import surroundings

__all__ = ["align_gaps"]

Array = np.ndarray[Any, np.dtype[np.int64]]
LIMIT = 12_000_000
"""Largest table of one gap."""
UNKNOWN = -(1 << 62)
"""Stands where names say nothing."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a pair is scored by: a row for each feature, a column for each open node of one side."""

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


def align_gaps(state: State) -> int:
    """Aligns every gap; pairs whose paths disagree are kept apart."""
    gaps = [(mine, theirs) for mine, theirs in _gaps(state) if len(mine) * len(theirs) <= LIMIT]
    if not gaps:
        return 0
    # Each gap's nodes stand behind the last gap's, so that every gap is a range of columns.
    features = tuple(
        _features(state, which, [node for gap in gaps for node in gap[which]]) for which in (0, 1)
    )
    count = 0
    start = [0, 0]
    for mine, theirs in gaps:
        count += _align(
            state,
            features[0].part(start[0], len(mine)),
            features[1].part(start[1], len(theirs)),
            mine,
            theirs,
        )
        start = [start[0] + len(mine), start[1] + len(theirs)]
    return count


def _gaps(state: State) -> list[tuple[list[int], list[int]]]:
    """Open nodes of both sides between consecutive anchors that stand in the same order."""
    anchors = [
        (first, state.partner[0][first])
        for first in state.first.computing
        if state.partner[0][first] >= 0
    ]
    anchors = _increasing(anchors)
    open_nodes = [
        [node for node in state.side(which).computing if state.partner[which][node] < 0]
        for which in (0, 1)
    ]
    gaps = []
    at = [0, 0]
    for bounds in [*anchors, (state.first.size, state.second.size)]:
        parts = []
        for which in (0, 1):
            nodes = open_nodes[which]
            start = at[which]
            stop = bisect_left(nodes, bounds[which], start)
            parts.append(nodes[start:stop])
            at[which] = stop
        if parts[0] and parts[1]:
            gaps.append((parts[0], parts[1]))
    return gaps


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest chain of pairs (sorted by the first) whose seconds increase too."""
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
        before[at] = ends[place - 1] if place else -1
    chain = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(pairs[at])
        at = before[at]
    return chain[::-1]


def _features(state: State, which: int, nodes: list[int]) -> Features:
    side = state.side(which)
    near = surroundings(state, which, 2, nodes, anchored=True)
    marks = np.full((len(state.names.offsets), len(nodes)), UNKNOWN, np.int64)
    inside = np.zeros(marks.shape, np.int64)
    for column, node in enumerate(nodes):
        for relation, number in state.names.marks(which, node).items():
            marks[relation, column] = number
            inside[relation, column] = number in state.names.room[relation]
    return Features(
        np.array(
            [[side.labels[level][node] for node in nodes] for level in (EXACT, PLAIN, LOOSE, KIND)],
            np.int64,
        ),
        np.array([near[node] for node in nodes], np.int64).T,
        np.array([state.names.template(which, node) for node in nodes], np.int64),
        marks,
        inside,
        np.array([state.scope[which][node] for node in nodes], np.int64),
        np.array([side.weighty[node] for node in nodes], np.int64),
    )


def _align(state: State, a: Features, b: Features, mine: list[int], theirs: list[int]) -> int:
    table = np.zeros((len(mine) + 1, len(theirs) + 1), np.int32)
    scores = np.zeros((len(mine), len(theirs)), np.int16)
    for row in range(len(mine)):
        same = a.labels[:, row, None] == b.labels
        near = a.near[:, row, None] == b.near
        known = (a.marks[:, row, None] != UNKNOWN) & (b.marks != UNKNOWN)
        equal = a.marks[:, row, None] == b.marks
        apart = (known & ~equal).any(axis=0)
        apart |= (~known & ((a.inside[:, row, None] | b.inside) != 0)).any(axis=0)
        slot, barred = (judged[b.template] for judged in state.names.judge(int(a.template[row])))
        apart |= barred
        number = (known & equal).any(axis=0) & ~apart
        # A like operator is worth more than all tie-breaks, one that reads weights of the same shape more than
        # one that stands anywhere; one of the same family only fills a hole.
        score = np.where(
            same[2], 16 + 8 * a.weighty[row] + 4 * same[1] + 4 * same[0], np.where(same[3], 2, 0)
        ).astype(np.int16)
        score += np.where(score > 0, 2 * near[0] + 2 * near[1] + 2 * number + slot, 0).astype(
            np.int16
        )
        score[a.scope[row] != b.scope] = 0
        score[apart] = 0
        scores[row] = score
        above = table[row]
        best = np.maximum(above[1:], np.where(score > 0, above[:-1] + score, 0))
        table[row + 1, 1:] = np.maximum.accumulate(best)
    early = _trace(table, scores, diagonal_first=False)
    late = dict(_trace(table, scores, diagonal_first=True))
    tentative = []
    for row, column in early:
        first, second = mine[row], theirs[column]
        sure = late.get(row) == column
        if not sure and row in late:
            state.alternatives.setdefault(first, set()).update((second, theirs[late[row]]))
        like = state.first.labels[LOOSE][first] == state.second.labels[LOOSE][second]
        confidence = (
            (0.85 if state.names.agree(first, second) else 0.8)
            if sure and like
            else 0.7
            if sure
            else 0.5
        )
        reason = "aligned in order between matched operations" + (
            "" if sure else "; another alignment is as good"
        )
        if state.pair(first, second, "sequence", confidence, reason):
            tentative.append((first, second, sure and like))
    return len(tentative) - _drop_unsupported(state, tentative)


def _trace(
    table: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], diagonal_first: bool
) -> list[tuple[int, int]]:
    """One best path through the table, as (row, column) pairs; the flag decides between equals."""
    row, column = scores.shape
    pairs = []
    while row and column:
        here = table[row, column]
        score = scores[row - 1, column - 1]
        diagonal = score > 0 and here == table[row - 1, column - 1] + score
        if diagonal and (
            diagonal_first or (here != table[row - 1, column] and here != table[row, column - 1])
        ):
            pairs.append((row - 1, column - 1))
            row -= 1
            column -= 1
        elif here == table[row - 1, column]:
            row -= 1
        else:
            column -= 1
    return pairs[::-1]


def _drop_unsupported(state: State, tentative: list[tuple[int, int, bool]]) -> int:
    """Takes back pairs that neighbours contradict or do not support; how many.

    A pair that no other alignment puts elsewhere may also be held by its nearest matched neighbours
    further away: a model whose every convolution lacks its norm has no pair of convolutions side by side.
    """
    dropped = 0
    again = True
    while again:
        again = False
        for first, second, alone in tentative:
            if state.partner[0][first] != second:
                continue
            matched, total = state.agreeing_operands(first, second)
            used, uses = state.agreeing_users(first, second)
            like = state.first.labels[LOOSE][first] == state.second.labels[LOOSE][second]
            supported = (
                (matched or used)
                if like
                else (matched == total and used == uses and matched + used)
            )
            if not (supported or (alone and state.bridged(first, second))) or state.contradicted(
                first, second
            ):
                state.drop(first)
                state.alternatives.pop(first, None)
                dropped += 1
                again = True
    return dropped
