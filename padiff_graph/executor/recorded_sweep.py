"""Gradients of a part of a recorded model that was recorded in several regions: put together of
what each of them sent back in one sweep from the outputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.seeded_cotangents import output_cotangents
from padiff_graph.sides.recorded_engine import RecordedEngine, value_name

__all__ = ["Swept", "swept"]

UNCUT = (
    "the recording holds no gradients of this part, which the other model computes in other steps"
)
UNREACHED = "no gradient of the recorded outputs arrives at this part"
Swept = tuple[dict[Value, Array], dict[Value, Array | None], dict[str, Array]]
"""Cotangents of what a part yields, gradients of what it reads, and of parameters by name."""


def swept(
    side: Side, engine: RecordedEngine, part: Slice, wanted: Sequence[Value], precision: str
) -> Swept:
    """The gradients of a part, under the gradient that arrived at it in the sweep.

    What arrives at a value that the part yields is what its readers outside of the part send back;
    a value inside of it may have no such readers.

    Raises:
        NotRunnable: the part is no sum of recorded regions, or no gradient arrives at it.
    """
    sweep = _Sweep(side, engine, precision)
    inside = sweep.making(part, wanted)
    made = {value for number in inside for value in sweep.regions[number]["cut"]}
    if any(sweep.sent(value, inside, outside=True) for value in made - {*wanted}):
        raise NotRunnable(UNCUT)
    cotangents = {
        value: arrived for value in wanted if (arrived := sweep.arriving(value, inside)) is not None
    }
    if not any(np.any(array) for array in cotangents.values()):
        raise NotRunnable(UNREACHED)
    boundary = {value: _sum(sweep.sent(value, inside, outside=False)) for value in part.values}
    parameters: dict[str, Array] = {}
    for number in inside:
        for name, array in sweep.of_parameters(number).items():
            parameters[name] = parameters[name] + array if name in parameters else array
    return cotangents, boundary, parameters


@dataclass
class _Sweep:
    """The recorded shares."""

    side: Side
    engine: RecordedEngine
    precision: str

    @property
    def regions(self) -> Sequence[dict[str, Any]]:
        """What the manifest says of each region."""
        regions: Sequence[dict[str, Any]] = self.engine.model.facts["regions"]
        return regions

    @cached_property
    def outputs(self) -> dict[Value, Array]:
        """The cotangents of the outputs."""
        return output_cotangents(self.side.graph)

    @property
    def kind(self) -> str:
        """Of the arrays."""
        return f"sweep.{self.precision}"

    def _told(self, number: int) -> bool:
        """Whether a region could be differentiated, or no gradient reaches it."""
        told: bool = self.regions[number].get("swept", {}).get(self.precision, True)
        return told

    @cached_property
    def makers(self) -> dict[Value, int]:
        """The region that yields each value."""
        return {
            value: number
            for number, region in enumerate(self.regions)
            if region["nodes"]
            for value in region["cut"]
        }

    def making(self, part: Slice, wanted: Sequence[Value]) -> set[int]:
        """The regions that a part consists of."""
        inside: set[int] = set()
        todo = list(wanted)
        while todo:
            value = todo.pop()
            number = self.makers.get(value)
            if number is None or not self._told(number):
                raise NotRunnable(UNCUT)
            if number not in inside:
                inside.add(number)
                todo += [read for read in self.regions[number]["values"] if read not in part.values]
        nodes = {node for number in inside for node in self.regions[number]["nodes"]}
        if nodes != set(part.nodes):
            raise NotRunnable(UNCUT)
        return inside

    def sent(self, value: Value, inside: Collection[int], *, outside: bool) -> list[Array]:
        """What the regions inside a part send back to a value; or those outside, and the
        cotangent of an output."""
        shares = []
        for number, region in enumerate(self.regions):
            name = f"{number}.boundary.{value_name(value)}"
            reads = value in region["values"] and (number in inside) != outside
            if reads and not self._told(number):
                raise NotRunnable(UNCUT)
            if reads and self.engine.model.recording.holds(self.kind, name):
                shares.append(self.engine.model.array(self.kind, name))
        if outside and value in self.engine.model.facts["seeded"]:
            shares.append(self.outputs[value])
        return shares

    def arriving(self, value: Value, inside: Collection[int]) -> Array | None:
        """What arrives at a value from outside a part."""
        return _sum(self.sent(value, inside, outside=True))

    def of_parameters(self, number: int) -> dict[str, Array]:
        """What a region sends back to parameters."""
        prefix = f"{number}.parameter."
        recording = self.engine.model.recording
        return {
            name.removeprefix(prefix): recording.array(self.kind, name)
            for name in recording.names(self.kind)
            if name.startswith(prefix)
        }


def _sum(arrays: Sequence[Array]) -> Array | None:
    """The sum of gradients; None for none."""
    total: Array | None = None
    for array in arrays:
        total = array if total is None else total + array
    return total
