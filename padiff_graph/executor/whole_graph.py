"""Both captured graphs as a whole: one region without cuts, run with shared weights and shared
draws.

The whole runs of the user's own models cannot always be held against each other: each draws its own
random numbers, and their rounding accumulates. The certified graphs can be run with the same draws,
and in float64, where rounding vanishes. What they yield is what the eager runs are compared by:
outputs, gradients as totals over all readers, and what buffers become.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.questions import Answer, Request
from padiff_graph.executor.recorded_graph import recalled_graph
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.side_run import input_values, run_side, side_values
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = [
    "GraphRun",
    "example_values",
    "graph_values",
    "output_values",
    "pulled_gradients",
    "run_graph",
]


@dataclass(frozen=True)
class GraphRun:
    """What one whole graph yields, as arrays on the host.

    Attributes:
        outputs: by output name.
        buffers: what each buffer becomes that the run writes, by dotted name.
        gradients: "input:NAME" and "parameter:NAME", as in `padiff_graph.capture.engine.Run`; a
            missing key means that no path leads there.
    """

    outputs: Mapping[str, Array]
    buffers: Mapping[str, Array]
    gradients: Mapping[str, Array]


def output_values(graph: ComputationGraph) -> dict[str, Value]:
    """The value that each output hands out, by output name."""
    return {
        node.name: node.inputs[0]
        for node in graph.of_kind("output")
        if node.inputs and node.inputs[0] is not None
    }


def run_graph(
    side: Side,
    cotangents: Mapping[str, Array] | None,
    *,
    double: bool = False,
    fed: Mapping[str, Array] | None = None,
    single: bool = False,
) -> GraphRun:
    """Runs all of a graph on its example, forward and, with cotangents by output name, backward.

    Args:
        side: the graph with weights, draws and inputs.
        cotangents: of the outputs that are differentiated; None for no backward.
        double: compute in float64.
        fed: other values of floating inputs, by input name.
        single: take the numbers of attributes as float32 holds them.

    Raises:
        NotRunnable: where an operation cannot be rerun, or the whole not differentiated.
    """
    if is_recorded(side.engine):
        return GraphRun(*recalled_graph(side, cotangents, fed, double=double))
    handed_out = output_values(side.graph)
    names = _inputs(side)
    values = _fed(side, names, fed)
    wanted = tuple(dict.fromkeys((*handed_out.values(), *side.graph.updates.values())))
    part = _everything(side.graph, wanted, list(names))
    seeds = None if cotangents is None else _seeds(handed_out, cotangents)
    request = Request(part, values, wanted, seeds is not None, seeds, double=double, single=single)
    answer = run_side(side, request)
    if answer.ungraded:
        raise NotRunnable(answer.ungraded)
    return GraphRun(
        {name: answer.outputs[value] for name, value in handed_out.items()},
        {name: answer.outputs[value] for name, value in side.graph.updates.items()},
        _totals(side.graph, answer, names),
    )


def graph_values(
    side: Side,
    wanted: Sequence[Value],
    *,
    double: bool = False,
    fed: Mapping[str, Array] | None = None,
) -> dict[Value, Array]:
    """Values on the way of one forward of the whole graph on its example.

    Args:
        fed: other values of floating inputs, by input name.

    Raises:
        NotRunnable: where an operation cannot be rerun.
    """
    names = _inputs(side)
    part = _everything(side.graph, wanted, list(names))
    feed = _fed(side, {value: names[value] for value in part.values}, fed)
    return side_values(side, part, feed, wanted, double=double)


def pulled_gradients(
    side: Side,
    cotangents: Mapping[Value, Array],
    *,
    double: bool = False,
    fed: Mapping[str, Array] | None = None,
) -> Mapping[str, Array]:
    """Gradients of parameters and buffers by name, from cotangents of values on the way.

    Raises:
        NotRunnable: where an operation cannot be rerun, or the whole not differentiated.
    """
    wanted, names = tuple(cotangents), _inputs(side)
    part = _everything(side.graph, wanted, list(names))
    feed = _fed(side, {value: names[value] for value in part.values}, fed)
    answer = run_side(side, Request(part, feed, wanted, True, cotangents, double=double))
    if answer.ungraded:
        raise NotRunnable(answer.ungraded)
    return answer.parameters


def example_values(side: Side) -> dict[str, Array]:
    """The example's floating inputs by name."""
    names = _inputs(side)
    return {names[value]: array for value, array in input_values(side, names).items()}


def _inputs(side: Side) -> dict[Value, str]:
    """The example's leaves that gradients exist for, by their value."""
    leaves = {Value(node.id): node.name for node in side.graph.of_kind("input")}
    return {
        value: name
        for value, name in leaves.items()
        if value.node in side.inputs and differentiable(side.dtype(value))
    }


def _fed(
    side: Side, names: Mapping[Value, str], fed: Mapping[str, Array] | None
) -> dict[Value, Array]:
    """The example's floating inputs, others in the place of some."""
    values = input_values(side, names)
    return values | {value: fed[name] for value, name in names.items() if fed and name in fed}


def _everything(graph: ComputationGraph, wanted: Sequence[Value], inputs: list[Value]) -> Slice:
    """All operations that the wanted values need, as one slice that reads no cut but the inputs."""
    needed: set[int] = set()
    todo = [value.node for value in wanted]
    while todo:
        number = todo.pop()
        if number not in needed:
            needed.add(number)
            todo += [operand.node for operand in graph.record(number).inputs if operand is not None]
    fed = {value.node for value in inputs}
    records = [graph.record(number) for number in sorted(needed)]
    nodes = tuple(record.id for record in records if record.kind == "operation")
    leaves = tuple(
        record.id for record in records if record.kind != "operation" and record.id not in fed
    )
    read = tuple(value for value in inputs if value.node in needed)
    return Slice(nodes, (), read, leaves)


def _seeds(handed_out: Mapping[str, Value], cotangents: Mapping[str, Array]) -> dict[Value, Array]:
    """Cotangents by value; those of one value that is handed out under several names are added."""
    seeds: dict[Value, Array] = {}
    for name, cotangent in cotangents.items():
        value = handed_out[name]
        seeds[value] = seeds[value] + cotangent if value in seeds else cotangent
    return seeds


def _totals(
    graph: ComputationGraph, answer: Answer, names: Mapping[Value, str]
) -> dict[str, Array]:
    totals = {
        f"input:{names[value]}": array
        for value, array in answer.boundary.items()
        if array is not None
    }
    totals |= {
        f"parameter:{name}": array
        for name, array in answer.parameters.items()
        if _trained(graph, name)
    }
    return totals


def _trained(graph: ComputationGraph, name: str) -> bool:
    """Whether anybody sees the gradient: of a buffer or frozen parameter the eager run has none."""
    info = graph.parameters.get(name)
    return info is None or (info.trainable and not info.buffer)
