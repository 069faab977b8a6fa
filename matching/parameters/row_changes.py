"""Parameter rows put in the place of others, with what is left over of the second model told
anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from padiff_graph.matching.result import Matching, ParameterRow

__all__ = ["filled", "with_rows"]


def with_rows(matching: Matching, rows: Mapping[str, ParameterRow]) -> Matching:
    """The matching with these rows, by name in the first model, in the place of its own."""
    parameters = tuple(rows.get(row.first, row) for row in matching.parameters)
    held: Counter[str] = Counter()
    for row in parameters:
        for piece in row.pieces:
            held[piece.second] += piece.second_view.size
    infos = matching.second.graph.parameters
    changed = {piece.second for row in rows.values() for piece in row.pieces}
    unused = tuple(
        name
        for name in matching.unused_second
        if name not in changed or held[name] < infos[name].type.size
    )
    return replace(matching, parameters=parameters, unused_second=unused)


def filled(matching: Matching, suggested: Mapping[str, ParameterRow]) -> Matching:
    """The matching with suggested rows where it has none of its own and what they read is left
    over; a suggestion never stands against what the computation shows."""
    left = set(matching.unused_second)
    rows: dict[str, ParameterRow] = {}
    for row in matching.parameters:
        known = suggested.get(row.first)
        if row.status != "open" or known is None:
            continue
        if all(piece.second in left for piece in known.pieces):
            rows[row.first] = replace(known, proved=False)
    return with_rows(matching, rows) if rows else matching
