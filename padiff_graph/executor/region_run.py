"""Running one side of one region: its native operations on given inputs, with gradients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.executor.partition import Slice

__all__ = [
    "Execution",
    "Seconds",
    "Side",
    "differentiable",
    "execute",
    "gradients",
    "leaf",
    "run_node",
]

Tensor = Any
Seconds = defaultdict[str, float]
"""Time spent, by step."""
NONE: Mapping[int, Value] = {}
"""No operation left out."""


def differentiable(dtype: str) -> bool:
    """Whether gradients exist for a dtype, in graph spelling."""
    return dtype.startswith(("float", "bfloat", "complex"))


@dataclass
class Side:
    """One model's graph with everything needed to run pieces of it.

    Attributes:
        parameters: values by dotted name.
        draw: the draw of a random node.
        inputs: example leaves and large constants by node.
    """

    graph: ComputationGraph
    engine: Engine
    parameters: Mapping[str, Array]
    draw: Callable[[Node], Array | None]
    inputs: Mapping[int, Tensor]
    shapes: dict[Value, tuple[int, ...]] = field(default_factory=dict)

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape that the capture saw."""
        if value not in self.shapes:
            kind = self.graph.type_of(value)
            self.shapes[value] = kind.shape if kind else ()
        return self.shapes[value]

    def dtype(self, value: Value) -> str:
        """The dtype that the capture saw, in graph spelling."""
        kind = self.graph.type_of(value)
        return kind.dtype if kind else ""


@dataclass
class Execution:
    """One side of a region after its forward.

    Attributes:
        outputs: native tensors of the values asked for.
        boundary: the leaf tensors that stand for the cut values.
        parameters: the leaf tensors of parameters and buffers, by node.
    """

    outputs: dict[Value, Tensor]
    boundary: dict[Value, Tensor]
    parameters: dict[int, Tensor]


def execute(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    wanted: Sequence[Value],
    *,
    grad: bool,
    double: bool = False,
    instead: Mapping[int, Value] = NONE,
) -> Execution:
    """Runs the operations of a slice in program order on `feed`, the values of the cuts that it reads.
    An operation in `instead` is not run: it hands on that operand, in the shape of its result.

    Raises:
        NotRunnable: where an operation cannot be rerun; the message names it.
    """
    engine, graph = side.engine, side.graph
    values: dict[Value, Tensor] = {}
    boundary: dict[Value, Tensor] = {}
    parameters: dict[int, Tensor] = {}
    for value in part.values:
        values[value] = boundary[value] = leaf(engine, feed[value], side.dtype(value), grad, double)
    for number in part.leaves:
        record = graph.record(number)
        value = Value(number)
        if record.kind in ("parameter", "buffer"):
            kind = record.outputs[0]
            values[value] = parameters[number] = leaf(
                engine, side.parameters[record.name], kind.dtype if kind else "", grad, double
            )
        elif number in side.inputs and record.constant is None:
            tensor = side.inputs[number]
            if double and differentiable(side.dtype(value)):
                tensor = engine.tensor(engine.array(tensor).astype(np.float64), "float64")
            values[value] = tensor
        elif record.constant is not None:
            values[value] = leaf(engine, _shaped(record), side.dtype(value), False, double)
        else:
            raise NotRunnable(
                f"the value of {record.kind} {record.name or number!r} is not known to the capture"
            )
    last: dict[Value, int] = {}
    for number in part.nodes:
        for operand in graph.record(number).inputs:
            if operand is not None:
                last[operand] = number
    keep = set(wanted)
    for number in part.nodes:
        record = graph.record(number)
        if number in instead:
            values[Value(number)] = _handed_on(side, values[instead[number]], Value(number))
            continue
        silent = not grad or "no_grad" in record.marks
        with engine.recording(False) if silent else nullcontext():
            results = run_node(
                side,
                record,
                [None if operand is None else values[operand] for operand in record.inputs],
                double,
            )
        for position, result in enumerate(results):
            values[Value(number, position)] = result
        for operand in record.inputs:
            if operand is not None and last.get(operand) == number and operand not in keep:
                values.pop(operand, None)
    missing = [value for value in wanted if values.get(value) is None]
    if missing:
        raise NotRunnable(
            f"operation {graph.record(missing[0].node).op} yields no result {missing[0].output}"
        )
    return Execution({value: values[value] for value in wanted}, boundary, parameters)


def _handed_on(side: Side, tensor: Tensor, result: Value) -> Tensor:
    array = side.engine.array(tensor)
    return (
        tensor
        if array.shape == side.shape(result)
        else side.engine.tensor(array.reshape(side.shape(result)), None, False)
    )


def run_node(
    side: Side, record: Node, operands: Sequence[Tensor | None], double: bool = False
) -> Sequence[Tensor | None]:
    """One operation on given operands, with its draw where it is random.

    Raises:
        NotRunnable: where it cannot be rerun.
    """
    draw = (
        side.draw(record)
        if "random" in record.marks and "unshareable_random" not in record.marks
        else None
    )
    try:
        return side.engine.run(record, operands, double=double, draw=draw)
    except NotRunnable:
        if record.constant is None:
            raise
        return (
            leaf(
                side.engine,
                _shaped(record),
                record.outputs[0].dtype if record.outputs and record.outputs[0] else "",
                False,
                double,
            ),
        )
    except Exception as error:
        raise NotRunnable(
            f"{record.op} of module {record.path or 'root'!r} ({record.source}) cannot run on what the other model's values give: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        ) from error


def _shaped(record: Node) -> Array:
    """A node's constant in the shape that the framework holds it in."""
    constant = record.constant
    assert constant is not None
    kind = record.outputs[0] if record.outputs else None
    return (
        constant.reshape(kind.shape)
        if kind is not None and kind.size == constant.size
        else constant
    )


def leaf(engine: Engine, array: Array, dtype: str, grad: bool, double: bool) -> Tensor:
    """A tensor of its own for an array of a graph's dtype."""
    floating = differentiable(dtype) if dtype else array.dtype.kind in "fc"
    if double and floating and array.dtype.kind == "f":
        return engine.tensor(array.astype(np.float64), "float64", grad)
    return engine.tensor(array, dtype or None, grad and floating)


def gradients(
    side: Side, execution: Execution, cotangents: Mapping[Value, Array], *, double: bool = False
) -> tuple[dict[Value, Array | None], dict[int, Array | None]]:
    """Gradients of the boundary values and the parameters, None where no path leads to one."""
    engine = side.engine
    outputs, seeds = [], []
    for value, cotangent in cotangents.items():
        dtype = side.dtype(value)
        if value in execution.outputs and differentiable(dtype):
            outputs.append(execution.outputs[value])
            seeds.append(leaf(engine, cotangent, dtype, False, double))
    names: list[Value | int] = [
        value for value in execution.boundary if differentiable(side.dtype(value))
    ]
    names += [
        number for number in execution.parameters if differentiable(side.dtype(Value(number)))
    ]
    leaves = [
        execution.boundary[name] if isinstance(name, Value) else execution.parameters[name]
        for name in names
    ]
    found = engine.grad(outputs, leaves, seeds) if outputs and leaves else [None] * len(leaves)
    arrays = [None if tensor is None else engine.array(tensor) for tensor in found]
    return (
        {name: array for name, array in zip(names, arrays, strict=True) if isinstance(name, Value)},
        {
            name: array
            for name, array in zip(names, arrays, strict=True)
            if not isinstance(name, Value)
        },
    )
