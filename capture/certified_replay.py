"""A capture run as a whole, as its certificate asks: outputs, written buffers and gradients."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from padiff_graph.capture.eager_run import KINDS, Quantities
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Interpreter, Known, LateLeaf, made, model_values

__all__ = ["replay", "replayed_values"]

SOUGHT = {
    "input": "input gradient",
    "parameter": "parameter gradient",
    "buffer": "parameter gradient",
}
"""Kind of a leaf -> the kind of its gradient."""


class _Replay(Interpreter):
    """Keeps the leaves whose gradients are sought, by kind and name."""

    def __init__(
        self,
        graph: ComputationGraph,
        engine: Engine,
        differentiable: Collection[str],
        *,
        record: bool,
    ) -> None:
        values, inputs = model_values(engine), engine.inputs(graph)
        super().__init__(graph, engine, values, inputs, record=record)
        self.differentiable = differentiable
        self.sought: dict[tuple[str, str], Any] = {}

    def asks(self, node: Node) -> bool:
        if node.kind == "input":
            return node.name in self.differentiable
        return node.kind in SOUGHT and self.graph.parameters[node.name].trainable

    def leaf(self, node: Node) -> Any:
        tensor = super().leaf(node)
        if self.asks(node) and not isinstance(tensor, LateLeaf):
            self.sought[SOUGHT[node.kind], node.name] = tensor
        return tensor


def replay(
    graph: ComputationGraph,
    engine: Engine,
    seeds: Mapping[str, Array] | None,
    differentiable: Collection[str],
) -> Quantities:
    """Runs every node in program order.

    Args:
        graph: the capture, with its session.
        engine: the model's engine.
        seeds: cotangents by output name; None for a forward only.
        differentiable: names of the inputs whose gradient is asked for.

    Raises:
        NotRunnable: where the engine cannot run a node.
    """
    outputs = _outputs(graph)
    run = _Replay(graph, engine, differentiable, record=seeds is not None)
    known = run.run(graph.records(), keep={*outputs.values(), *graph.updates.values()})
    arrays: dict[str, dict[str, Array]] = {kind: {} for kind in KINDS}
    for kind, wanted in (("output", outputs), ("buffer", graph.updates)):
        arrays[kind] = {name: engine.array(made(known[value])) for name, value in wanted.items()}
    if seeds:
        seeded = {name: value for name, value in outputs.items() if name in seeds}
        _differentiate(run, known, seeded, seeds, arrays)
    return arrays


def replayed_values(graph: ComputationGraph, engine: Engine) -> Known:
    """Every value of a forward; all at once in memory."""
    run = Interpreter(graph, engine, model_values(engine), engine.inputs(graph))
    return run.run(graph.records(), keep=None)


def _outputs(graph: ComputationGraph) -> dict[str, Value]:
    """The value that each output hands out."""
    return {
        node.name: next(operand for operand in node.inputs if operand is not None)
        for node in graph.of_kind("output")
    }


def _differentiate(
    run: _Replay,
    known: Known,
    outputs: Mapping[str, Value],
    seeds: Mapping[str, Array],
    arrays: dict[str, dict[str, Array]],
) -> None:
    """Adds the gradients to `arrays`; takes `known` and what was sought apart, to free memory."""
    engine = run.engine
    names, leaves = list(run.sought), list(run.sought.values())
    tensors = [made(known[value]) for value in outputs.values()]
    cotangents = [
        engine.tensor(seeds[name], run.graph.record(value.node).dtype(value.output) or None)
        for name, value in outputs.items()
    ]
    gradients = engine.grad(tensors, leaves, cotangents)
    del tensors, leaves
    known.clear()
    run.sought.clear()
    for place, (kind, name) in enumerate(names):
        gradient, gradients[place] = gradients[place], None  # let go once its numbers are taken
        if gradient is not None:
            arrays[kind][name] = engine.array(gradient)
    for number, arriving in run.arrived.items():
        arrays["parameter gradient"][run.graph.record(number).name] = arriving
