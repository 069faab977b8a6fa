"""Which weights of two models may be set to one number, where no map was found between some.

Each number of the one model has to be one of the other then. Rows of the map that no value proved
may be wrong, and are not relied on: what they are about is set to the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

from padiff_graph.capture.graph import ParameterInfo
from padiff_graph.matching.result import Matching
from padiff_graph.weights.unmapped import Unmapped, numbers_of

__all__ = ["Fillable", "fillable"]

REAL = ("float", "bfloat")
"""How the dtypes of real numbers begin."""

Names = frozenset[str]
_Sides = tuple[Names, Names]


@dataclass(frozen=True)
class Fillable:
    """What is set to what, on both sides.

    Attributes:
        weights: set to the number.
        buffers: set to its size: running statistics, of which one is a variance.
    """

    weights: _Sides
    buffers: _Sides

    def of(self, side: int) -> Names:
        """All of one side."""
        return self.weights[side] | self.buffers[side]


def fillable(matching: Matching, loose: Unmapped) -> Fillable | None:
    """Which weights may be set to one number; None where no such thing may be done."""
    rows = [row for row in matching.parameters if row.pieces]
    unproved = frozenset(row.first for row in rows if not row.proved)
    theirs = frozenset(piece.second for row in rows if not row.proved for piece in row.pieces)
    second = loose.second | theirs
    if any(piece.second in second for row in rows if row.proved for piece in row.pieces):
        return None  # a packed weight, of which a part has its counterpart
    for first in (loose.first - loose.neutral, loose.first):
        found = _one_for_one(matching, (first | unproved, second), loose)
        if found is not None:
            return found
    return None


def _one_for_one(matching: Matching, names: _Sides, loose: Unmapped) -> Fillable | None:
    """Both sides' weights and buffers apart, where they hold as many real numbers. A buffer without
    a counterpart is a table as a rule, and one model may compute what the other keeps."""
    graphs = matching.first.graph, matching.second.graph
    infos = [
        [graph.parameters[name] for name in own] for graph, own in zip(graphs, names, strict=True)
    ]
    first, second = (frozenset(info.name for info in side if info.buffer) for side in infos)
    counts = [numbers_of(graph, own) for graph, own in zip(graphs, names, strict=True)]
    without = (first & loose.first) | (second & loose.second)
    if counts[0] != counts[1] or without or not all(map(_real, (*infos[0], *infos[1]))):
        return None
    return Fillable((names[0] - first, names[1] - second), (first, second))


def _real(info: ParameterInfo) -> bool:
    return info.type.dtype.startswith(REAL)
