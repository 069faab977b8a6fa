"""Running a captured graph once with given weights, handing out every value on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Value

__all__ = ["runnable", "visit_values"]

Visit = Callable[[Value, Array], None]


def runnable(graph: ComputationGraph) -> bool:
    """Whether there are numbers to run on."""
    return graph.session is not None and not getattr(graph.session, "abstract", False)


def visit_values(
    graph: ComputationGraph,
    engine: Engine,
    parameters: Mapping[str, Array],
    wanted: Callable[[Value], bool],
    visit: Visit,
    *,
    double: bool = False,
) -> list[str]:
    """Replays the graph without gradients.

    Args:
        graph: the capture, with its session.
        engine: the model's engine.
        parameters: values by name; the model's own where one is missing.
        wanted: which values are handed out.
        visit: called with each wanted value as an array.
        double: compute in float64.
    Returns:
        What could not be run, in sentences; everything behind it is left out.
    """
    lost: list[str] = []
    known: dict[Value, Any] = {}
    with engine.quiet(values=graph.calls_back), engine.recording(False):
        given = engine.inputs(graph)
        own = engine.parameters()
        last = _last_reads(graph)
        for node in graph.records():
            value = Value(node.id)
            kind = node.outputs[0] if node.outputs else None
            dtype = kind.dtype if kind is not None else None
            if node.kind == "operation":
                if any(operand is not None and operand not in known for operand in node.inputs):
                    continue
                try:
                    results = engine.run(
                        node,
                        [None if operand is None else known[operand] for operand in node.inputs],
                        double=double,
                    )
                except NotRunnable as error:
                    lost.append(str(error))
                    continue
                for number, result in enumerate(results):
                    if result is not None:
                        known[Value(node.id, number)] = result
                        if wanted(Value(node.id, number)):
                            visit(Value(node.id, number), engine.array(result))
                for gone in last.get(node.id, ()):
                    known.pop(gone, None)
                continue
            if node.kind == "output":
                continue
            if node.kind in ("parameter", "buffer"):
                array = (
                    parameters[node.name]
                    if node.name in parameters
                    else engine.array(own[node.name])
                )
            elif node.id in given:
                array = engine.array(given[node.id])
            elif node.constant is not None:
                array = node.constant
            else:
                continue
            known[value] = engine.tensor(
                array, "float64" if double and array.dtype.kind == "f" else dtype
            )
            if wanted(value):
                visit(value, array)
    return lost


def _last_reads(graph: ComputationGraph) -> dict[int, list[Value]]:
    last: dict[Value, int] = {}
    for node in graph.records():
        for operand in node.inputs:
            if operand is not None:
                last[operand] = node.id
    found: dict[int, list[Value]] = defaultdict(list)
    for value, reader in last.items():
        found[reader].append(value)
    return found
