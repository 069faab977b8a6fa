"""One graph prepared for matching: who reads whom, and what each node looks like."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.form import INVERTED, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import Indices
from padiff_graph.matching.labels import Labeler, LeafLook, Look, constant_look
from padiff_graph.matching.operand_factors import as_read, operand_factors, turned_sums
from padiff_graph.matching.weights_only import weights_only

__all__ = ["Operand", "Side"]


class Operand(NamedTuple):
    """One operand of a node, as matching sees it.

    `role` is the position, -1 for all operands of a commutative operator. `label` says how the
    operand is read (view, scale, shift, output), at level EXACT.
    """

    source: int
    position: int
    role: int
    label: int


class Side:
    """One graph prepared for matching: operands, users and labels by node id.

    Attributes:
        operands: the present operands of each node.
        sources: of these the sources that are computed from inputs, and inputs.
        users: for each node its consumers, as (node, role, edge label, position).
        leaf: whether the node computes nothing.
        complex: whether the node computes complex numbers.
        weight: whether the node computes something from parameters and constants alone.
        fixed: whether it is a parameter, a constant, or computed from these alone.
        weighty: whether it reads a parameter, or what is computed from parameters alone.
        inputs: ids of the graph inputs.
        computing: ids of the nodes to match by structure, in topological order: neither leaf nor
            weight.
        computes: the same as a set.
        labels: by level, the label number of each node.
        turned: sums that are read as their negative alone, and taken for it.
        factors: of sums and products whose operands they tell apart, by position.
        outputs: for each node that yields a model output, (position among the outputs, edge label).
    """

    def __init__(self, graph: NormalGraph, labeler: Labeler) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.size = len(graph.nodes)
        self.leaf = [node.leaf for node in graph.nodes]
        self.complex = [not node.leaf and _is_complex(node) for node in graph.nodes]
        self.fixed = weights_only(graph)
        self.weight = [
            fixed and not leaf for fixed, leaf in zip(self.fixed, self.leaf, strict=True)
        ]
        self.inputs = [node.id for node in graph.nodes if node.op == "Input"]
        self.computing = [
            at for at in range(self.size) if not self.leaf[at] and not self.weight[at]
        ]
        self.computes = frozenset(self.computing)
        self.turned = turned_sums(graph)
        self.factors = operand_factors(graph, self.turned)
        self.operands: list[tuple[Operand, ...]] = []
        self.sources: list[tuple[int, ...]] = []
        self.users: list[list[tuple[int, int, int, int]]] = [[] for _ in range(self.size)]
        self.weighty = [False] * self.size
        for node in graph.nodes:
            self._connect(node, labeler)
        self.outputs: list[list[tuple[int, int]]] = [[] for _ in range(self.size)]
        for position, edge in enumerate(graph.outputs.values()):
            self.outputs[edge.source].append((position, edge.output))
        levels = [labeler.levels(self._look(node, labeler)) for node in self.nodes]
        self.labels: tuple[list[int], ...] = ([], [], [], [])
        if levels:
            self.labels = tuple(list(level) for level in zip(*levels, strict=True))

    @cached_property
    def reads(self) -> tuple[Indices, Indices, np.ndarray[Any, np.dtype[np.uint64]]]:
        """Which computing node reads which, and in which role, each as an array."""
        found = [
            (node, operand.source, operand.role)
            for node in self.computing
            for operand in self.operands[node]
            if operand.source in self.computes
        ]
        readers, sources, roles = np.array(found, np.int64).reshape(-1, 3).T
        return readers, sources, roles.astype(np.uint64)

    def _connect(self, node: NormalNode, labeler: Labeler) -> None:
        """Adds a node's operands, and the node to the users of their sources."""
        operands = []
        sources = []
        for position, edge in enumerate(node.inputs):
            if edge is None:
                continue
            role = -1 if node.commutative else position
            label = labeler.edge(as_read(edge, node.id, self.turned))
            operands.append(Operand(edge.source, position, role, label))
            self.users[edge.source].append((node.id, role, label, position))
            if not self.fixed[edge.source]:
                sources.append(edge.source)
            elif self.nodes[edge.source].op != "Constant":
                self.weighty[node.id] = True
        self.operands.append(tuple(operands))
        self.sources.append(tuple(sources))

    def _look(self, node: NormalNode, labeler: Labeler) -> Look | LeafLook:
        """All that a node's labels tell."""
        if node.leaf:
            kind = node.outputs[0] if node.outputs else TensorType((0,), "")
            return LeafLook(node.op, kind, constant_look(node) if node.op == "Constant" else None)
        weights = []
        constants = []
        for operand in self.operands[node.id]:
            source = self.nodes[operand.source]
            if source.op == "Constant":
                constants.append((operand.role, operand.label, constant_look(source)))
            elif self.fixed[operand.source]:
                weights.append((operand.role, self._shape(node, operand)))
        if node.commutative:
            weights.sort()
            constants.sort(key=repr)
        return Look(
            node.op,
            labeler.attributes(node),
            tuple(weights),
            tuple(constants),
            node.outputs[0].size if node.outputs else 0,
            node.marks - {"inplace", INVERTED},
            node.op == "Conv" and _pointwise(node),
        )

    def _shape(self, node: NormalNode, operand: Operand) -> tuple[int, ...]:
        """The shape in which an operand is read."""
        edge = node.inputs[operand.position]
        if edge is not None and edge.view is not None:
            return edge.view.shape
        return self.nodes[operand.source].outputs[0].shape


def _pointwise(node: NormalNode) -> bool:
    """Whether a convolution is a linear over channels."""
    edge = node.inputs[1] if len(node.inputs) > 1 else None
    if edge is None or edge.view is None:
        return False
    return math.prod(edge.view.shape[2:]) == 1 and node.attrs.get("group", 1) == 1


def _is_complex(node: NormalNode) -> bool:
    return any(kind.dtype.startswith("complex") for kind in node.outputs)
