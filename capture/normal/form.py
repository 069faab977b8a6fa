"""The normal form: both frameworks' graphs in one vocabulary, one attribute convention, one
granularity.

Operators carry ONNX's names where ONNX has one. Data movement and multiplication or addition of
constants are no nodes: they stand on the edges, as a `View` and an affine map. Every node and edge
remembers which native operations it stands for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, TensorType, Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import LEAVES

__all__ = ["HELD", "Edge", "Location", "NormalGraph", "NormalNode"]


HELD = frozenset({"gradient_hook", "custom_function"})
"""Marks of operations whose backward is the user's own: nothing may be merged with them."""

INVERTED = "inverted"
"""Mark of a coin, and of a dropout made of one, that gives a one where the native draw gives none.
"""


class Location(NamedTuple):
    """Where a normal-form value lives natively: elements `view` of the native tensor `value` are
    `scale * result + shift`. Two values at different scales are no common point."""

    value: Value
    view: View
    scale: float = 1.0
    shift: float = 0.0


class Edge(NamedTuple):
    """One operand: scale * view(source) + shift.

    Attributes:
        source: id of the producing normal node, and which of its outputs.
        view: data movement between the two. None where movement cannot be told (data-dependent).
        through: native operations that the edge stands for (reshapes, casts, scalings), in order.
    """

    source: int
    output: int = 0
    view: View | None = None
    scale: float = 1.0
    shift: float = 0.0
    through: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NormalNode:
    """One operation, or "Input", "Parameter", "Constant".

    Attributes:
        id: position in `NormalGraph.nodes`, topological.
        op: ONNX name, or the native name where the operator is opaque.
        inputs: operands, None where an optional one is absent. Order as ONNX has it
            (BatchNormalization: x, scale, bias, mean, variance). Any number for the n-ary,
            commutative Add and Mul.
        attrs: by one convention for both frameworks; axes negative-free where the rank is known,
            floats as the framework holds them (compare with `attributes_equal`).
        outputs: types of the results.
        locations: where each result lives natively; None where it exists on no native tensor
            (a product inside a fused attention).
        native: native operations folded into this node, the one that yields the result last.
        name: of an Input the leaf's name, of a Parameter its first dotted name.
        path, source: module path and "file:line" of the principal native operation.
        opaque: whether no table row knows the operator.
        marks: as of the native nodes ("no_grad", "gradient_hook", "random", ...).
        constant: the value of a Constant where it is known.
    """

    id: int
    op: str
    inputs: tuple[Edge | None, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[TensorType, ...] = ()
    locations: tuple[Location | None, ...] = ()
    native: tuple[int, ...] = ()
    name: str = ""
    path: str = ""
    source: str = ""
    commutative: bool = False
    opaque: bool = False
    marks: frozenset[str] = frozenset()
    constant: np.ndarray[Any, Any] | None = field(default=None, compare=False)

    @property
    def leaf(self) -> bool:
        """Whether it computes nothing."""
        return self.op in LEAVES


@dataclass(frozen=True)
class NormalGraph:
    """A model in normal form.

    Attributes:
        graph: the captured graph it came from.
        nodes: in topological order; only what an output, a buffer update or a marked effect needs.
        outputs: the model's outputs, as edges, by leaf name, in the user's order.
        updates: buffers that the run changes (running statistics): name -> edge of the new value,
            where the update is an operation of its own and not part of an operator.
        rewrites: how often each named rewrite was used.
        unread: names of parameters and buffers that the computation does not read.
        factors: native operations that multiply by a constant -> by what; a factor moves on along
            the edges, so that none of them tells where it came from.
        unasked: native operations -> their attributes that the normal form does not speak of.
    """

    graph: ComputationGraph
    nodes: tuple[NormalNode, ...]
    outputs: Mapping[str, Edge]
    updates: Mapping[str, Edge] = field(default_factory=dict)
    rewrites: Counter[str] = field(default_factory=Counter)
    unread: tuple[str, ...] = ()
    factors: Mapping[int, float] = field(default_factory=dict)
    unasked: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def users(self) -> list[list[tuple[int, int]]]:
        """For every node its consumers as (node, operand position)."""
        users: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for position, edge in enumerate(node.inputs):
                if edge is not None:
                    users[edge.source].append((node.id, position))
        return users
