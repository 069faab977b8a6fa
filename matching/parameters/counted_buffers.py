"""Buffers that one model reads in its computation and the other as plain numbers of Python: the
pointer of a queue, a counter that a slice takes its bounds from.

No operation of the other model reads such a buffer, so that no value tells where it comes from. Its
name does; what both runs write into it is held against each other all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.parameter_readers import ParameterReaders
from padiff_graph.matching.result import ParameterRow, Piece

__all__ = ["AS_NUMBER", "with_counted_buffers"]

CONFIDENCE = 0.6
"""Of a row that nothing but the name shows."""
AS_NUMBER = "by its name; one model's operations read it, the other reads it as a number or not"


def with_counted_buffers(
    rows: Sequence[ParameterRow],
    first: ParameterReaders,
    second: ParameterReaders,
    idle_first: Collection[str],
    idle_second: Collection[str],
) -> list[ParameterRow]:
    """The rows, those of whole-numbered buffers that one model alone reads filled by name.

    Args:
        rows: of all parameters of the first model.
        first, second: what reads the parameters of each model.
        idle_first, idle_second: parameters that no operation reads.
    """
    taken = {piece.second for row in rows for piece in row.pieces}
    filled = []
    for row in rows:
        name = second.first_name.get(row.first, "")
        read = row.first not in idle_first, name not in idle_second
        if not row.pieces and name not in taken and read[0] != read[1]:
            row = _filled(row, name, first, second)
        filled.append(row)
    return filled


def _filled(
    row: ParameterRow, name: str, first: ParameterReaders, second: ParameterReaders
) -> ParameterRow:
    if not name or not (_counts(row.first, first) and _counts(name, second)):
        return row
    if first.shape(row.first) != second.shape(name):
        return row
    whole = View.of(first.shape(row.first))
    return ParameterRow(row.first, (Piece(name, whole, whole),), "identity", CONFIDENCE, AS_NUMBER)


def _counts(name: str, readers: ParameterReaders) -> bool:
    """Whether it is a buffer of whole numbers: of others Python makes no bound."""
    info = readers.infos[name]
    return info.buffer and info.type.dtype.startswith(("int", "uint"))
