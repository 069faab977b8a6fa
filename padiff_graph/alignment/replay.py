"""Running a captured graph once with given weights, handing out values on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Interpreter, model_values

__all__ = ["visit_values"]

Visit = Callable[[Value, Array], None]


class _Visiting(Interpreter):
    """Hands out wanted values; what cannot be run is noted and left out with all behind it."""

    wanted: Collection[Value] = ()
    visit: Visit
    lost: list[str]

    def produced(self, value: Value, tensor: Any) -> None:
        if value in self.wanted:
            self.visit(value, self.engine.array(tensor))

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
