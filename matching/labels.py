"""What a node looks like by itself, at several levels of strictness, as integers.

A label never looks at a neighbour that computes; parameters and constants are part of their reader's
label, so that two linears of different widths have different labels. Labels of both graphs are numbered
by one `Labeler`, so that equal numbers mean equal labels.

| level | compares |
| --- | --- |
| EXACT | operator, attributes, views, scales and shifts of operands, parameter shapes, constant values |
| PLAIN | operator, size of the result, number of parameter elements |
| LOOSE | the same without the result's size; 1x1 convolution = linear |
| KIND | family of the operator ("activation", "normalization", ...) |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import STATIC_LEAVES, told_by_view, traits

__all__ = ["EXACT", "KIND", "LOOSE", "PLAIN", "Labeler", "Operand", "Side"]

EXACT, PLAIN, LOOSE, KIND = range(4)

_CONSTANT_LIMIT = 4096
"""Constants up to this many elements are compared by value."""


_Levels = tuple[Hashable, Hashable, Hashable, Hashable]
"""A node's labels, by level."""


class Operand(NamedTuple):
    """One operand of a node, as matching sees it.

    `role` is the position, -1 for all operands of a commutative operator. `label` says how the operand
    is read (view, scale, shift, output), at level EXACT.
    """

    source: int
    position: int
    role: int
    label: int


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

    def levels(self, look: Hashable, told: Callable[[Any], _Levels]) -> tuple[int, ...]:
        """The numbers of a node's labels at all levels; `told` makes the labels of what is seen of it."""
        found = self._levels.get(look)
        if found is None:
            found = self._levels[look] = tuple(map(self.number, told(look)))
        return found

    def view(self, view: View | None) -> int:
        """A number for what a view reads, whatever shape it gives it."""
        if view is None:
            return 0
        key: Hashable = (view.source, view.size, view.stages)
        found = self._views.get(key)
        if found is None:
            probe: Hashable = (
                ("all", view.size) if not view.stages and view.size == view.source else view.probe
            )
            if probe != ("all", view.size) and view.identity:
                probe = ("all", view.size)
            found = self._views[key] = self.number(("view", probe))
        return found

    def edge(self, edge: Edge) -> int:
        """A number for how an operand is read."""
        key = (edge.output, edge.view, edge.scale, edge.shift)
        found = self._edges.get(key)
        if found is None:
            found = self._edges[key] = self.number(
                (edge.output, self.view(edge.view), rounded(edge.scale), rounded(edge.shift))
            )
        return found

    def attributes(self, node: NormalNode) -> Hashable:
        """A node's attributes, those left out that its operand's view tells."""
        if not node.attrs:
            return ()
        key: Hashable = (node.op, *node.attrs.items())
        try:
            found = self._attributes.get(key)
        except TypeError:  # an array or a list among them
            return _attributes(node)
        if found is None:
            found = self._attributes[key] = _attributes(node)
        return found


class Side:
    """One graph prepared for matching: operands, users and labels by node id.

    Attributes:
        operands: the present operands of each node.
        sources: of these the sources that are computed from inputs, and inputs.
        users: for each node its consumers, as (node, role, edge label, position).
        leaf: whether the node computes nothing.
        weight: whether the node computes something from parameters and constants alone.
        fixed: whether it is a parameter, a constant, or computed from these alone.
        weighty: whether it reads a parameter, or what is computed from parameters alone.
        inputs: ids of the graph inputs.
        computing: ids of the nodes to match by structure, in topological order: neither leaf nor weight.
        computes: the same as a set.
        labels: by level, the label number of each node.
        outputs: for each node that yields a model output, (position among the outputs, edge label).
    """

    def __init__(self, graph: NormalGraph, labeler: Labeler) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.size = len(graph.nodes)
        self.leaf = [node.leaf for node in graph.nodes]
        self.weight = [False] * self.size
        self.operands: list[tuple[Operand, ...]] = []
        self.sources: list[tuple[int, ...]] = []
        self.users: list[list[tuple[int, int, int, int]]] = [[] for _ in range(self.size)]
        self.fixed = [node.op in STATIC_LEAVES for node in graph.nodes]
        self.weighty = [False] * self.size
        for node in graph.nodes:
            if not node.inputs:
                self.operands.append(())
                self.sources.append(())
                continue
            here = []
            sources = []
            for position, edge in enumerate(node.inputs):
                if edge is None:
                    continue
                role = -1 if node.commutative else position
                label = labeler.edge(edge)
                here.append(Operand(edge.source, position, role, label))
                self.users[edge.source].append((node.id, role, label, position))
                if not self.fixed[edge.source]:
                    sources.append(edge.source)
                elif graph.nodes[edge.source].op != "Constant":
                    self.weighty[node.id] = True
            self.weight[node.id] = self.fixed[node.id] = not self.leaf[node.id] and not sources
            self.operands.append(tuple(here))
            self.sources.append(tuple(sources))
        self.inputs = [node.id for node in graph.nodes if node.op == "Input"]
        self.computing = [
            at for at in range(self.size) if not self.leaf[at] and not self.weight[at]
        ]
        self.computes = frozenset(self.computing)
        self.outputs: list[list[tuple[int, int]]] = [[] for _ in range(self.size)]
        for position, edge in enumerate(graph.outputs.values()):
            self.outputs[edge.source].append((position, edge.output))
        self.labels = self._labels(labeler)

    def _labels(self, labeler: Labeler) -> tuple[list[int], ...]:
        found = [labeler.levels(*self._look(node, labeler)) for node in self.nodes]
        return (
            tuple(list(level) for level in zip(*found, strict=True)) if found else ([], [], [], [])
        )

    def _look(
        self, node: NormalNode, labeler: Labeler
    ) -> tuple[Hashable, Callable[[Any], _Levels]]:
        """All that a node's labels tell, and how it becomes one label a level: models repeat their blocks, so
        this is worked out once for each look."""
        if node.leaf:
            kind = node.outputs[0] if node.outputs else TensorType((0,), "")
            return (
                node.op,
                kind,
                _constant(node) if node.op == "Constant" else None,
            ), _LEAF_LEVELS[node.op]
        weights: list[tuple[int, tuple[int, ...]]] = []
        constants: list[Hashable] = []
        for operand in self.operands[node.id]:
            source = self.nodes[operand.source]
            if source.op == "Parameter" or self.weight[operand.source]:
                edge = node.inputs[operand.position]
                weights.append(
                    (
                        operand.role,
                        edge.view.shape
                        if edge is not None and edge.view is not None
                        else source.outputs[0].shape,
                    )
                )
            elif source.op == "Constant":
                constants.append((operand.role, operand.label, _constant(source)))
        if node.commutative:
            weights.sort()
            constants.sort(key=repr)
        size = node.outputs[0].size if node.outputs else 0
        pointwise = node.op == "Conv" and self._pointwise(node)
        return (
            node.op,
            labeler.attributes(node),
            tuple(weights),
            tuple(constants),
            size,
            node.marks - {"inplace"},
            pointwise,
        ), _levels

    def _pointwise(self, node: NormalNode) -> bool:
        """Whether a convolution is a linear over channels."""
        edge = node.inputs[1] if len(node.inputs) > 1 else None
        if edge is None or edge.view is None:
            return False
        return math.prod(edge.view.shape[2:]) == 1 and node.attrs.get("group", 1) == 1


