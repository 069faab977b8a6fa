"""The sizes that an operation's weights and heads have, by the names that layers give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.matching.parameters.operand_call import Shape
from padiff_graph.matching.parameters.relations import squeezed

__all__ = ["INHERITED", "NAMED", "Read", "same_size", "sizes_of"]

INHERITED = frozenset(
    {"in_features", "in_channels", "num_features", "normalized_shape", "input_size"}
)
"""Sizes that a layer takes over from what it reads, where that has another size too."""
PACKED = (1, 2, 3)
"""Projections that one product may yield beside each other."""
PRODUCT_RANK = 4
"""Axes of a batched product over heads: batch, heads, rows, columns."""


@dataclass(frozen=True, slots=True)
class Read:
    """One graph, how many operands each of its nodes is, and the parameters that have a
    counterpart for each of their elements."""

    graph: NormalGraph
    uses: tuple[int, ...]
    mapped: frozenset[str] = frozenset()

    @classmethod
    def of(cls, graph: NormalGraph, mapped: Iterable[str] = ()) -> Read:
        """Counts the readers of a graph's nodes."""
        return cls(graph, tuple(len(users) for users in graph.users()), frozenset(mapped))

    def shape(self, node: NormalNode, position: int) -> Shape | None:
        """The shape in which an operand is read; None where it is absent."""
        edge = node.inputs[position] if position < len(node.inputs) else None
        if edge is None:
            return None
        if edge.view is not None:
            return edge.view.shape
        outputs = self.graph.nodes[edge.source].outputs
        return outputs[edge.output].shape if edge.output < len(outputs) else None

    def held(self, edge: Edge | None) -> Shape | None:
        """The shape of the parameter that an operand is: its own, or of the part that is read where
        others read it too. None for buffers, whose unread rows change nothing, and all else."""
        if edge is None:
            return None
        source = self.graph.nodes[edge.source]
        info = self.graph.graph.parameters.get(source.name)
        if source.op != "Parameter" or info is None or info.buffer:
            return None
        if self.uses[source.id] > 1 and edge.view is not None:
            return edge.view.shape
        return info.type.shape

    def has_counterpart(self, edge: Edge | None) -> bool:
        """Whether an operand is a parameter with a counterpart."""
        return edge is not None and self.graph.nodes[edge.source].name in self.mapped


def sizes_of(read: Read, node: NormalNode) -> dict[str, object]:
    """The named sizes of an operation: numbers, or shapes without extents of 1."""
    named = NAMED.get(node.op, _of_parameters)
    return dict(named(read, node))


def same_size(first: object, second: object) -> bool:
    """Whether two values of one name are one size; shapes of parameters are, whatever the order of
    their axes."""
    return _extents(first) == _extents(second)


def _extents(value: object) -> object:
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return [sorted(shape) for shape in value]
    return value


def _linear(read: Read, node: NormalNode) -> Mapping[str, object]:
    weight = read.shape(node, 1)
    if weight is None or len(weight) < 2:
        return {}
    return {"in_features": weight[-2], "out_features": weight[-1]}


def _convolution(read: Read, node: NormalNode) -> Mapping[str, object]:
    weight = read.shape(node, 1)
    if weight is None or len(weight) < 2:
        return {}
    channels = [weight[0], weight[1]]
    grouped = 0 if node.op == "ConvTranspose" else 1
    channels[1] *= node.attrs.get("group", 1)
    return {
        "in_channels": channels[grouped],
        "out_channels": channels[1 - grouped],
        "kernel_size": tuple(weight[2:]),
    }


def _channel_norm(read: Read, node: NormalNode) -> Mapping[str, object]:
    scale = read.shape(node, 1)
    return {} if scale is None else {"num_features": max(scale, default=1)}


def _row_norm(read: Read, node: NormalNode) -> Mapping[str, object]:
    scale = read.shape(node, 1)
    return {} if scale is None else {"normalized_shape": squeezed(scale)}


def _lookup(read: Read, node: NormalNode) -> Mapping[str, object]:
    table = read.held(node.inputs[0] if node.inputs else None)
    if table is None or len(table) != 2 or node.attrs.get("axis", 0) != 0:
        return {}
    return {"num_embeddings": table[0], "embedding_dim": table[1]}


def _recurrent(read: Read, node: NormalNode) -> Mapping[str, object]:
    entry = read.shape(node, 0)
    return {} if not entry else {"input_size": entry[-1]}


def _heads(read: Read, node: NormalNode) -> Mapping[str, object]:
    """Heads that a reshape splits a value into, in front of a product over them."""
    edge = node.inputs[0] if node.inputs else None
    if edge is None or edge.view is None or not read.graph.nodes[edge.source].outputs:
        return {}
    whole = read.graph.nodes[edge.source].outputs[edge.output].shape
    shape = edge.view.shape
    if len(shape) == PRODUCT_RANK and len(whole) == PRODUCT_RANK - 1:
        return {"num_heads": shape[1]}
    if len(shape) == len(whole) == PRODUCT_RANK - 1 and shape != whole:
        folded = _folded_heads(shape, whole)
        return {"num_heads": folded[0]} if len(folded) == 1 else {}
    return {}


def _folded_heads(shape: Shape, whole: Shape) -> list[int]:
    """The heads that a value of three axes may have been split into where they stand in one axis
    with the batch, which is the first or the second of the value; it may hold query, key and value
    beside each other."""
    heads: set[int] = set()
    for batch, length in ((whole[0], whole[1]), (whole[1], whole[0])):
        if not batch or shape[0] % batch or not shape[0]:
            continue
        split = shape[0] // batch
        for parts in PACKED:
            width = whole[2] / parts / split
            if sorted(shape[1:]) == sorted((length, width)):
                heads.add(split)
    return sorted(heads)


def _of_parameters(read: Read, node: NormalNode) -> Mapping[str, object]:
    """The shapes of all parameters without counterpart that an operation reads as they are; the
    order of operands and of axes is no size."""
    shapes = [read.held(edge) for edge in node.inputs if not read.has_counterpart(edge)]
    held = [squeezed(shape) for shape in shapes if shape is not None]
    return {"shape": tuple(sorted(held, key=lambda shape: (len(shape), sorted(shape))))}


def _product(read: Read, node: NormalNode) -> Mapping[str, object]:
    return {**_of_parameters(read, node), **_heads(read, node)}


NAMED: Mapping[str, Callable[[Read, NormalNode], Mapping[str, object]]] = {
    "Linear": _linear,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "BatchNormalization": _channel_norm,
    "InstanceNormalization": _channel_norm,
    "GroupNormalization": _channel_norm,
    "LayerNormalization": _row_norm,
    "RMSNormalization": _row_norm,
    "Gather": _lookup,
    "MatMul": _product,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
"""How the sizes of an operator are read; of all others, the shapes of their parameters."""
