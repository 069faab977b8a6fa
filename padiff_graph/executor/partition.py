"""What cutting both graphs yields, as plain data: cuts, the regions between them, and a plan of
all.

A *cut* is a set of native values of the first model and a set of native values of the second that
hold the same elements, through the points of the matching: one to one mostly, one to three where a
product is fused on one side. The *region* of a cut holds, on each side, the native operations from
the cut's values back to other cuts. The two sides of a region need not read the same cuts: a
residual that one side lacks shows as a boundary value that only the other one reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from padiff_graph.capture.graph import Value
from padiff_graph.capture.remote.wire import crossing
from padiff_graph.matching.result import Point

__all__ = ["Cut", "Key", "Plan", "Region", "Slice", "Update"]

Key = tuple[Value, Value]
"""Names a cut across plans: its earliest value on each side."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Values that hold the same elements.

    Attributes:
        index: position in `Plan.cuts`.
        points: which elements equal which.
        first, second: the native values, in program order.
        source: whether these are inputs of the models, with nothing in front of them.
        exact: False where the two sides differ in shape, so that the second's value is fed as it
            is.
        sink: whether the cut is only compared (an output in its final form), never read.
        label: in words.
    """

    index: int
    points: tuple[Point, ...]
    first: tuple[Value, ...]
    second: tuple[Value, ...]
    source: bool = False
    exact: bool = True
    sink: bool = False
    label: str = ""

    @property
    def key(self) -> Key:
        """The cut's name across plans."""
        return self.first[0], self.second[0]


@crossing
@dataclass(frozen=True, slots=True)
class Slice:
    """One side of a region.

    Attributes:
        nodes: native operations in program order.
        reads: the cuts that are read, by index.
        values: the native values of those cuts that are read.
        leaves: parameters, buffers, constants and inputs of this side alone that are read.
    """

    nodes: tuple[int, ...]
    reads: tuple[int, ...]
    values: tuple[Value, ...]
    leaves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """A buffer's new value on both sides, computed inside a region.

    Attributes:
        first, second: dotted names of the buffer.
        first_value, second_value: the native values that hold what it becomes.
    """

    first: str
    second: str
    first_value: Value
    second_value: Value


@dataclass(frozen=True, slots=True)
class Region:
    """The operations that compute one cut from others, on both sides."""

    cut: Cut
    first: Slice
    second: Slice
    order: int
    updates: tuple[Update, ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for regions of two plans that do the same."""
        return (self.cut.first, self.cut.second, self.first, self.second)


@dataclass(frozen=True)
class Plan:
    """All regions, in an order in which the second model can compute them.

    Attributes:
        sources: the cuts that are inputs of the models.
    """

    cuts: tuple[Cut, ...]
    regions: tuple[Region, ...]
    sources: tuple[Cut, ...] = field(default=())
