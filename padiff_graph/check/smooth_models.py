"""Whether two models compute with smooth functions alone: without a kink, a jump or a pole.

Two such functions that agree at random numbers agree at constants too, so that there is nothing for
regions with the weights as they are to show.
"""

from __future__ import annotations

from padiff_graph.matching.result import Matching

__all__ = ["smooth"]

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


def smooth(matching: Matching) -> bool:
    """Whether both models compute with such operators alone."""
    return all(
        node.leaf
        or (node.op in SMOOTH and not node.opaque and bool(node.attrs.get("epsilon", True)))
        for side in (matching.first, matching.second)
        for node in side.nodes
    )
