"""How large the terms are that a tensor sums up, where they may be far larger than their sum.

What is left of numbers that cancel is their rounding, and no side has lost precision there.
"""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.graph import Value
from padiff_graph.diagnosis.plain_names import plain_name
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Region
from padiff_graph.executor.seeded_cotangents import seeded_cotangent
from padiff_graph.executor.side_run import side_values
from padiff_graph.executor.tensor_pair import TensorPair

__all__ = ["summed_terms"]

FLATTENING = frozenset(
    {"tanh", "sigmoid", "log_sigmoid", "logsigmoid", "softplus", "erf"}
    | {"gelu", "silu", "swish", "mish", "elu", "celu", "selu"}
)
"""Operations whose slope is a difference that vanishes where they flatten out: 1 - tanh(x) ** 2."""


def summed_terms(tensor: TensorPair, pair: Pair, region: Region, feed: Fed) -> float:
    """The largest magnitude of such terms; 0.0 where they are no larger than their sum."""
    if tensor.kind == "buffer":
        return _of_update(tensor.first_name, pair, region, feed)
    if tensor.kind == "input" and _flattens(pair, region):
        return max(_largest_cotangent(pair, value) for value in region.cut.second)
    return 0.0


def _of_update(buffer: str, pair: Pair, region: Region, feed: Fed) -> float:
    """Of what a buffer's update reads first: the mean of a normalised value is nothing but the
    rounding of values that cancel."""
    side, part = pair.second, region.second
    update = next(update for update in region.updates if update.first == buffer)
    operand = side.graph.record(update.second_value.node).inputs[0]
    if operand is None:
        return 0.0
    array = feed.second.get(operand)
    if array is None:
        if operand.node not in part.nodes:
            return 0.0
        array = side_values(side, part, feed.second, (operand,))[operand]
    return float(np.abs(array).max(initial=0.0)) if array.dtype.kind in "fc" else 0.0


def _flattens(pair: Pair, region: Region) -> bool:
    graph = pair.second.graph
    return any(plain_name(graph.record(node).op) in FLATTENING for node in region.second.nodes)


def _largest_cotangent(pair: Pair, value: Value) -> float:
    """Of the cotangents that the region is differentiated under."""
    shape = tuple(pair.second.shape(value))
    return float(np.abs(seeded_cotangent(value, shape)).max(initial=0.0))
