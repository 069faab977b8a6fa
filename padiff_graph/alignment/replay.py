"""Running a captured graph once with given weights, handing out values on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Interpreter, made, model_values
from padiff_graph.capture.late_array import LateArray
from padiff_graph.capture.remote.whole import asked_whole, is_away
from padiff_graph.sides.recorded_engine import RecordedEngine, is_recorded

__all__ = ["visit_values"]

Visit = Callable[[Value, Array], None]


WHOLE = 1 << 30
"""Bytes of values that one answer of another process may hold: with the copies at both ends about
what a check of a large model needs anyway. More is asked operation by operation."""


UNRECORDED = "the recording holds no value of it with these weights"


class _Visiting(Interpreter):
    """Hands out wanted values; what cannot be run is noted and left out with all behind it."""

    wanted: Collection[Value] = ()
    visit: Visit
    lost: list[str]

    def produced(self, value: Value, tensor: Any) -> None:
        if value in self.wanted:
            self.visit(value, self.engine.array(made(tensor)))

    def failed(self, node: Node, error: NotRunnable) -> None:
        if node.kind == "operation":
            self.lost.append(str(error))


def visit_values(
    graph: ComputationGraph,
    engine: Engine,
    parameters: Mapping[str, Array],
    wanted: Collection[Value],
    visit: Visit,
) -> list[str]:
    """Replays the graph without gradients.

    Args:
        graph: the capture, with its session.
        engine: the model's engine.
        parameters: values by name; the model's own where one is missing.
        wanted: which values are handed out.
        visit: called with each wanted value as an array.

    Returns:
        What could not be run, in sentences; everything behind it is left out.
    """
    late = sum(array.nbytes for array in parameters.values() if isinstance(array, LateArray))
    if is_away(engine) and _size(graph, wanted) + late <= WHOLE:
        lost, values_there = _visited_there(graph, engine, dict(parameters), set(wanted))
        for value, array in values_there.items():
            visit(value, array)
        return lost
    if is_recorded(engine):
        return _recalled(graph, cast(RecordedEngine, engine), parameters, wanted, visit)
    with engine.quiet(values=graph.calls_back):
        own = model_values(engine)

        def values(name: str) -> Array:
            if name in parameters:
                return parameters[name]
            return own(name)

        run = _Visiting(graph, engine, values, engine.inputs(graph))
        run.wanted, run.visit, run.lost = wanted, visit, []
        run.run(graph.records())
        return run.lost


@asked_whole
def _visited_there(
    graph: ComputationGraph,
    engine: Engine,
    parameters: dict[str, Array],
    wanted: set[Value],
) -> tuple[list[str], dict[Value, Array]]:
    """What could not be run, and all wanted values, by the process of the model."""
    values: dict[Value, Array] = {}
    lost = visit_values(graph, engine, parameters, wanted, values.__setitem__)
    return lost, values


def _recalled(
    graph: ComputationGraph,
    engine: RecordedEngine,
    parameters: Mapping[str, Array],
    wanted: Collection[Value],
    visit: Visit,
) -> list[str]:
    """Recorded values: those that depend on no weight which is another one here."""
    others = {name for name, array in parameters.items() if engine.other_weight(name, array)}
    behind: set[int] = set()
    for node in graph.records():
        read = {value.node for value in node.inputs if value is not None}
        if (node.name in others and node.kind in ("parameter", "buffer")) or read & behind:
            behind.add(node.id)
    lost: list[str] = []
    for value in sorted(wanted):
        array = None if value.node in behind else engine.value(value)
        if array is None:
            lost.append(f"{graph.record(value.node).op}: {UNRECORDED}")
        else:
            visit(value, array)
    return lost


def _size(graph: ComputationGraph, wanted: Collection[Value]) -> int:
    """Bytes of values, at eight a number."""
    kinds = (graph.type_of(value) for value in wanted)
    return sum(8 * kind.size for kind in kinds if kind is not None)
