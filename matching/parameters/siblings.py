"""Parameters that one model reads for no rows at all and the other not: an expert that no row of
the example chose, where one loops over all experts and the other over the chosen ones.

No value tells where such a parameter comes from, and none of this example depends on it. Its
siblings, the same weight under other numbers, say it where all of them go one way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from padiff_graph.matching.parameters.names import numbers, template
from padiff_graph.matching.parameters.parameter_readers import ParameterReaders
from padiff_graph.matching.result import ParameterRow

__all__ = ["AS_SIBLINGS", "with_siblings"]

CONFIDENCE = 0.6
"""Of a row that nothing has proved."""
AS_SIBLINGS = (
    "as in its siblings; read for no rows of this example by one model and not by the other"
)
LEAST = 2
"""Siblings that have to agree: one alone shows no way of numbering."""

Family = tuple[str, tuple[int, ...]]
"""Template and shape."""
Numbered = tuple[str, tuple[int, ...]]
"""Template and the numbers in their places."""


def with_siblings(
    rows: Sequence[ParameterRow],
    first: ParameterReaders,
    second: ParameterReaders,
    unread_first: Collection[str],
    unread_second: Collection[str],
) -> list[ParameterRow]:
    """The rows, those of parameters that one model alone reads, and for no rows, filled as their
    siblings' are.

    Args:
        rows: of all parameters of the first model.
        first, second: what reads the parameters of each model.
        unread_first, unread_second: parameters that the computation does not read.
    """
    idle: Mapping[Numbered, str] = {}
    if unread_first:
        idle = _by_numbers(name for name in second.infos if _for_no_rows(name, second))
    unread = _by_numbers(unread_second)
    free: dict[str, Mapping[Numbered, str]] = {}
    for row in rows:
        if row.first in unread_first:
            free[row.first] = idle
        elif row.status in ("open", "neutral") and unread and _for_no_rows(row.first, first):
            free[row.first] = unread
    if not any(free.values()):
        return list(rows)
    families: dict[Family, list[ParameterRow]] = defaultdict(list)
    for row in rows:
        if row.status == "mapped":
            families[_family(row.first, first)].append(row)
    taken = {piece.second for row in rows for piece in row.pieces}
    filled = []
    for row in rows:
        if free.get(row.first) and not row.pieces:
            siblings = families[_family(row.first, first)]
            row = _filled(row, siblings, free[row.first], taken, (first, second))
        filled.append(row)
    return filled


def _by_numbers(names: Iterable[str]) -> dict[Numbered, str]:
    return {(template(name), numbers(name)): name for name in names}


def _family(name: str, readers: ParameterReaders) -> Family:
    return template(name), readers.shape(name)


def _for_no_rows(name: str, readers: ParameterReaders) -> bool:
    """Whether all that reads a parameter yields values without elements."""
    reads = readers.of(name)
    return bool(reads) and all(
        node is not None
        and bool(node.outputs)
        and all(math.prod(result.shape) == 0 for result in node.outputs)
        for node, _, _ in reads
    )


def _filled(
    row: ParameterRow,
    siblings: Sequence[ParameterRow],
    free: Mapping[Numbered, str],
    taken: Collection[str],
    readers: tuple[ParameterReaders, ParameterReaders],
) -> ParameterRow:
    """The row with the siblings' piece, of the same numbers; itself where they disagree."""
    if len(siblings) < LEAST or not all(_plain(sibling, readers[1]) for sibling in siblings):
        return row
    model = siblings[0].pieces[0]
    words = template(model.second)
    shape = readers[1].shape(model.second)
    alike = all(
        template(sibling.pieces[0].second) == words
        and readers[1].shape(sibling.pieces[0].second) == shape
        and sibling.pieces[0].second_view.same(model.second_view)
        for sibling in siblings
    )
    name = free.get((words, numbers(row.first)))
    if not alike or name is None or name in taken or readers[1].shape(name) != shape:
        return row
    pieces = (replace(model, second=name),)
    return ParameterRow(row.first, pieces, siblings[0].transform, CONFIDENCE, AS_SIBLINGS)


def _plain(row: ParameterRow, second: ParameterReaders) -> bool:
    """Whether a row is the whole of one parameter with the same numbers in its name."""
    if len(row.pieces) != 1 or not row.pieces[0].first_view.identity:
        return False
    piece = row.pieces[0]
    whole = piece.second_view.size == math.prod(second.shape(piece.second))
    return whole and numbers(piece.second) == numbers(row.first)
