"""The normal form of a captured graph."""

from __future__ import annotations

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.normal.builder import Builder, commutes
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.rewrites import REWRITES
from padiff_graph.capture.normal.translate import translate

__all__ = ["normalize"]


def normalize(graph: ComputationGraph) -> NormalGraph:
    """Brings a captured graph into the normal form of `capture/normal/form.py`.

    Works for any framework with a table `capture/<framework>/operators.py`; an operator without a row
    stays opaque. Linear in the number of operations.
    """
    builder = translate(graph)
    for rewrite in REWRITES:
        rewrite(builder)
    return freeze(builder)


def freeze(builder: Builder) -> NormalGraph:
    """The finished graph: live drafts only, numbered in topological order."""
    order = builder.order()
    place = {draft.id: at for at, draft in enumerate(order)}

    def placed(edge: Edge | None) -> Edge | None:
        return None if edge is None else Edge(place[edge.source], edge.output, edge.view, edge.scale, edge.shift, edge.through)

    nodes = tuple(
        NormalNode(
            id=at,
            op=draft.op,
            inputs=tuple(placed(edge) for edge in draft.inputs),
            attrs=draft.attrs,
            outputs=draft.outputs,
            locations=tuple(draft.locations),
            native=draft.native,
            name=draft.name,
            path=draft.path,
            source=draft.source,
            commutative=commutes(draft.op),
            opaque=draft.opaque,
            marks=draft.marks,
            constant=draft.constant,
        )
        for at, draft in enumerate(order)
    )
    outputs = {name: edge for name, found in builder.outputs.items() if (edge := placed(found)) is not None}
    updates = {name: edge for name, found in builder.updates.items() if (edge := placed(found)) is not None}
    graph = builder.graph
    alias = {other: info.name for info in graph.parameters.values() for other in info.aliases}
    read = {node.name for node in nodes if node.name}
    for node in nodes:
        if node.op == "Constant":
            for native in node.native:
                record = graph.record(native)
                read.add(alias.get(record.name, record.name))
    unread = tuple(name for name in graph.parameters if name not in read)
    return NormalGraph(graph, nodes, outputs, updates, builder.rewrites, unread)
