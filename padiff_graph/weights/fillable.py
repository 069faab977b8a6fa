"""Which weights of two models may be set to one number, where no map was found between some.

Each number of the one model has to be one of the other then. Rows of the map that no value proved
may be wrong, and are not relied on: what they are about is set to the same number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from padiff_graph.capture.graph import ParameterInfo
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.operator_traits import Layout
from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.result import Matching
from padiff_graph.weights.unmapped import Unmapped, numbers_of

__all__ = ["Fillable", "fillable"]

ADDING = ("Add", "LSTM", "GRU", "RNN")
"""Operators that do nothing with a vector but add it; recurrent layers hold vectors as biases."""
PRODUCTS = (Layout.LINEAR, Layout.MATMUL, Layout.CONVOLUTION)
"""Layouts of operators whose third operand is a bias."""
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
        added: set to zero: vectors of which one model may hold as a sum what the other adds.
    """

    weights: _Sides
    buffers: _Sides
    added: _Sides = (frozenset(), frozenset())

    def of(self, side: int) -> Names:
        """All of one side."""
        return self.weights[side] | self.buffers[side] | self.added[side]


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
    return _but_for_sums(matching, ((loose.first - loose.neutral) | unproved, second), loose)


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


def _but_for_sums(matching: Matching, names: _Sides, loose: Unmapped) -> Fillable | None:
    """The weights without the vectors that both models do nothing with but add them, where the
    others hold as many numbers: what one adds the other may hold as a sum."""
    normals = matching.first, matching.second
    added = tuple(
        frozenset(name for name in own if len(normal.graph.parameters[name].type.shape) < 2)
        for normal, own in zip(normals, names, strict=True)
    )
    if not loose.matrices or not all(map(_only_added, normals, added)):
        return None
    found = _one_for_one(matching, (names[0] - added[0], names[1] - added[1]), loose)
    infos = [normals[side].graph.parameters[name] for side in (0, 1) for name in added[side]]
    if found is None or any(info.buffer or not _real(info) for info in infos):
        return None
    return replace(found, added=(added[0], added[1]))


def _only_added(normal: NormalGraph, names: Names) -> bool:
    """Whether nothing is done with some parameters but that they are added."""
    owners = {node.id for node in normal.nodes if node.op == "Parameter" and node.name in names}
    return all(
        edge is None or edge.source not in owners or _adds(node, place)
        for node in normal.nodes
        for place, edge in enumerate(node.inputs)
    )


def _adds(node: NormalNode, place: int) -> bool:
    """Whether an operand is added: of a sum, as the bias of a product, in a recurrent layer."""
    if node.op in ADDING:
        return True
    return place > 1 and traits(node.op).layout in PRODUCTS


def _real(info: ParameterInfo) -> bool:
    return info.type.dtype.startswith(REAL)
