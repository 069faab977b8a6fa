"""What a node looks like by itself, at several levels of strictness, as integers.

A label never looks at a neighbour that computes; parameters and constants are part of their
reader's label, so that two linears of different widths have different labels. Labels of both
graphs are numbered by one `Labeler`, so that equal numbers mean equal labels.

| level | compares |
| --- | --- |
| EXACT | operator, attributes, views, scales and shifts of operands, parameter shapes, constants |
| PLAIN | operator, size of the result, number of parameter elements |
| LOOSE | the same without the result's size; 1x1 convolution = linear |
| KIND | family of the operator ("activation", "normalization", ...) |
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.form import Edge, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import told_by_view, traits

__all__ = ["EXACT", "KIND", "LOOSE", "PLAIN", "Labeler", "LeafLook", "Look", "constant_look"]

EXACT, PLAIN, LOOSE, KIND = range(4)

COMPARED = 4096
"""Constants up to this many elements are compared by all of them: chosen so that tables of
positions are, and weights folded into constants cost nothing."""
SAMPLE = 257
"""Elements that larger constants are compared by, at places drawn by their size."""
LISTED = 64
"""Elements of an array attribute that are compared: no operator has a longer one that matters."""
DIGITS = 4
"""Significant digits of numbers: Paddle keeps attributes in float32, of which 7 are sound, and
folding takes its part."""
INFINITE = 1e30
"""Stands for infinity in sums over constants."""

_Levels = tuple[Hashable, Hashable, Hashable, Hashable]
"""A node's labels, by level."""


class LeafLook(NamedTuple):
    """All that the labels of an input, a parameter or a constant tell."""

    op: str
    type: TensorType
    constant: Hashable


class Look(NamedTuple):
    """All that the labels of a computing node tell.

    Attributes:
        weights: (role, shape) of operands that depend on parameters alone.
        constants: (role, how it is read, look) of operands that are constants.
        size: elements of the first result.
        pointwise: whether it is a convolution that is a linear over channels.
    """

    op: str
    attributes: Hashable
    weights: tuple[tuple[int, tuple[int, ...]], ...]
    constants: tuple[Hashable, ...]
    size: int
    marks: frozenset[str]
    pointwise: bool


class Labeler:
    """Numbers labels: equal labels of either graph get equal numbers."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._views: dict[Hashable, int] = {}
        self._edges: dict[tuple[int, View | None, float, float], int] = {}
        self._attributes: dict[Hashable, Hashable] = {}
        self._levels: dict[Hashable, tuple[int, ...]] = {}

    def number(self, label: Hashable) -> int:
        """The number of a label."""
        return self._numbers.setdefault(label, len(self._numbers) + 1)

    def levels(self, look: Look | LeafLook) -> tuple[int, ...]:
        """The numbers of a node's labels at all levels, by what is seen of it.

        Models repeat their blocks, so this is worked out once for each look.
        """
        numbers = self._levels.get(look)
        if numbers is None:
            labels = _leaf_levels(look) if isinstance(look, LeafLook) else _levels(look)
            numbers = self._levels[look] = tuple(map(self.number, labels))
        return numbers

    def view(self, view: View | None) -> int:
        """A number for what a view reads, whatever shape it gives it."""
        if view is None:
            return 0
        key: Hashable = (view.source, view.size, view.stages)
        number = self._views.get(key)
        if number is None:
            whole = view.size == view.source and not view.stages
            probe = ("all", view.size) if whole or view.identity else view.probe
            number = self._views[key] = self.number(("view", probe))
        return number

    def edge(self, edge: Edge) -> int:
        """A number for how an operand is read."""
        key = (edge.output, edge.view, edge.scale, edge.shift)
        number = self._edges.get(key)
        if number is None:
            factors = rounded(edge.scale), rounded(edge.shift)
            number = self._edges[key] = self.number((edge.output, self.view(edge.view), *factors))
        return number

    def attributes(self, node: NormalNode) -> Hashable:
        """A node's attributes, those left out that its operand's view tells."""
        if not node.attrs:
            return ()
        key: Hashable = (node.op, *node.attrs.items())
        try:
            known = self._attributes.get(key)
        except TypeError:  # an array or a list among them
            return _attributes(node)
        if known is None:
            known = self._attributes[key] = _attributes(node)
        return known


def _levels(look: Look) -> _Levels:
    """The labels of a computing node."""
    counts = tuple(sorted((role, math.prod(shape)) for role, shape in look.weights))
    extents = tuple(sorted((role, _extents(shape)) for role, shape in look.weights))
    loose = "Linear" if look.pointwise else look.op
    return (
        (look.op, look.attributes, extents, look.constants, look.size, look.marks),
        (look.op, counts, look.size),
        (loose, counts),
        (traits(look.op).family or loose,),
    )


def _leaf_levels(look: LeafLook) -> _Levels:
    """The labels of a leaf."""
    op, kind, constant = look
    if op == "Input":
        return (op, kind.shape, kind.dtype), (op, kind.size, kind.dtype), (op,), (op,)
    if op == "Parameter":
        return (op, _extents(kind.shape)), (op, kind.size), (op, kind.size), (op,)
    return (op, constant), (op, kind.size), (op,), (op,)


@lru_cache(maxsize=1 << 12)
def _extents(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(extent for extent in shape if extent != 1))


# -- numbers as both frameworks have them


def rounded(value: Any) -> Hashable:
    """An attribute value as something equal for both frameworks and hashable: floats to `DIGITS`
    digits."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.number)):
        return _rounded_number(float(value))
    if isinstance(value, (tuple, list)):
        return tuple(map(rounded, value))
    if isinstance(value, np.ndarray):
        return (value.shape, tuple(map(rounded, value.reshape(-1)[:LISTED].tolist())))
    if isinstance(value, Mapping):
        return tuple(sorted((key, rounded(item)) for key, item in value.items()))
    return value if isinstance(value, Hashable) else repr(value)


def _rounded_number(number: float) -> Hashable:
    if not math.isfinite(number):
        return repr(number)
    return number if number == int(number) else _short(number)


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _attributes(node: NormalNode) -> Hashable:
    shown = [item for item in node.attrs.items() if not told_by_view(node.op, item[0])]
    return tuple(sorted((name, rounded(value)) for name, value in shown))


def constant_look(node: NormalNode) -> Hashable:
    """What is seen of a constant: sums over its elements, with and without their order."""
    if node.constant is None:
        return None
    flat = np.asarray(node.constant).reshape(-1)
    if flat.dtype.kind not in "biuf" or not flat.size:
        return flat.size
    flat = flat.astype(np.float64)
    if flat.size > COMPARED:
        flat = flat[np.random.default_rng(flat.size).integers(0, flat.size, SAMPLE)]
    infinite = np.sign(np.nan_to_num(flat)) * INFINITE
    finite = np.where(np.isfinite(flat), flat, infinite)
    ordered = finite @ np.cos(np.arange(finite.size))
    return tuple(map(_short, (finite.sum(), np.abs(finite).sum(), ordered)))
