"""A normal-form node under construction."""

from __future__ import annotations

from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.form import Edge, Location
from padiff_graph.capture.normal.traits import LEAVES

__all__ = ["FLOATS", "Draft"]

FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128"})
"""Types that gradients pass."""


class Draft:
    """A normal-form node that may still change; fields as of `NormalNode`."""

    __slots__ = (
        "aliases",
        "attrs",
        "constant",
        "gradient",
        "id",
        "inputs",
        "locations",
        "marks",
        "name",
        "native",
        "op",
        "opaque",
        "outputs",
        "path",
        "replaced",
        "source",
        "varies",
    )

    def __init__(
        self,
        id: int,
        op: str,
        inputs: list[Edge | None],
        attrs: dict[str, Any],
        outputs: tuple[TensorType, ...],
        native: tuple[int, ...],
    ) -> None:
        self.id = id
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.outputs = outputs
        self.native = native
        self.locations: list[Location | None] = [None] * len(outputs)
        self.aliases: list[Location] = []
        """Further native tensors that hold the first result, scaled or shifted."""
        self.name = ""
        self.path = ""
        self.source = ""
        self.marks: frozenset[str] = frozenset()
        self.constant: np.ndarray[Any, Any] | None = None
        self.opaque = False
        self.gradient = False
        """Whether a gradient passes from its result to an input or a trainable parameter."""
        self.varies = False
        """Whether it depends on an input or a random draw, not on parameters and constants only."""
        self.replaced: dict[int, Edge] = {}

    @property
    def leaf(self) -> bool:
        """Whether it computes nothing."""
        return self.op in LEAVES

    @property
    def differentiable(self) -> bool:
        """Whether a gradient that reaches its result goes on to its operands."""
        if self.op == "Detach" or "no_grad" in self.marks:
            return False
        return not FLOATS.isdisjoint([kind.dtype for kind in self.outputs])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        return self.outputs[0].shape
