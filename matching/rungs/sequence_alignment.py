"""Sequence alignment inside gaps: the best common ordered context of what is still open.

Matched nodes in the same order on both sides cut the two programs into gaps. Inside a gap the open
nodes are aligned as sequences (Needleman-Wunsch without gap cost); a pair scores by how much of its
label, its surroundings and its path agree. Where another alignment scores the same, the pair is
ambiguous and keeps a low confidence.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from padiff_graph.matching.match_state import State
from padiff_graph.matching.neighbours import (
    agreeing_operands,
    agreeing_users,
    bridged,
    contradicted,
    crossed,
    like,
    returned_twin,
)
from padiff_graph.matching.rungs.gaps import UNKNOWN, Features, features, gaps
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.tree.path_numbers import Names

__all__ = ["align_gaps"]

_Table = np.ndarray[Any, Any]
LIMIT = 12_000_000
"""Largest table of one gap, in cells: chosen so that its scores and sums take less than 100 MB."""

# What a pair scores: chosen so that a like operator is worth more than all tie-breaks, one that
# reads
# weights of the same shape more than one that stands anywhere, and one of the same family only
# fills a hole.
LIKE = 16
"""The same operator with parameters of the same size."""
WEIGHTY = 8
"""And it reads weights."""
STRICTER = 4
"""For each stricter level at which the labels are equal too."""
KIN = 2
"""Another operator of the same family."""
NEAR = 2
"""For each of the surroundings above and below that are equal."""
NUMBER = 2
"""Numbers in the paths that agree."""
TEMPLATE = 1
"""Path templates that are each other's counterparts."""


class _Tentative(NamedTuple):
    """A pair of an alignment; `alone` where it is alike and no other alignment puts it
    elsewhere."""

    first: int
    second: int
    alone: bool


def align_gaps(state: State, rung: Rung) -> int:
    """Aligns every gap; pairs whose paths disagree are kept apart."""
    small = [(mine, theirs) for mine, theirs in gaps(state) if len(mine) * len(theirs) <= LIMIT]
    if not small:
        return 0
    # Each gap's nodes stand behind the last gap's, so that every gap is a range of columns.
    columns = [
        features(state, which, [node for gap in small for node in gap[which]]) for which in (0, 1)
    ]
    count = 0
    start = [0, 0]
    for mine, theirs in small:
        parts = columns[0].part(start[0], len(mine)), columns[1].part(start[1], len(theirs))
        tentative = _align(state, rung, parts, mine, theirs)
        count += len(tentative) - _drop_unsupported(state, tentative)
        start = [start[0] + len(mine), start[1] + len(theirs)]
    return count


def _align(
    state: State, rung: Rung, parts: tuple[Features, Features], mine: list[int], theirs: list[int]
) -> list[_Tentative]:
    """Matches the nodes of one gap along the best alignment."""
    scores = _scores(state.names, *parts)
    table = _sums(scores)
    early = _trace(table, scores, diagonal_first=False)
    late = dict(_trace(table, scores, diagonal_first=True))
    tentative = []
    laid = _as_returned(state, {mine[row]: theirs[column] for row, column in early})
    for row, column in early:
        first, second = mine[row], laid[mine[row]]
        sure = late.get(row) == column
        if not sure and row in late:
            state.alternatives.setdefault(first, set()).update((second, theirs[late[row]]))
        alike = like(state, first, second)
        if rung.pair(state, first, second, _case(state, first, second, sure, alike)):
            tentative.append(_Tentative(first, second, sure and alike))
    return tentative


def _as_returned(state: State, laid: dict[int, int]) -> dict[int, int]:
    """The pairs of an alignment, twins that only the outputs tell apart by their places there."""
    twins = {first: returned_twin(state, first, second) for first, second in laid.items()}
    moved = {first: twin for first, twin in twins.items() if twin is not None}
    closed = sorted(moved.values()) == sorted(laid[first] for first in moved)
    return {**laid, **moved} if closed else laid


def _case(state: State, first: int, second: int, sure: bool, alike: bool) -> str:
    if not sure:
        return "ambiguous"
    if not alike:
        return "kin"
    return "named" if state.names.agree(first, second) else "like"


# -- the alignment


