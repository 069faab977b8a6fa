"""What operations of a region did, as numbers: for those that no script can call (hooks, custom functions, draws)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Runs a side of a region, then each operation of `numbers` by itself on what it was given there.

    Raises:
        NotRunnable: where the region cannot be run.
    """
    graph, engine, own = side.graph, side.engine, set(numbers)
    operands = {
        operand
        for number in numbers
        for operand in graph.record(number).inputs
        if operand is not None
    }
    read = {
        operand
        for number in part.nodes
        for operand in graph.record(number).inputs
        if operand is not None
    }
    results = tuple(value for value in sorted({*read, *seeds}) if value.node in own)
    run = execute(side, part, feed, (*operands, *results), grad=False)
    values = {value: engine.array(tensor) for value, tensor in run.outputs.items()}
    # without them, their results stand as leaves: hooks act on a gradient before anybody else can see it
    rest = replace(
        part,
        values=(*part.values, *results),
        nodes=tuple(number for number in part.nodes if number not in own),
    )
    found: dict[int, Recorded] = {}
    pulled = dict(seeds)
    for number in sorted(numbers, reverse=True):
        asked = [
            value for value in results if value.node == number and differentiable(side.dtype(value))
        ]
        found[number] = _alone(
            side, number, values, _arriving(side, rest, {**feed, **values}, pulled, asked)
        )
        for operand, gradient in zip(
            graph.record(number).inputs, found[number].gradients, strict=True
        ):
            if operand is not None and gradient is not None:
                pulled[operand] = pulled[operand] + gradient if operand in pulled else gradient
    return found


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
    found = side.engine.grad(
        [run.outputs[value] for value in pulled], [run.boundary[value] for value in asked], weights
    )
    return {
        value: side.engine.array(gradient)
        for value, gradient in zip(asked, found, strict=True)
        if gradient is not None
    }


def _alone(
    side: Side, number: int, values: Mapping[Value, Array], arriving: Mapping[Value, Array]
) -> Recorded:
    record, engine = side.graph.record(number), side.engine
    silent = "no_grad" in record.marks
    given = [
        None
        if operand is None
        else leaf_tensor(engine, values[operand], side.dtype(operand), not silent, False)
        for operand in record.inputs
    ]
    with engine.recording(not silent):
        results = run_node(side, record, given)
    back = {
        position: arriving[value]
        for position in range(len(results))
        if (value := Value(number, position)) in arriving
    }
    gradients: list[Array | None] = [None] * len(given)
    tensors = {
        place: tensor
        for place, (operand, tensor) in enumerate(zip(record.inputs, given, strict=True))
        if operand is not None and differentiable(side.dtype(operand))
    }
    if back and tensors and not silent:
        seeds = [
            leaf_tensor(engine, array, side.dtype(Value(number, position)), False, False)
            for position, array in back.items()
        ]
        found = engine.grad([results[position] for position in back], list(tensors.values()), seeds)
        for place, gradient in zip(tensors, found, strict=True):
            gradients[place] = None if gradient is None else np.asarray(engine.array(gradient))
    return Recorded(
        tuple(None if result is None else engine.array(result) for result in results),
        tuple(gradients),
    )
