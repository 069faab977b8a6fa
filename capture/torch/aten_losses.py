"""Rows for ATen's whole losses: what they compute of each element, weighed and reduced."""

from __future__ import annotations

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal import lowering as rows
from padiff_graph.capture.normal.call import Call, Result, Unsupported
from padiff_graph.capture.normal.edges import broadcast, shape_of
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "absolute_distance",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "squared_distance",
]

REDUCTIONS = {1: "ReduceMean", 2: "ReduceSum"}
"""ATen's numbers for them (aten/src/ATen/core/Reduction.h); 0 is none."""


def squared_distance(call: Call) -> Result:
    """mse_loss."""
    return _reduced(call, rows.fixed_power(call, _difference(call), 2.0))


def absolute_distance(call: Call) -> Result:
    """l1_loss."""
    difference = _difference(call)
    return _reduced(call, call.draft("Abs", [difference], None, _elements(call, difference)))


def binary_cross_entropy(call: Call) -> Result:
    """binary_cross_entropy, of probabilities."""
    kind = _elements(call, call["self"])
    crossed = call.draft("BinaryCrossEntropy", [call["self"], call["target"]], None, kind)
    return _reduced(call, _weighed(call, crossed))


def binary_cross_entropy_with_logits(call: Call) -> Result:
    """binary_cross_entropy_with_logits; the weight of positives is an operand."""
    operands = [call["self"], call["target"]]
    positive = call.operand("pos_weight")
    if positive is not None:
        operands.append(broadcast(positive, shape_of(call["self"])))
    kind = _elements(call, call["self"])
    crossed = call.draft("BinaryCrossEntropyWithLogits", operands, None, kind)
    return _reduced(call, _weighed(call, crossed))


def _elements(call: Call, edge: Edge) -> TensorType:
    return TensorType(shape_of(edge), call.type().dtype)


def _difference(call: Call) -> Edge:
    """self - target, of one shape as the functions of torch.nn.functional see to it."""
    ours, theirs = call["self"], call["target"]
    if shape_of(ours) != shape_of(theirs):
        raise Unsupported(f"{call.record.op} of two shapes")
    return call.draft("Add", [ours, call.affine(theirs, -1.0)], None, _elements(call, ours))


def _weighed(call: Call, edge: Edge) -> Edge:
    weight = call.operand("weight")
    if weight is None:
        return edge
    shape = shape_of(edge)
    return call.draft("Mul", [edge, broadcast(weight, shape)], None, _elements(call, edge))


def _reduced(call: Call, edge: Edge) -> Result:
    op = REDUCTIONS.get(int(call.number("reduction", 1)))
    return edge if op is None else rows.reduce_over(call, op, edge, (), {})
