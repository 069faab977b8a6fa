"""Linears whose results are concatenated, as the one Linear that they are together.

Not part of every normal form: as long as the other model has the same Linears, each of them is held against
its own. Where it has one of the whole width instead, `joined` brings this side to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.edges import read_through
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View

__all__ = ["Concatenation", "concatenations", "joined"]

_HELD = frozenset({"gradient_hook", "custom_function", "random"})
"""Marks of operations that stay as they are."""


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Linears of one operand, concatenated along their features.

    Attributes:
        node: the Concat.
        linears: its operands, in order.
        operand: what all of them read.
        features: of all together.
        order: the operands' places in the Linear that is to stand for them; theirs where empty.
    """

    node: int
    linears: tuple[int, ...]
    operand: Edge
    features: int
    order: tuple[int, ...] = ()


def concatenations(graph: NormalGraph) -> Iterable[Concatenation]:
    """Every Concat of nothing but Linears that read one operand."""
    for node in graph.nodes:
        if (
            node.op != "Concat"
            or not node.outputs
            or node.marks & _HELD
            or node.attrs["axis"] != len(node.outputs[0].shape) - 1
        ):
            continue
        linears = [
            graph.nodes[edge.source]
            for edge in node.inputs
            if edge is not None and _whole(edge, graph)
        ]
        if len(linears) != len(node.inputs) or len({linear.id for linear in linears}) < max(
            2, len(linears)
        ):
            continue
        if any(
            linear.op != "Linear" or linear.marks != linears[0].marks or linear.marks & _HELD
            for linear in linears
        ):
            continue
        operand = linears[0].inputs[0]
        if operand is not None and all(
            _same(operand, linear.inputs[0]) and _plain(linear, linears[0]) for linear in linears
        ):
            yield Concatenation(
                node.id, tuple(linear.id for linear in linears), operand, node.outputs[0].shape[-1]
            )


def _whole(edge: Edge, graph: NormalGraph) -> bool:
    """Whether an operand is a result as it is."""
    outputs = graph.nodes[edge.source].outputs
    return (
        edge.view is not None
        and edge.view.identity
        and (edge.scale, edge.shift) == (1.0, 0.0)
        and edge.view.shape == outputs[edge.output].shape
    )


def _same(one: Edge, other: Edge | None) -> bool:
    if other is None or (one.source, one.output, one.scale, one.shift) != (
        other.source,
        other.output,
        other.scale,
        other.shift,
    ):
        return False
    return (
        one.view is not None
        and other.view is not None
        and one.view.shape == other.view.shape
        and one.view.same(other.view)
    )


def _plain(linear: NormalNode, like: NormalNode) -> bool:
    """Whether the weights are matrices and the biases vectors as they are, biases for all or for none."""
    own = linear.inputs[1:]
    if [edge is None for edge in own] != [edge is None for edge in like.inputs[1:]]:
        return False
    ranks = zip(own, (2, 1), strict=False)
    return all(
        edge is None
        or (
            edge.view is not None
            and len(edge.view.shape) == rank
            and (edge.scale, edge.shift) == (1.0, 0.0)
        )
        for edge, rank in ranks
    )