@lru_cache(maxsize=1 << 12)
def _extents(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(extent for extent in shape if extent != 1))


def _levels(
    look: tuple[
        str, Hashable, tuple[tuple[int, tuple[int, ...]], ...], Hashable, int, frozenset[str], bool
    ],
) -> _Levels:
    op, attributes, weights, constants, size, marks, pointwise = look
    counts = tuple(sorted((role, math.prod(shape)) for role, shape in weights))
    extents = tuple(sorted((role, _extents(shape)) for role, shape in weights))
    loose = "Linear" if pointwise else op
    return (
        (op, attributes, extents, constants, size, marks),
        (op, counts, size),
        (loose, counts),
        (traits(op).family or loose,),
    )


_LEAF_LEVELS: Mapping[str, Callable[[tuple[str, TensorType, Hashable]], _Levels]] = {
    "Input": lambda look: (
        ("Input", look[1].shape, look[1].dtype),
        ("Input", look[1].size, look[1].dtype),
        ("Input",),
        ("Input",),
    ),
    "Parameter": lambda look: (
        ("Parameter", _extents(look[1].shape)),
        ("Parameter", look[1].size),
        ("Parameter", look[1].size),
        ("Parameter",),
    ),
    "Constant": lambda look: (
        ("Constant", look[2]),
        ("Constant", look[1].size),
        ("Constant",),
        ("Constant",),
    ),
}


def rounded(value: Any) -> Hashable:
    """An attribute value as something equal for both frameworks and hashable: floats to five digits."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.number)):
        number = float(value)
        if not math.isfinite(number):
            return repr(number)
        return number if number == int(number) else float(f"{number:.4g}")
    if isinstance(value, (tuple, list)):
        return tuple(rounded(item) for item in value)
    if isinstance(value, np.ndarray):
        return (value.shape, tuple(rounded(item) for item in value.reshape(-1)[:64].tolist()))
    if isinstance(value, Mapping):
        return tuple(sorted((key, rounded(item)) for key, item in value.items()))
    return value if isinstance(value, Hashable) else repr(value)


def _attributes(node: NormalNode) -> Hashable:
    return tuple(
        sorted(
            (name, rounded(value))
            for name, value in node.attrs.items()
            if not told_by_view(node.op, name)
        )
    )


def _constant(node: NormalNode) -> Hashable:
    value = node.constant
    if value is None:
        return None
    flat = np.asarray(value).reshape(-1)
    if flat.dtype.kind not in "biuf" or not flat.size:
        return flat.size
    flat = flat.astype(np.float64)
    if flat.size > _CONSTANT_LIMIT:
        flat = flat[np.random.default_rng(flat.size).integers(0, flat.size, 257)]
    finite = np.where(np.isfinite(flat), flat, np.sign(np.nan_to_num(flat)) * 1e30)
    return tuple(
        float(f"{number:.4g}")
        for number in (finite.sum(), np.abs(finite).sum(), finite @ np.cos(np.arange(finite.size)))
    )
