"""Weights whose features one model reads as complex numbers and the other as they are: those of
query and key before a rotary embedding, which may stand in another order of features there."""

from __future__ import annotations

from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.matching.result import Matching

__all__ = ["read_as_complex"]


def read_as_complex(matching: Matching) -> frozenset[str]:
    """The first model's names of these weights; none where both compute with complex numbers, or
    neither does."""
    ours, theirs = (_made_complex(side.graph) for side in (matching.first, matching.second))
    if bool(ours) == bool(theirs):
        return frozenset()
    if ours:
        return frozenset(_weights_before(matching.first.graph, ours))
    names = _weights_before(matching.second.graph, theirs)
    return frozenset(
        row.first
        for row in matching.parameters
        if row.pieces and all(piece.second in names for piece in row.pieces)
    )


def _made_complex(graph: ComputationGraph) -> list[Node]:
    """Operations with a complex result that read no complex number."""
    return [
        record
        for record in graph.records()
        if _is_complex(record) and not any(map(_is_complex, _read(graph, record)))
    ]


def _is_complex(record: Node) -> bool:
    return any(kind is not None and kind.dtype.startswith("complex") for kind in record.outputs)


def _read(graph: ComputationGraph, record: Node) -> list[Node]:
    return [graph.record(value.node) for value in record.inputs if value is not None]


def _weights_before(graph: ComputationGraph, starts: list[Node]) -> set[str]:
    """The parameters that the features come through: back to the product that makes them, with
    what has one axis (a bias, a norm's scale) on the way."""
    names: set[str] = set()
    seen: set[int] = set()
    waiting = list(starts)
    while waiting:
        record = waiting.pop()
        if record.id in seen:
            continue
        seen.add(record.id)
        operands = _read(graph, record)
        owned = [operand for operand in operands if operand.kind == "parameter"]
        names |= {operand.name for operand in owned}
        if not any(len(graph.parameters[operand.name].type.shape) > 1 for operand in owned):
            waiting += operands
    return names
