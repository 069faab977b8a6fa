"""Linears whose results are concatenated, as the one Linear that they are together.

Not part of every normal form: as long as the other model has the same Linears, each of them is held
against its own. Where it has one of the whole width instead, `joined` brings this side to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.edges import read_through, unscaled
from padiff_graph.capture.normal.form import HELD, Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View

__all__ = ["Concatenation", "concatenations", "joined"]

_KEPT = HELD | {"random"}
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
        if node.op != "Concat" or not node.outputs or node.marks & _KEPT:
            continue
        linears = _parts(graph, node)
        operand = linears[0].inputs[0] if linears else None
        if operand is not None and all(_alike(linear, linears[0]) for linear in linears):
            features = node.outputs[0].shape[-1]
            yield Concatenation(node.id, tuple([part.id for part in linears]), operand, features)


def _parts(graph: NormalGraph, concat: NormalNode) -> list[NormalNode]:
    """The Linears that a Concat puts behind one another along their features; none where it does
    not."""
    edges = [edge for edge in concat.inputs if edge is not None and _whole(edge, graph)]
    linears = [
        graph.nodes[edge.source] for edge in edges if graph.nodes[edge.source].op == "Linear"
    ]
    last = len(concat.outputs[0].shape) - 1
    if len(linears) < 2 or len(linears) < len(concat.inputs) or concat.attrs["axis"] != last:
        return []
    return linears if len({linear.id for linear in linears}) == len(linears) else []


def _alike(linear: NormalNode, like: NormalNode) -> bool:
    """Whether two Linears read the same operand, carry the same marks, and may become one."""
    mine, theirs = linear.inputs[0], like.inputs[0]
    if linear.marks != like.marks or linear.marks & _KEPT or mine is None or theirs is None:
        return False
    return _same(mine, theirs) and _plain(linear, like)


def _whole(edge: Edge, graph: NormalGraph) -> bool:
    """Whether an operand is a result as it is."""
    outputs = graph.nodes[edge.source].outputs
    return (
        edge.view is not None
        and edge.view.identity
        and unscaled(edge)
        and edge.view.shape == outputs[edge.output].shape
    )


def _same(one: Edge, other: Edge) -> bool:
    """Whether two operands read the same elements, in one shape, scaled alike."""
    if one[:2] + one[3:5] != other[:2] + other[3:5] or one.view is None or other.view is None:
        return False
    return one.view.shape == other.view.shape and one.view.same(other.view)


def _plain(linear: NormalNode, like: NormalNode) -> bool:
    """Whether the weights are matrices and the biases vectors as they are, biases for all or for
    none."""
    own = linear.inputs[1:]
    if [edge is None for edge in own] != [edge is None for edge in like.inputs[1:]]:
        return False
    return all(
        edge is None or (edge.view is not None and len(edge.view.shape) == rank and unscaled(edge))
        for edge, rank in zip(own, (2, 1), strict=False)
    )


def joined(graph: NormalGraph, chosen: Iterable[Concatenation]) -> NormalGraph:
    """The graph with one Linear in place of each concatenation; its weights are Concats of theirs.

    Whoever else reads one of the Linears reads its features of the whole.
    """
    nodes: dict[int, NormalNode] = {node.id: node for node in graph.nodes}
    moved: dict[int, Edge] = {}
    count = 0
    for concatenation in chosen:
        # otherwise one of its Linears went into another concatenation
        if {concatenation.node, *concatenation.linears} <= nodes.keys():
            _join(nodes, moved, concatenation)
            count += 1
    return _numbered(graph, nodes, moved, count)


def _join(
    nodes: dict[int, NormalNode], moved: dict[int, Edge], concatenation: Concatenation
) -> None:
    """Puts one Linear in place of a concatenation and its Linears; `moved` tells how to read
    these."""
    concat = nodes.pop(concatenation.node)
    parts = [nodes.pop(at) for at in concatenation.linears]
    linears = [parts[at] for at in concatenation.order] if concatenation.order else parts
    operands = [
        _concatenated(nodes, position, linears) for position in range(1, len(linears[0].inputs))
    ]
    whole = View.of(concat.outputs[0].shape)
    last, start = len(whole.shape) - 1, 0
    place: dict[int, range] = {}
    for linear in linears:
        place[linear.id] = range(start, start + linear.outputs[0].shape[-1])
        start = place[linear.id].stop
        moved[linear.id] = Edge(concat.id, 0, whole.take(last, place[linear.id]))
    locations = concat.locations
    if linears != parts:
        # The Concat reads the whole in its own order; the whole stands where the Concat's result
        # does, in another.
        read = [feature for part in parts for feature in place[part.id]]
        moved[concat.id] = Edge(concat.id, 0, whole.take(last, read))
        back = sorted(range(len(read)), key=read.__getitem__)
        locations = tuple(
            None if at is None else at._replace(view=at.view.take(last, back)) for at in locations
        )
    nodes[concat.id] = replace(
        concat,
        op="Linear",
        attrs={},
        inputs=(concatenation.operand._replace(through=()), *operands),
        locations=locations,
        native=_native(linears, concat),
        marks=linears[0].marks | concat.marks,
    )


def _native(linears: Sequence[NormalNode], concat: NormalNode) -> tuple[int, ...]:
    """The native operations of Linears and their Concat, in order, those on the edges into them
    too."""
    stands = [
        *_through(linears),
        *(by for linear in linears for by in linear.native),
        *_through([concat]),
        *concat.native,
    ]
    return tuple(dict.fromkeys(stands))


def _through(nodes: Iterable[NormalNode]) -> list[int]:
    """The native operations on the edges into nodes."""
    edges = [edge for node in nodes for edge in node.inputs if edge is not None]
    return [by for edge in edges for by in edge.through]


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
    """The nodes in order again, each behind what it reads, edges to what is gone through what
    stands for it."""

    def seen(edge: Edge) -> Edge | None:
        return read_through(moved[edge.source], edge) if edge.source in moved else edge

    inputs = {
        at: [None if edge is None else seen(edge) for edge in node.inputs]
        for at, node in nodes.items()
    }
    place = _order([at for at in nodes if at < len(graph.nodes)], inputs)

    def placed(edge: Edge | None) -> Edge | None:
        return None if edge is None else edge._replace(source=place[edge.source])

    made = tuple(
        replace(nodes[at], id=number, inputs=tuple(map(placed, inputs[at])))
        for at, number in place.items()
    )
    outputs, updates = (
        {name: end for name, edge in held.items() if (end := placed(seen(edge))) is not None}
        for held in (graph.outputs, graph.updates)
    )
    rewrites = graph.rewrites + Counter(joined_linears=count)
    return replace(graph, nodes=made, outputs=outputs, updates=updates, rewrites=rewrites)


def _order(roots: Iterable[int], inputs: Mapping[int, Sequence[Edge | None]]) -> dict[int, int]:
    """By node its number: the roots ascending, each behind what it reads."""
    place: dict[int, int] = {}
    for root in sorted(roots):
        stack = [root]
        while stack:
            edges = [edge for edge in inputs[stack[-1]] if edge is not None]
            before = [edge.source for edge in edges if edge.source not in place]
            stack.extend(before)
            if not before:
                place.setdefault(stack.pop(), len(place))
    return place
