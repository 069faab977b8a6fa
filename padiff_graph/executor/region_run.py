"""Running one side of one region: its native operations on given inputs, with gradients.

What is handed in are ids and arrays; the native tensors of an `Execution` are for `gradients` only.
`padiff_graph.executor.side_run` asks and answers in arrays altogether.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import (
    Interpreter,
    Known,
    LateLeaf,
    differentiable,
    leaf_tensor,
    made,
)
from padiff_graph.capture.late_array import LateArray
from padiff_graph.executor.partition import Slice

__all__ = [
    "Execution",
    "Seconds",
    "Side",
    "execute",
    "gradients",
    "members",
    "run_node",
]

Tensor = Any
Seconds = defaultdict[str, float]
"""Time spent, by step."""
AT_ONCE = 1 << 29
"""Bytes of weights that a region keeps until its backward; those of a larger one are read again.
Chosen above the largest weight of most models; with gradients, float64 and the second side's, a
region takes some ten times as much."""
NONE: Mapping[int, Value] = {}
"""No operation left out."""
AS_CAPTURED: Mapping[int, Node] = {}
"""No operation called otherwise."""


@dataclass
class Side:
    """One model's graph with everything needed to run pieces of it.

    Attributes:
        graph: the capture.
        engine: the engine of its model.
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
    kept: Any = field(default=None, init=False, repr=False, compare=False)
    """The same in the process of its model, where that is another; set when it is first asked."""

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape that the capture saw."""
        if value not in self.shapes:
            kind = self.graph.type_of(value)
            self.shapes[value] = kind.shape if kind else ()
        return self.shapes[value]

    def dtype(self, value: Value) -> str:
        """The dtype that the capture saw, in graph spelling."""
        return self.graph.record(value.node).dtype(value.output)


@dataclass
class Execution:
    """One side of a region after its forward.

    Attributes:
        outputs: native tensors of the values asked for.
        boundary: the leaf tensors that stand for the cut values.
        parameters: the leaf tensors of parameters and buffers, by node.
        arrived: gradients of weights that were read for each reader, by node; filled by
            `gradients`.
        late: whether there are such weights.
    """

    outputs: dict[Value, Tensor]
    boundary: dict[Value, Tensor]
    parameters: dict[int, Tensor]
    arrived: dict[int, Array]
    late: bool


class _RegionRun(Interpreter):
    """Runs operations of one side; `owned` are the leaves of parameters and buffers by node."""

    def __init__(
        self,
        side: Side,
        *,
        record: bool = False,
        double: bool = False,
        instead: Mapping[int, Value] = NONE,
        turned: Collection[int] = (),
        altered: Mapping[int, Node] = AS_CAPTURED,
        shaped: bool = False,
    ) -> None:
        parameters = side.parameters.__getitem__
        super().__init__(
            side.graph, side.engine, parameters, side.inputs, record=record, double=double
        )
        self.side = side
        self.instead = instead
        self.turned = turned
        self.altered = altered
        self.shaped = shaped
        self.owned: dict[int, Tensor] = {}

    def leaf(self, node: Node) -> Tensor:
        if node.kind in ("parameter", "buffer"):
            tensor = super().leaf(node)
            if not isinstance(tensor, LateLeaf):
                self.owned[node.id] = tensor
            return tensor
        if node.id in self.inputs and not self.double:
            return self.inputs[node.id]  # shared: no gradient of it is asked for
        return super().leaf(node)

    def asks(self, node: Node) -> bool:
        return node.kind in ("parameter", "buffer")

    def draw(self, node: Node) -> Array | None:
        return self.side.draw(node)

    def produced(self, value: Value, tensor: Tensor) -> None:
        if self.shaped and tuple(tensor.shape) != self.side.shape(value):
            record = self.graph.record(value.node)
            raise NotRunnable(
                f"{record.op} of module {record.path or 'root'!r} yields the shape "
                f"{list(tensor.shape)} where {list(self.side.shape(value))} was captured"
            )

    def operation(self, node: Node, operands: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if node.id in self.instead:
            return (self._handed_on(node, operands),)
        if node.id in self.turned:
            operands = _turned(node, operands)
        altered = self.altered.get(node.id, node)
        if altered.inputs != node.inputs:
            operands = _chosen(node, operands, altered)
        try:
            return super().operation(altered, operands)
        except NotRunnable:
            if node.constant is None:
                raise
            constant = node.shaped_constant()
            return (leaf_tensor(self.engine, constant, node.dtype(), False, self.double),)
        except Exception as error:  # whatever a framework raises for operands that do not fit
            where = f"{node.op} of module {node.path or 'root'!r} ({node.source})"
            raise NotRunnable(
                f"{where} cannot run on what the other model's values give: "
                f"{type(error).__name__}: {_first_line(error)}"
            ) from error

    def _handed_on(self, node: Node, operands: Sequence[Tensor | None]) -> Tensor:
        """The operand that stands for an operation's result, in the shape of that."""
        tensor = operands[node.inputs.index(self.instead[node.id])]
        shape = self.side.shape(Value(node.id))
        array = self.engine.array(tensor)
        if array.shape == shape:
            return tensor
        if array.size != prod(shape):  # fed by the other model, of other sizes than captured
            raise NotRunnable(
                f"{node.op} of module {node.path or 'root'!r} is not run, and what it reads, of "
                f"the shape {list(array.shape)}, does not stand for its result, of {list(shape)}"
            )
        return self.engine.tensor(array.reshape(shape), None, False)


