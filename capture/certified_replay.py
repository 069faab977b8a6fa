"""A capture run as a whole, as its certificate asks: outputs, written buffers and gradients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.eager_run import KINDS, Quantities
from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Interpreter, Known, LateLeaf, made, model_values

__all__ = ["Further", "replay", "replayed_values"]

SOUGHT = {
    "input": "input gradient",
    "parameter": "parameter gradient",
    "buffer": "parameter gradient",
}
"""Kind of a leaf -> the kind of its gradient."""


@dataclass(frozen=True)
class Further:
    """What a replay is differentiated under besides, once it is recorded: other cotangents cost a
    backward and no further forward.

    Attributes:
        seeds: cotangents by output name.
        told: called with what the replay yields under them; not called where it cannot be
            differentiated twice.
    """

    seeds: Mapping[str, Array]
    told: Callable[[Quantities], None]


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
        self.late = False
        """Whether a weight is read for each reader, whose gradient arrives by itself."""

    def asks(self, node: Node) -> bool:
        if node.kind == "input":
            return node.name in self.differentiable
        return node.kind in SOUGHT and self.graph.parameters[node.name].trainable

    def leaf(self, node: Node) -> Any:
        tensor = super().leaf(node)
        if isinstance(tensor, LateLeaf):
            self.late = True
        elif self.asks(node):
            self.sought[SOUGHT[node.kind], node.name] = tensor
        return tensor


def replay(
    graph: ComputationGraph,
    engine: Engine,
    seeds: Mapping[str, Array] | None,
    differentiable: Collection[str],
    further: Further | None = None,
) -> Quantities:
    """Runs every node in program order.

    Args:
        graph: the capture, with its session.
        engine: the model's engine.
        seeds: cotangents by output name; None for a forward only.
        differentiable: names of the inputs whose gradient is asked for.
        further: other cotangents to be differentiated under as well.

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
        tensors = {name: made(known[value]) for name, value in outputs.items()}
        known.clear()
        twice = further if further is not None and not run.late else None
        _differentiate(run, tensors, seeds, arrays, again=twice is not None)
        if twice is not None:
            _differentiate_further(run, tensors, twice, arrays)
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


def _dtype(graph: ComputationGraph, value: Value) -> str | None:
    return graph.record(value.node).dtype(value.output) or None


def _differentiate(
    run: _Replay,
    tensors: dict[str, Any],
    seeds: Mapping[str, Array],
    arrays: dict[str, dict[str, Array]],
    *,
    again: bool,
) -> None:
    """Adds the gradients to `arrays`; takes `tensors` and what was sought apart, to free memory,
    unless they are asked `again`."""
    engine = run.engine
    outputs = _outputs(run.graph)
    names, leaves = list(run.sought), list(run.sought.values())
    seeded = {name: tensor for name, tensor in tensors.items() if name in seeds}
    cotangents = [engine.tensor(seeds[name], _dtype(run.graph, outputs[name])) for name in seeded]
    if again:
        gradients = engine.grad(list(seeded.values()), leaves, cotangents, again=True)
    else:
        gradients = engine.grad(list(seeded.values()), leaves, cotangents)
        tensors.clear()
        run.sought.clear()
    del seeded, leaves
    for place, (kind, name) in enumerate(names):
        gradient, gradients[place] = gradients[place], None  # let go once its numbers are taken
        if gradient is not None:
            arrays[kind][name] = engine.array(gradient)
    for number, arriving in run.arrived.items():
        arrays["parameter gradient"][run.graph.record(number).name] = arriving


def _differentiate_further(
    run: _Replay, tensors: dict[str, Any], further: Further, arrays: Mapping[str, Mapping[str, Any]]
) -> None:
    """Tells what the same run yields under other cotangents."""
    again: dict[str, dict[str, Array]] = {kind: {} for kind in KINDS}
    for kind in ("output", "buffer"):
        again[kind].update(arrays[kind])
    try:
        _differentiate(run, tensors, further.seeds, again, again=False)
    except NotRunnable:
        return  # whoever asks runs the graph for it
    further.told(again)
