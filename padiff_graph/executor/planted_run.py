"""One side of a region with a fault planted in it: what it yields, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.executor.partition import Region
from padiff_graph.executor.region_run import Side, execute, gradients
from padiff_graph.executor.seeded_cotangents import seeded_cotangent

__all__ = ["Plant", "planted_run"]

Yielded = Mapping[tuple[str, Value], Array]
"""Arrays by kind ("output", "buffer", "input", "parameter") and value; the last two are gradients.
"""


@dataclass(frozen=True)
class Plant:
    """A fault in one operation.

    Attributes:
        node: the operation.
        altered: how it is called instead; None where it is left out.
        instead: the operand that is handed on where it is left out.
    """

    node: int
    altered: Node | None = None
    instead: Value | None = None


def planted_run(
    side: Side,
    region: Region,
    feed: Mapping[Value, Array],
    plant: Plant | None,
    *,
    backward: bool,
    double: bool,
) -> Yielded:
    """Runs the second side of a region with a fault, or without one.

    Raises:
        NotRunnable: where it cannot run, or not be differentiated.
    """
    cut = region.cut
    updates = tuple(update.second_value for update in region.updates)
    instead, altered = {}, {}
    if plant is not None and plant.altered is not None:
        altered[plant.node] = plant.altered
    if plant is not None and plant.instead is not None:
        instead[plant.node] = plant.instead
    ran = execute(
        side,
        region.second,
        feed,
        (*cut.second, *updates),
        grad=backward,
        double=double,
        instead=instead,
        altered=altered,
    )
    arrays = {value: side.engine.array(ran.outputs[value]) for value in ran.outputs}
    yielded = {("output", value): arrays[value] for value in cut.second}
    yielded |= {("buffer", value): arrays[value] for value in updates}
    graded = [value for value in cut.second if differentiable(side.dtype(value))]
    if not (backward and graded):
        return yielded
    seeds = {value: seeded_cotangent(value, arrays[value].shape) for value in graded}
    try:
        boundary, owned = gradients(side, ran, seeds, double=double)
    except Exception as error:  # whatever a framework raises where no gradient is to be had
        raise NotRunnable(f"it cannot be differentiated: {error}") from error
    yielded |= {("input", value): array for value, array in boundary.items() if array is not None}
    return yielded | {
        ("parameter", Value(node)): array for node, array in owned.items() if array is not None
    }