def members(node: Node) -> tuple[int, ...]:
    """Which of its operands are members of a list of tensors, in order."""
    return tuple(place for place, role in enumerate(node.roles) if role.endswith("]"))


def _turned(node: Node, operands: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The operands with the members of its list in reverse order."""
    turned = list(operands)
    places = members(node)
    for place, mate in zip(places, reversed(places), strict=True):
        turned[place] = operands[mate]
    return turned


def _chosen(node: Node, operands: Sequence[Tensor | None], altered: Node) -> list[Tensor | None]:
    """The operands that an altered operation reads, of those that were captured."""
    known = dict(zip(node.inputs, operands, strict=True))
    return [None if value is None else known[value] for value in altered.inputs]


def execute(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    wanted: Sequence[Value],
    *,
    grad: bool,
    double: bool = False,
    instead: Mapping[int, Value] = NONE,
    turned: Collection[int] = (),
    altered: Mapping[int, Node] = AS_CAPTURED,
    shaped: bool = False,
) -> Execution:
    """Runs the operations of a slice in program order.

    Args:
        side: whose graph.
        part: operations and leaves.
        feed: the values of the cuts that they read.
        wanted: values to hand out.
        grad: record, for `gradients`.
        double: compute in float64.
        instead: operations that are not run; each hands on that operand, in its result's shape.
        turned: operations that read their list of tensors in reverse order.
        altered: operations that are called otherwise than captured.
        shaped: stop at a value of another shape than was captured: a kernel may end the process
            over operands that do not fit.

    Raises:
        NotRunnable: where an operation cannot be rerun; the message names it.
    """
    graph = side.graph
    run = _RegionRun(
        side,
        record=grad,
        double=double,
        instead=instead,
        turned=turned,
        altered=altered,
        shaped=shaped,
    )
    run.lean = _read_late(side, part) > AT_ONCE
    boundary = {
        value: leaf_tensor(side.engine, feed[value], side.dtype(value), grad, double)
        for value in part.values
    }
    known: Known = dict(boundary)
    for number in part.leaves:  # an integer that is known beforehand is a leaf too: it is not run
        known[Value(number)] = run.leaf(graph.record(number))
    late = any(isinstance(value, LateLeaf) for value in known.values())
    nodes = [graph.record(number) for number in part.nodes]
    run.run(nodes, known, keep=set(wanted))
    for value in wanted:
        if known.get(value) is None:
            raise NotRunnable(
                f"operation {graph.record(value.node).op} yields no result {value.output}"
            )
    outputs = {value: made(known[value]) for value in wanted}
    return Execution(outputs, boundary, run.owned, run.arrived, late)


def _read_late(side: Side, part: Slice) -> int:
    """Bytes of the weights of a slice that are not in memory."""
    records = (side.graph.record(number) for number in part.leaves)
    names = (record.name for record in records if record.kind in ("parameter", "buffer"))
    arrays = (side.parameters[name] for name in names)
    return sum(array.nbytes for array in arrays if isinstance(array, LateArray))


def run_node(
    side: Side, record: Node, operands: Sequence[Tensor | None], double: bool = False
) -> Sequence[Tensor | None]:
    """One operation on given operands, with its draw where it is random.

    Raises:
        NotRunnable: where it cannot be rerun.
    """
    return _RegionRun(side, double=double).operation(record, operands)


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
            seeds.append(leaf_tensor(engine, cotangent, dtype, False, double))
    boundary = [value for value in execution.boundary if differentiable(side.dtype(value))]
    owned = [node for node in execution.parameters if differentiable(side.dtype(Value(node)))]
    leaves = [execution.boundary[value] for value in boundary]
    leaves += [execution.parameters[node] for node in owned]
    arrays: list[Array | None] = [None] * len(leaves)
    if outputs and (leaves or execution.late):
        for place, gradient in enumerate(engine.grad(outputs, leaves, seeds)):
            if gradient is not None:
                arrays[place] = engine.array(gradient)
    parameters = dict(zip(owned, arrays[len(boundary) :], strict=True))
    return dict(zip(boundary, arrays[: len(boundary)], strict=True)), {
        **parameters,
        **execution.arrived,
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
