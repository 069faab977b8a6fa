"""Answers about several parameters put together, so that none is used twice: which list goes into
which stack is one question where two of them would fit into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from padiff_graph.matching.result import ParameterRow

__all__ = ["together"]

Rows = tuple[ParameterRow, ...]
MOST = 24
"""Most answers to one question; more would be guessing."""
LOOKED_AT = 4096
"""Most answers put together on the way; chosen so that three lists of experts in every order of
their axes are looked at to the end."""


def together(answers: Sequence[Rows], likeness: Callable[[Rows], float]) -> list[list[Rows]]:
    """For each set of parameters that depend on each other, what they may be, likeliest first.

    Each answer is about the same parameters, as many as can have one.

    Args:
        answers: rows that each stand or fall as one.
        likeness: how alike the names on both sides of such rows are.
    """
    return [list(_joined(cluster, likeness)) for cluster in _clusters(answers)]


def _firsts(rows: Rows) -> set[str]:
    return {row.first for row in rows}


def _seconds(rows: Rows) -> set[str]:
    return {piece.second for row in rows for piece in row.pieces}


def _clusters(answers: Sequence[Rows]) -> list[list[Rows]]:
    """Answers that share a parameter of either model, directly or through others."""
    clusters: list[tuple[set[str], set[str], list[Rows]]] = []
    for rows in answers:
        firsts, seconds, members = _firsts(rows), _seconds(rows), [rows]
        apart = []
        for cluster in clusters:
            if cluster[0].isdisjoint(firsts) and cluster[1].isdisjoint(seconds):
                apart.append(cluster)
            else:
                firsts, seconds = firsts | cluster[0], seconds | cluster[1]
                members = [*cluster[2], *members]
        clusters = [*apart, (firsts, seconds, members)]
    return [members for _, _, members in clusters]


def _joined(answers: Sequence[Rows], likeness: Callable[[Rows], float]) -> Iterator[Rows]:
    """What covers most parameters of both models, by likeness."""
    whole = list(_covers(answers))
    most = max(len(_firsts(rows)) + len(_seconds(rows)) for rows in whole)
    full = [rows for rows in whole if len(_firsts(rows)) + len(_seconds(rows)) == most]
    full.sort(key=lambda rows: -likeness(rows))
    for rows in full[:MOST]:
        if _firsts(rows) == _firsts(full[0]):
            yield tuple(sorted(rows, key=lambda row: row.first))


def _covers(answers: Sequence[Rows]) -> Iterator[Rows]:
    """Answers put together to which none can be added."""
    waiting: list[tuple[int, Rows]] = [(0, ())]
    looked = 0
    while waiting and looked < LOOKED_AT:
        start, rows = waiting.pop()
        looked += 1
        firsts, seconds = _firsts(rows), _seconds(rows)
        free = [
            at
            for at, more in enumerate(answers)
            if firsts.isdisjoint(_firsts(more)) and seconds.isdisjoint(_seconds(more))
        ]
        if not free:
            yield rows
        later = [at for at in free if at >= start]
        waiting += [(at + 1, (*rows, *answers[at])) for at in reversed(later)]