def joined(graph: NormalGraph, chosen: Iterable[Concatenation]) -> NormalGraph:
    """The graph with one Linear in place of each concatenation; its weights are Concats of theirs.

    Whoever else reads one of the Linears reads its features of the whole.
    """
    nodes: dict[int, NormalNode] = {node.id: node for node in graph.nodes}
    moved: dict[int, Edge] = {}
    count = 0
    for found in chosen:
        if not {found.node, *found.linears} <= nodes.keys():
            continue  # one of its Linears went into another concatenation
        whole = nodes.pop(found.node)
        own = [nodes.pop(at) for at in found.linears]
        linears = [own[at] for at in found.order] if found.order else own
        weights = [
            _concatenated(nodes, position, linears) for position in range(1, len(linears[0].inputs))
        ]
        into = [
            by
            for linear in linears
            for edge in linear.inputs
            if edge is not None
            for by in edge.through
        ]
        out = [by for edge in whole.inputs if edge is not None for by in edge.through]
        native = tuple(
            dict.fromkeys(
                [*into, *(by for linear in linears for by in linear.native), *out, *whole.native]
            )
        )
        operand = found.operand._replace(through=())
        nodes[found.node] = replace(
            whole,
            op="Linear",
            attrs={},
            inputs=(operand, *weights),
            native=native,
            marks=linears[0].marks | whole.marks,
        )
        size, start = View.of(whole.outputs[0].shape), 0
        last = len(size.shape) - 1
        place: dict[int, range] = {}
        for linear in linears:
            place[linear.id] = range(start, start + linear.outputs[0].shape[-1])
            moved[linear.id] = Edge(found.node, 0, size.take(last, place[linear.id]))
            start += linear.outputs[0].shape[-1]
        if linears != own:
            # The Concat reads the whole in its own order; the whole stands where the Concat's result does, in another.
            read = [feature for linear in own for feature in place[linear.id]]
            moved[found.node] = Edge(found.node, 0, size.take(last, read))
            back = sorted(range(len(read)), key=read.__getitem__)
            located = tuple(
                None if at is None else at._replace(view=at.view.take(last, back))
                for at in whole.locations
            )
            nodes[found.node] = replace(nodes[found.node], locations=located)
        count += 1
    return _numbered(graph, nodes, moved, count)


def _concatenated(
    nodes: dict[int, NormalNode], position: int, linears: list[NormalNode]
) -> Edge | None:
    """An operand of all Linears behind one another, as a node of its own."""
    edges = tuple(linear.inputs[position] for linear in linears)
    parts = [edge.view.shape for edge in edges if edge is not None and edge.view is not None]
    if len(parts) != len(edges):
        return None
    shape = (*parts[0][:-1], sum(part[-1] for part in parts))
    kind = TensorType(shape, linears[0].outputs[0].dtype)
    at = max(nodes) + 1 + len(linears)
    nodes[at] = NormalNode(
        at,
        "Concat",
        edges,
        {"axis": len(shape) - 1},
        (kind,),
        (None,),
        path=linears[0].path,
        source=linears[0].source,
    )
    return Edge(at, 0, View.of(shape))


def _numbered(
    graph: NormalGraph, nodes: dict[int, NormalNode], moved: dict[int, Edge], count: int
) -> NormalGraph:
    """The nodes in order again, each behind what it reads, edges to what is gone through what stands for it."""

    def seen(edge: Edge | None) -> Edge | None:
        return (
            edge
            if edge is None or edge.source not in moved
            else read_through(moved[edge.source], edge)
        )

    inputs = {at: tuple(seen(edge) for edge in node.inputs) for at, node in nodes.items()}
    place: dict[int, int] = {}
    order: list[int] = []
    for root in sorted(at for at in nodes if at < len(graph.nodes)):
        stack = [root]
        while stack:
            before = [
                edge.source
                for edge in inputs[stack[-1]]
                if edge is not None and edge.source not in place
            ]
            if before:
                stack.extend(before)
                continue
            at = stack.pop()
            if at not in place:
                place[at] = len(order)
                order.append(at)

    def placed(edge: Edge | None) -> Edge | None:
        return None if edge is None else edge._replace(source=place[edge.source])

    made = tuple(
        replace(nodes[at], id=place[at], inputs=tuple(placed(edge) for edge in inputs[at]))
        for at in order
    )
    ends = [
        {name: end for name, edge in held.items() if (end := placed(seen(edge))) is not None}
        for held in (graph.outputs, graph.updates)
    ]
    return replace(
        graph,
        nodes=made,
        outputs=ends[0],
        updates=ends[1],
        rewrites=graph.rewrites + Counter(joined_linears=count),
    )
