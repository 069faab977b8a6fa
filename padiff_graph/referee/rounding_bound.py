"""How much of a difference rounding may explain, from what a region computes.

Rounding of a sum of K terms grows like sqrt(K) times the unit of the precision; each operation adds
its own. The bound decides only who is sent to the float64 referee, so it is held tight: regions of
correct ports seldom exceed it (measured worst cases, float32, largest difference over largest
value: convolution 1.5e-6 forward and 3.6e-6 in the weight's gradient, batch norm 2.9e-7 and 7.5e-6,
    linear
1.5e-6, attention 6e-6, layer norm 3.2e-7 and 7.3e-6, gelu 1.9e-7, relu, add and max pooling 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType

__all__ = ["UNITS", "growth", "input_growth", "parameter_growth", "precision"]

UNITS: Mapping[str, float] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "complex64": 2.0**-24,
    "complex128": 2.0**-53,
}
"""Unit roundoff by dtype."""


PER_REGION = 2.0
"""Units that the values read and the comparison itself leave: one rounding on each side."""
PER_OPERATION = 2.0
"""Units that an operation leaves besides its sum: the rounding of its result on each side."""
PER_PARAMETER = 4.0
"""The same for a parameter's gradient, which is a product before it is a sum."""


def precision(graph: ComputationGraph, nodes: Iterable[int]) -> str:
    """The coarsest floating dtype that operations compute in; "" where none does."""
    dtypes: list[str] = []
    for number in nodes:
        for kind in graph.record(number).outputs:
            if kind is not None and kind.dtype in UNITS:
                dtypes.append(kind.dtype)
    return max(dtypes, key=UNITS.__getitem__, default="")


def _contraction(inputs: Sequence[TensorType], output: TensorType) -> float:
    """Terms of a product: sqrt(|a| |b| / |out|) is K of [M, K] x [K, N], and more for a batched
    one."""
    sizes = sorted((kind.size for kind in inputs), reverse=True)[:2]
    return math.sqrt(sizes[0] * sizes[1] / max(output.size, 1)) if len(sizes) == 2 else 1.0


def _window(inputs: Sequence[TensorType], output: TensorType) -> float:
    """Terms of a convolution: the weight's elements an output channel."""
    weights = [kind for kind in inputs[1:] if len(kind.shape) >= 3]
    return weights[0].size / max(weights[0].shape[0], 1) if weights else 1.0


def _normalised(inputs: Sequence[TensorType], output: TensorType) -> float:
    """Elements that share one mean: at most all elements over the channels."""
    scales = [kind.size for kind in inputs[1:] if 1 < kind.size < output.size]
    if scales:
        return output.size / scales[0]
    return output.size / max(output.shape[0], 1) if output.shape else 1.0


def _axis(inputs: Sequence[TensorType], output: TensorType) -> float:
    return float(max(output.shape, default=1))


def _reduced(inputs: Sequence[TensorType], output: TensorType) -> float:
    return float(max((kind.size for kind in inputs), default=1)) / max(output.size, 1)


def _whole(inputs: Sequence[TensorType], output: TensorType) -> float:
    return math.sqrt(max((kind.size for kind in inputs), default=1))


TERMS: Mapping[str, Callable[[Sequence[TensorType], TensorType], float]] = {
    "matmul": _contraction,
    "linear": _contraction,
    "addmm": _contraction,
    "bmm": _contraction,
    "einsum": _contraction,
    "gemm": _contraction,
    "attention": _whole,
    "conv": _window,
    "norm": _normalised,
    "softmax": _axis,
    "cumsum": _axis,
    "lstm": _whole,
    "gru": _whole,
    "rnn": _whole,
}
"""Number of summed terms by a fragment of the operator's native name; else elements read per
element made."""


def _terms(record: Node, graph: ComputationGraph) -> float:
    inputs = [
        kind
        for operand in record.inputs
        if operand is not None and (kind := graph.type_of(operand)) is not None
    ]
    output = record.outputs[0] if record.outputs else None
    if output is None or not inputs:
        return 1.0
    name = record.op.lower()
    rule = next((rule for fragment, rule in TERMS.items() if fragment in name), _reduced)
    return max(rule(inputs, output), 1.0)


def growth(graph: ComputationGraph, nodes: Iterable[int]) -> float:
    """How many units of rounding the operations may leave, relative to the largest value."""
    total = PER_REGION
    for number in nodes:
        record = graph.record(number)
        if record.outputs and record.outputs[0] is not None and record.outputs[0].dtype in UNITS:
            total += PER_OPERATION + math.sqrt(_terms(record, graph))
    return total


def input_growth(graph: ComputationGraph, nodes: Iterable[int]) -> float:
    """Further units for the gradients of what operations read: each element of the operand sums
    over all elements of the result that it went into, of which there may be more than terms in one
    of them."""
    total = 0.0
    for number in nodes:
        record = graph.record(number)
        operand, output = _first_type(record, graph), next(iter(record.outputs), None)
        if operand is None or not operand.size or output is None or output.dtype not in UNITS:
            continue
        terms = _terms(record, graph)
        readers = terms * output.size / operand.size
        total += max(math.sqrt(readers) - math.sqrt(terms), 0.0)
    return total


def _first_type(record: Node, graph: ComputationGraph) -> TensorType | None:
    operand = next(iter(record.inputs), None)
    return None if operand is None else graph.type_of(operand)


def parameter_growth(positions: float) -> float:
    """Further units for a parameter's gradient, which sums over positions of what a region
    yields."""
    return PER_PARAMETER + 2.0 * math.sqrt(positions)
