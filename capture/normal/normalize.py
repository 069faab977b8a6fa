"""The normal form of a captured graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.repeated_blocks import repeated_blocks
from padiff_graph.capture.normal.rewrites import REWRITES
from padiff_graph.capture.normal.stamping import Finished, Uneven, stamped
from padiff_graph.capture.normal.traits import traits
from padiff_graph.capture.normal.translate import translate

__all__ = ["normalize"]

STATE = ("buffer", "parameter")
"""Kinds of captured leaves that belong to the model."""


@without_collection()
def normalize(graph: ComputationGraph) -> NormalGraph:
    """Brings a captured graph into the normal form of `capture/normal/form.py`.

    Works for any framework with a table `capture/<framework>/operators.py`; an operator without a
    row stays opaque. Linear in the number of operations; what a model repeats is worked out once.
    """
    return _finished(graph).graph


def _finished(graph: ComputationGraph) -> Finished:
    """The normal form, by that of a shorter graph where many blocks are equal."""
    blocks = repeated_blocks(graph)
    if blocks is not None:
        try:
            whole = stamped(blocks, _finished(blocks.shortened(graph)))
        except Uneven:
            pass  # some rewrite takes blocks together: the whole graph, then
        else:
            return whole._replace(graph=_of_graph(whole.graph, graph))
    builder = translate(graph)
    for rewrite in REWRITES:
        rewrite(builder)
    return Finished(freeze(builder), builder.rewritten)


def _of_graph(normal: NormalGraph, graph: ComputationGraph) -> NormalGraph:
    """The normal form as that of another graph, with what this one's does not read."""
    ends = (*normal.outputs.values(), *normal.updates.values())
    return replace(normal, graph=graph, unread=_unread(graph, normal.nodes, ends))


def freeze(builder: Builder) -> NormalGraph:
    """The finished graph: live drafts only, numbered in the order of the program."""
    order = builder.program_order()
    origins = _Origins(builder)
    for draft in order:
        if draft.op == "Constant":
            draft.native = origins.own(draft.native)
    for draft in order:
        if not draft.leaf:
            draft.native = origins.with_constants(draft.native)
    place = {draft.id: at for at, draft in enumerate(order)}

    def placed(edge: Edge) -> Edge:
        through = edge.through and origins.with_constants(edge.through)
        source = place[edge.source]
        return Edge(source, edge.output, edge.view, edge.scale, edge.shift, through)

    nodes = tuple(_node(at, draft, placed) for at, draft in enumerate(order))
    outputs = {name: placed(edge) for name, edge in builder.outputs.items()}
    updates = {name: placed(edge) for name, edge in builder.updates.items()}
    unread = _unread(builder.graph, nodes, (*outputs.values(), *updates.values()))
    return NormalGraph(
        builder.graph,
        nodes,
        outputs,
        updates,
        Counter(name for name, _ in builder.rewritten),
        unread,
        builder.factors,
        builder.unasked,
    )


def _node(at: int, draft: Draft, placed: Callable[[Edge], Edge]) -> NormalNode:
    """A draft as a node of the finished graph; `placed` numbers its operands anew."""
    return NormalNode(
        id=at,
        op=draft.op,
        inputs=tuple([None if edge is None else placed(edge) for edge in draft.inputs]),
        attrs=draft.attrs,
        outputs=draft.outputs,
        locations=tuple(draft.locations),
        native=draft.native,
        name=draft.name,
        path=draft.path,
        source=draft.source,
        commutative=traits(draft.op).commutative,
        opaque=draft.opaque,
        marks=draft.marks,
        constant=draft.constant,
    )


class _Origins:
    """Which constants an operation took in: a shape, an axis, a scale, the rows of a gather."""

    def __init__(self, builder: Builder) -> None:
        self.graph = builder.graph
        self.constants = builder.constants
        self.owned: set[int] = set()
        self.takers = {
            record.id
            for record in builder.records
            for value in record.inputs
            if value is not None and value.node in builder.constants
        }

    def _behind(self, native: tuple[int, ...], apart: Collection[int] = ()) -> list[int]:
        """The constants that operations were computed from, those set apart left out."""
        reached = set(native)
        behind: list[int] = []
        stack = list(native)
        while stack:
            for value in self.graph.record(stack.pop()).inputs:
                if value is None or value.node in reached or value.node in apart:
                    continue
                if value.node in self.constants:
                    reached.add(value.node)
                    behind.append(value.node)
                    stack.append(value.node)
        return sorted(behind)

    def own(self, native: tuple[int, ...]) -> tuple[int, ...]:
        """A Constant stands for everything it was computed from."""
        whole = (*self._behind(native), *native)
        self.owned.update(whole)
        return whole

    def with_constants(self, native: tuple[int, ...]) -> tuple[int, ...]:
        """An operation stands for the constants it took in that are no node of their own."""
        if self.takers.isdisjoint(native):
            return native
        return (*self._behind(native, self.owned), *native)


def _unread(
    graph: ComputationGraph, nodes: tuple[NormalNode, ...], ends: tuple[Edge, ...]
) -> tuple[str, ...]:
    """Names of parameters and buffers that nothing live stands for."""
    alias = {other: info.name for info in graph.parameters.values() for other in info.aliases}
    edges = [edge for node in nodes for edge in node.inputs if edge is not None]
    live = {native for node in nodes for native in node.native}
    live.update(native for edge in (*edges, *ends) for native in edge.through)
    leaves = [record for record in map(graph.record, live) if record.kind in STATE]
    read = {node.name for node in nodes} | {alias.get(leaf.name, leaf.name) for leaf in leaves}
    return tuple(name for name in graph.parameters if name not in read)
