"""How coarsely the two sides of a region compute: the unit roundoff they are judged by, and how it
grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.referee.rounding_bound import (
    UNITS,
    growth,
    input_growth,
    parameter_growth,
    precision,
)

__all__ = ["RegionUnits"]


@dataclass(frozen=True, slots=True)
class RegionUnits:
    """How coarsely a region computes.

    Attributes:
        unit: unit roundoff that the region is judged by.
        growth: units that its operations may leave.
        backward: further units that they may leave in the gradients of what they read.
        dtypes: the coarsest floating dtype of either side, where one computes in a coarser one than
            the other and coarser than float32; None otherwise.
    """

    unit: float
    growth: float
    backward: float
    dtypes: tuple[str, str] | None = None

    @classmethod
    def of(
        cls,
        graphs: tuple[ComputationGraph, ComputationGraph],
        nodes: tuple[Sequence[int], Sequence[int]],
    ) -> RegionUnits:
        """Reads the operations of both sides."""
        sides = list(zip(graphs, nodes, strict=True))
        dtypes = precision(*sides[0]), precision(*sides[1])
        units = [UNITS[dtype] for dtype in dtypes if dtype] or [UNITS["float32"]]
        mixed = len(units) == 2 and units[0] != units[1] and max(units) > UNITS["float32"]
        return cls(
            min(units) if mixed else max(units),
            max(growth(graph, own) for graph, own in sides),
            max(input_growth(graph, own) for graph, own in sides),
            dtypes if mixed else None,
        )

    def bound(self, kind: str, positions: float) -> float:
        """The relative difference that rounding explains in a tensor.

        Args:
            kind: "output", "buffer", "input" (the gradient of what is read) or "parameter" (a
                gradient).
            positions: over how many positions a parameter's gradient sums.
        """
        units = self.growth
        if kind == "input":
            units += self.backward
        if kind == "parameter":
            units += parameter_growth(positions)
        return self.unit * units
