"""Buffers that a run changes: which native values hold what they become, on both sides."""

from __future__ import annotations

from padiff_graph.executor.partition import Update
from padiff_graph.matching.result import Matching

__all__ = ["buffer_updates"]


def buffer_updates(matching: Matching) -> tuple[Update, ...]:
    """The buffers that both sides change, through the parameter map; a map that moves elements is
    left to the whole run."""
    first, second = matching.first.graph.updates, matching.second.graph.updates
    updates: list[Update] = []
    for row in matching.parameters:
        if row.first not in first or len(row.pieces) != 1:
            continue
        piece = row.pieces[0]
        if piece.second in second and piece.first_view.identity and piece.second_view.identity:
            updates.append(Update(row.first, piece.second, first[row.first], second[piece.second]))
    return tuple(updates)
