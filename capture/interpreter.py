"""The one interpreter of captured graphs: nodes in program order, each run by the engine.

Three things run a capture: the certificate replays all of it with gradients, matching reads values
on the way, and a region is run on values of the other model. What they share stands here: feeding
leaves, handing operands on, letting values go after their last read, random draws, float64, and
recording switched off where the model did so. What differs is overridden, as in fx.Interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.late_array import LateArray, fresh, kept, late

__all__ = [
    "Interpreter",
    "Known",
    "LateLeaf",
    "differentiable",
    "leaf_tensor",
    "made",
    "model_values",
]

Tensor = Any
Known = dict[Value, Tensor | None]
"""Values that are there: None for a result that the operation does not yield, absent where it could
not be run or is let go."""
Parameters = Callable[[str], Array]
"""A parameter's or buffer's values by its dotted name."""


def differentiable(dtype: str) -> bool:
    """Whether gradients exist for a dtype, in graph spelling."""
    return dtype.startswith(("float", "bfloat", "complex"))


def _whole(node: Node) -> bool:
    """Whether a node yields whole numbers or truth values alone. Some operations refuse to be
    recorded then (torch's cumsum of floats with an integer dtype), which a model that hands them
    nothing trainable does not ask for."""
    kinds = [kind for kind in node.outputs if kind is not None]
    return bool(kinds) and not any(differentiable(kind.dtype) for kind in kinds)


def leaf_tensor(engine: Engine, array: Array, dtype: str, grad: bool, double: bool) -> Tensor:
    """A tensor of its own for an array of a graph's dtype.

    Args:
        engine: whose tensor.
        array: the numbers.
        dtype: in graph spelling; "" for the array's own.
        grad: whether to ask for its gradient, where there is one.
        double: float64 in place of narrower floats, complex128 of complex ones.
    """
    floating = array.dtype.kind in "fc"
    if dtype:
        floating = differentiable(dtype)
    if double and floating:
        wide = "complex128" if "c" in (array.dtype.kind, dtype[:1]) else "float64"
        # whole numbers too: what is of floats here may be of whole numbers where it comes from
        return engine.tensor(array.astype(wide), wide, grad)
    return engine.tensor(array, dtype or None, grad and floating)


def model_values(engine: Engine) -> Parameters:
    """The model's own parameters and buffers as they are now, each read when it is asked for."""
    own = engine.parameters()
    return lambda name: engine.array(own[name])


@dataclass(frozen=True)
class LateLeaf:
    """A weight that each of its readers reads anew.

    Attributes:
        make: reads it.
    """

    make: Callable[[], Tensor]


def made(tensor: Tensor | LateLeaf | None) -> Tensor | None:
    """The tensor itself; read now, where it is a weight that is read for each reader."""
    return tensor.make() if isinstance(tensor, LateLeaf) else tensor


class Interpreter:
    """Runs nodes of one graph on one engine; subclasses override what they do otherwise.

    Attributes:
        graph: the capture, with its session.
        engine: the engine of its model.
        parameters: values of parameters and buffers.
        inputs: the example's leaves and large constants by node.
        record: whether gradients are recorded; under a "no_grad" mark they never are.
        double: compute in float64.
        lean: whether weights that are read for each reader are let go until the backward, and their
            gradients may wait in a file.
    """

    lean = True

    def __init__(
        self,
        graph: ComputationGraph,
        engine: Engine,
        parameters: Parameters,
        inputs: Mapping[int, Tensor],
        *,
        record: bool = False,
        double: bool = False,
    ) -> None:
        self.graph = graph
        self.engine = engine
        self.parameters = parameters
        self.inputs = inputs
        self.record = record
        self.double = double
        self.arrived: dict[int, Array] = {}
        """Gradients of weights that were read for each reader, by node, once they are asked."""

    def run(
        self,
        nodes: Sequence[Node],
        known: Known | None = None,
        keep: Collection[Value] | None = (),
    ) -> Known:
        """Runs nodes one after the other.

        An operation that reads what could not be run is left out too.

        Args:
            nodes: leaves and operations, each behind what it reads; outputs are passed over.
            known: values that are there beforehand; taken over, and let go like all others.
            keep: values to keep after their last read; None for all.

        Returns:
            The values that were kept.

        Raises:
            NotRunnable: a leaf whose value is not known, or by `failed`.
        """
        if known is None:
            known = {}
        done = {} if keep is None else _last_reads(nodes, keep)
        recorded = self.engine.saving() if self.lean else nullcontext()
        with recorded if self.record else self.engine.recording(False):
            for node in nodes:
                self._run_node(node, known)
                for value in done.get(node.id, ()):
                    known.pop(value, None)
        return known

    def _run_node(self, node: Node, known: Known) -> None:
        results: Sequence[Tensor | None]
        if node.kind == "output":
            return
        if any(operand is not None and operand not in known for operand in node.inputs):
            return
        operands = [None if operand is None else made(known[operand]) for operand in node.inputs]
        try:
            if node.kind == "operation":
                results = self._recorded(node, operands)
            else:
                results = (self.leaf(node),)
        except NotRunnable as error:
            self.failed(node, error)
            return
        for number, result in enumerate(results):
            value = Value(node.id, number)
            known[value] = result
            if result is not None:
                self.produced(value, result)

    def _recorded(self, node: Node, operands: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if not self.record or not ("no_grad" in node.marks or _whole(node)):
            return self.operation(node, operands)
        with self.engine.recording(False):
            return self.operation(node, operands)

    def leaf(self, node: Node) -> Tensor:
        """The tensor of a parameter, buffer, input or constant.

        Raises:
            NotRunnable: where the capture holds no value for it.
        """
        if node.kind in ("parameter", "buffer"):
            array = self.parameters(node.name)
        elif node.id in self.inputs:
            array = self.engine.array(self.inputs[node.id])
        elif node.constant is not None:
            array = node.shaped_constant()
        else:
            raise NotRunnable(
                f"the value of {node.kind} {node.name or repr(node.id)} is not known to the "
                "capture; capture the model again"
            )
        asked = self.record and self.asks(node)
        if isinstance(array, LateArray):
            return self._late(node, array, asked)
        return leaf_tensor(self.engine, array, node.dtype(), asked, self.double)

    def _late(self, node: Node, array: Array, asked: bool) -> LateLeaf:
        dtype: str | None = node.dtype() or None
        floating = differentiable(node.dtype())
        if self.double and floating and array.dtype.kind == "f":
            single = array
            array = late(array.shape, np.float64, lambda: fresh(single).astype(np.float64))
            dtype = "float64"

        def arrived(gradient: Array) -> None:
            before = self.arrived.get(node.id)
            if self.lean:
                self.arrived[node.id] = kept(gradient, before)
            else:
                self.arrived[node.id] = gradient if before is None else before + gradient

        told = arrived if asked and floating else None
        return LateLeaf(lambda: self.engine.late(array, dtype, told))

    def operation(self, node: Node, operands: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """The results of one operation, on operands in the order of `node.inputs`.

        Raises:
            NotRunnable: where it cannot be rerun.
        """
        draw = None
        if "random" in node.marks and "unshareable_random" not in node.marks:
            draw = self.draw(node)
        return self.engine.run(node, operands, double=self.double, draw=draw)

    def asks(self, node: Node) -> bool:
        """Whether a leaf's gradient is asked for, where anything is recorded."""
        return False

    def draw(self, node: Node) -> Array | None:
        """What a random operation shall draw; None lets the framework draw."""
        return None

    def failed(self, node: Node, error: NotRunnable) -> None:
        """Called where a node's value cannot be had; returns to go on without what it yields."""
        raise error

    def produced(self, value: Value, tensor: Tensor) -> None:
        """Called with every value as soon as it is there."""


def _last_reads(nodes: Iterable[Node], keep: Collection[Value]) -> dict[int, list[Value]]:
    """Values to let go, by the node after which nobody reads them."""
    last: dict[Value, int] = {}
    for node in nodes:
        last.update((Value(node.id, number), node.id) for number in range(len(node.outputs)))
        last.update((operand, node.id) for operand in node.inputs if operand is not None)
    done: dict[int, list[Value]] = {}
    for value, reader in last.items():
        if value not in keep:
            done.setdefault(reader, []).append(value)
    return done
