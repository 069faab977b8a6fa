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
DEVIATIONS = frozenset({"std", "std_mean", "var", "var_mean"})
"""Operations that compute how far values are from their mean."""


def summed_terms(tensor: TensorPair, pair: Pair, region: Region, feed: Fed) -> float:
    """The largest magnitude of such terms; 0.0 where they are no larger than their sum."""
    if tensor.kind == "buffer":
        return _of_update(tensor.first_name, pair, region, feed)
    if tensor.kind == "input" and _flattens(pair, region):
        return max(_largest_cotangent(pair, value) for value in region.cut.second)
    if not _deviates(pair, region):
        return 0.0
    size = _of_deviation(region, feed)
    cotangents = [_largest_cotangent(pair, value) for value in region.cut.second]
    return size if tensor.kind == "output" else size * max(1.0, *cotangents)


def _deviates(pair: Pair, region: Region) -> bool:
    """Whether a side computes how far values are from their mean: of equal ones nothing is left but
    rounding."""
    sides = (pair.first.graph, region.first), (pair.second.graph, region.second)
    names = [{plain_name(graph.record(node).op) for node in part.nodes} for graph, part in sides]
    return any(not own.isdisjoint(DEVIATIONS) for own in names)


def _of_deviation(region: Region, feed: Fed) -> float:
    """Of what such a region reads, or of its squares."""
    read = [feed.second[value] for value in region.second.values if value in feed.second]
    sizes = [float(np.abs(array).max(initial=0.0)) for array in read if array.dtype.kind == "f"]
    largest = max(sizes, default=0.0)
    return max(largest, largest**2)


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
