"""Which operations are smooth functions: without a kink, a jump or a pole.

Two such functions that agree at random numbers agree at constants too, so that a region of nothing
else has nothing to show with the weights as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.matching.result import Matching

__all__ = ["smooth_operations"]

SMOOTH = frozenset(
    {
        "Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "ConvTranspose", "Cos",
        "Detach", "Dropout", "Einsum", "Erf", "Exp", "GRU", "Gather", "Gelu", "GroupNormalization",
        "Identity", "InstanceNormalization", "LSTM", "LayerNormalization", "Linear", "LogSigmoid",
        "LogSoftmax", "MatMul", "Mish", "Mul", "RMSNormalization", "ReduceMean", "ReduceSum",
        "Sigmoid", "Sin", "Softmax", "Softplus", "Swish", "Tanh",
    }
)  # fmt: skip
"""Operators that have a continuous derivative wherever their operands are finite; norms where they
add an epsilon to a variance."""


def smooth_operations(matching: Matching) -> tuple[frozenset[int], frozenset[int]]:
    """The native operations of each model that such operators stand for. What stands for no
    operator, a view say, is not among them."""
    first, second = (_smooth(side.nodes) for side in (matching.first, matching.second))
    return first, second


def _smooth(nodes: Iterable[NormalNode]) -> frozenset[int]:
    inside: set[int] = set()
    kinked: set[int] = set()  # what two nodes share is smooth where both are
    for node in nodes:
        alike = node.op in SMOOTH and not node.opaque and bool(node.attrs.get("epsilon", True))
        (inside if alike or node.leaf else kinked).update(node.native)
    return frozenset(inside - kinked)
