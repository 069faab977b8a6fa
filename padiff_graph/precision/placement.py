"""Which values of a stand-in's graph are held in the low precision and which in float32.

The graph shows float64 for the low precision. Where both meet, float64 wins in the graph and
float32 wins in the model that is stood for; so what an operation yields is told from its operands.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value

__all__ = ["HIGH", "LOW", "Placement", "placed"]

LOW, HIGH = "low", "float32"
Placement = Mapping[Value, str]
"""LOW or HIGH of every value that is held in one of both."""
FOLLOW_FIRST = "norm"
"""Operators named so yield the dtype of what they normalise, whatever that of their weights."""
COUNTED = frozenset({"pd_op.arange", "pd_op.linspace", "pd_op.logspace"})
"""Operators whose bounds are numbers of the code, which Paddle writes as float64 values."""


def placed(graph: ComputationGraph, casts: frozenset[int]) -> Placement:
    """The precision of every floating value of a stand-in's graph.

    Args:
        graph: of the stand-in.
        casts: nodes that are casts which the code asks for.
    """
    held: dict[Value, str] = {}
    bounds = _bounds(graph)
    for node in graph.records():
        if node.kind == "output" or node.id in bounds:
            continue
        for number, kind in enumerate(node.outputs):
            if kind is None or kind.dtype not in ("float32", "float64"):
                continue
            value = Value(node.id, number)
            held[value] = HIGH
            if kind.dtype == "float64" and not _promoted(graph, node, kind, casts, held):
                held[value] = LOW
    return MappingProxyType(held)


def _bounds(graph: ComputationGraph) -> frozenset[int]:
    """Nodes that yield where a count begins and ends: no kernel holds these in a precision."""
    return frozenset(
        operand.node
        for node in graph.records()
        if node.op in COUNTED
        for operand in node.inputs
        if operand is not None and not graph.record(operand.node).inputs
    )


def _promoted(
    graph: ComputationGraph,
    node: Node,
    kind: TensorType,
    casts: frozenset[int],
    held: Mapping[Value, str],
) -> bool:
    """Whether an operation yields float32 where the graph says float64."""
    if node.kind != "operation" or node.id in casts:
        return False
    operands = [value for value in node.inputs if value in held]
    if FOLLOW_FIRST in node.op:
        operands = operands[:1]
    return any(
        held[operand] == HIGH and _decides(graph, operand, kind)
        for operand in operands
        if operand is not None and (graph.framework == "torch" or _double(graph, node, operand))
    )


def _double(graph: ComputationGraph, node: Node, operand: Value) -> bool:
    """Paddle writes a cast where two dtypes meet: what is float32 still takes no part."""
    kind = graph.type_of(operand)
    return kind is not None and (kind.dtype == "float64" or node.op == "pd_op.cast")


def _decides(graph: ComputationGraph, operand: Value, result: TensorType) -> bool:
    """A number without axes does not change the dtype of what has some (torch's promotion)."""
    kind = graph.type_of(operand)
    return kind is None or bool(kind.shape) or not result.shape or graph.framework != "torch"
