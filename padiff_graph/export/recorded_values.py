"""What operations of a region did, as numbers.

For those that no script can call: hooks, custom functions, draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.capture.interpreter import differentiable, leaf_tensor
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.region_run import Side, execute, run_node

__all__ = ["Recorded", "recorded"]


@dataclass(frozen=True)
class Recorded:
    """One operation on the values of its region.

    Attributes:
        results: by output; None where there is none.
        gradients: of each operand under the region's cotangents; None where none arrives.
    """

    results: tuple[Array | None, ...]
    gradients: tuple[Array | None, ...]


def recorded(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    seeds: Mapping[Value, Array],
    numbers: Sequence[int],
) -> dict[int, Recorded]:
    """Runs a side of a region, then each of some operations by itself on what it was given there.

    Raises:
        NotRunnable: where the region cannot be run.
    """
    own = set(numbers)
    operands = _operands(side, numbers)
    read = _operands(side, part.nodes)
    results = tuple(value for value in sorted({*read, *seeds}) if value.node in own)
    run = execute(side, part, feed, (*operands, *results), grad=False)
    values = {value: side.engine.array(tensor) for value, tensor in run.outputs.items()}
    # without them, their results stand as leaves: a hook acts on a gradient before anybody sees it
    rest = replace(
        part,
        values=(*part.values, *results),
        nodes=tuple(number for number in part.nodes if number not in own),
    )
    records: dict[int, Recorded] = {}
    pulled = dict(seeds)
    for number in sorted(numbers, reverse=True):
        asked = [
            value for value in results if value.node == number and differentiable(side.dtype(value))
        ]
        arriving = _arriving(side, rest, {**feed, **values}, pulled, asked)
        records[number] = _alone(side, number, values, arriving)
        inputs = side.graph.record(number).inputs
        for operand, gradient in zip(inputs, records[number].gradients, strict=True):
            if operand is not None and gradient is not None:
                pulled[operand] = pulled[operand] + gradient if operand in pulled else gradient
    return records


def _operands(side: Side, numbers: Iterable[int]) -> set[Value]:
    """What some operations read."""
    operands: set[Value] = set()
    for number in numbers:
        operands.update(value for value in side.graph.record(number).inputs if value is not None)
    return operands


def _arriving(
    side: Side,
    rest: Slice,
    feed: Mapping[Value, Array],
    pulled: Mapping[Value, Array],
    asked: Sequence[Value],
) -> dict[Value, Array]:
    """The gradients that arrive at values which stand as leaves."""
    if not asked or not pulled:
        return {}
    run = execute(side, rest, feed, tuple(pulled), grad=True)
    weights = [
        leaf_tensor(side.engine, seed, side.dtype(value), False, False)
        for value, seed in pulled.items()
    ]
    outputs = [run.outputs[value] for value in pulled]
    gradients = side.engine.grad(outputs, [run.boundary[value] for value in asked], weights)
    return {
        value: side.engine.array(gradient)
        for value, gradient in zip(asked, gradients, strict=True)
        if gradient is not None
    }


def _alone(
    side: Side, number: int, values: Mapping[Value, Array], arriving: Mapping[Value, Array]
) -> Recorded:
    """One operation on the values of its region, and what it sends back of what arrives."""
    record, engine = side.graph.record(number), side.engine
    silent = "no_grad" in record.marks
    operands = [
        None
        if value is None
        else leaf_tensor(engine, values[value], side.dtype(value), not silent, False)
        for value in record.inputs
    ]
    with engine.recording(not silent):
        results = run_node(side, record, operands)
    gradients: list[Array | None] = [None] * len(operands)
    if not silent:
        arrived = [
            (result, Value(number, position))
            for position, result in enumerate(results)
            if Value(number, position) in arriving
        ]
        places = [
            place
            for place, value in enumerate(record.inputs)
            if value is not None and differentiable(side.dtype(value))
        ]
        if arrived and places:
            seeds = [
                leaf_tensor(engine, arriving[value], side.dtype(value), False, False)
                for _, value in arrived
            ]
            outputs = [result for result, _ in arrived]
            sent = engine.grad(outputs, [operands[place] for place in places], seeds)
            for place, gradient in zip(places, sent, strict=True):
                gradients[place] = None if gradient is None else np.asarray(engine.array(gradient))
    arrays = (None if result is None else engine.array(result) for result in results)
    return Recorded(tuple(arrays), tuple(gradients))