def _scores(names: Names, a: Features, b: Features) -> _Table:
    """What each pair of open nodes scores, 0 where it may not be: [first nodes, second nodes]."""
    rows = [_row_scores(names, a, row, b) for row in range(len(a.template))]
    return np.stack(rows)


def _row_scores(names: Names, a: Features, row: int, b: Features) -> _Table:
    """What a first-side node scores with each second-side node."""
    exact, plain, loose, kind = a.labels[:, row, None] == b.labels
    above, below = a.near[:, row, None] == b.near
    known = (a.marks[:, row, None] != UNKNOWN) & (b.marks != UNKNOWN)
    equal = a.marks[:, row, None] == b.marks
    counterpart, apart = (judged[b.template] for judged in names.judge(int(a.template[row])))
    apart = apart | (known & ~equal).any(axis=0)
    apart |= (~known & ((a.inside[:, row, None] | b.inside) != 0)).any(axis=0)
    apart |= a.scope[row] != b.scope
    agreeing = (known & equal).any(axis=0)
    alike = LIKE + WEIGHTY * a.weighty[row] + STRICTER * plain + STRICTER * exact
    score = np.where(loose, alike, np.where(kind, KIN, 0)).astype(np.int16)
    around = NEAR * above + NEAR * below + NUMBER * agreeing + TEMPLATE * counterpart
    score += np.where(score > 0, around, 0).astype(np.int16)
    score[apart] = 0
    return score


def _sums(scores: _Table) -> _Table:
    """The best sum of scores up to each pair, by dynamic programming: [rows + 1, columns + 1]."""
    rows, columns = scores.shape
    table = np.zeros((rows + 1, columns + 1), np.int32)
    for row, score in enumerate(scores):
        above = table[row]
        best = np.maximum(above[1:], np.where(score > 0, above[:-1] + score, 0))
        table[row + 1, 1:] = np.maximum.accumulate(best)
    return table


def _trace(table: _Table, scores: _Table, diagonal_first: bool) -> list[tuple[int, int]]:
    """One best path through the table, as (row, column) pairs; the flag decides between equals."""
    row, column = scores.shape
    pairs = []
    while row and column:
        here = table[row, column]
        score = scores[row - 1, column - 1]
        diagonal = score > 0 and here == table[row - 1, column - 1] + score
        only = here != table[row - 1, column] and here != table[row, column - 1]
        if diagonal and (diagonal_first or only):
            pairs.append((row - 1, column - 1))
            row -= 1
            column -= 1
        elif here == table[row - 1, column]:
            row -= 1
        else:
            column -= 1
    return pairs[::-1]


# -- what neighbours say of it


def _drop_unsupported(state: State, tentative: list[_Tentative]) -> int:
    """Takes back pairs that neighbours contradict or do not support, until none is left; how
    many."""
    kept = tentative
    crosswise: set[int] = set()
    while True:
        supported = [pair for pair in kept if _supported(state, pair, crosswise)]
        if len(supported) == len(kept):
            return len(tentative) - len(kept)
        kept = supported


def _supported(state: State, pair: _Tentative, crosswise: set[int]) -> bool:
    """Whether neighbours bear a pair out, which is taken back otherwise.

    What a sum reads `crosswise` goes back with all of its branch: the branches were exchanged.

    A pair that no other alignment puts elsewhere may also be held by its nearest matched neighbours
    further away: a model whose every convolution lacks its norm has no pair of convolutions side by
    side.
    """
    first, second, alone = pair
    matched, total = agreeing_operands(state, first, second)
    used, uses = agreeing_users(state, first, second)
    held = matched + used > 0
    if not like(state, first, second):
        held = held and matched == total and used == uses
    held = held or (alone and bridged(state, first, second))
    if crossed(state, first, second) or _only_read_by(state, first, crosswise):
        crosswise.add(first)
        held = False
    if held and not contradicted(state, first, second):
        return True
    state.drop(first)
    state.alternatives.pop(first, None)
    return False


def _only_read_by(state: State, first: int, readers: set[int]) -> bool:
    """Whether these read a node, and nothing else does."""
    users = state.first.users[first]
    return bool(users) and all(user in readers for user, *_ in users)
