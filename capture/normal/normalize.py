"""The normal form of a captured graph."""

from __future__ import annotations

from collections.abc import Collection

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.rewrites import REWRITES
from padiff_graph.capture.normal.traits import traits
from padiff_graph.capture.normal.translate import translate

__all__ = ["normalize"]


@without_collection()
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
    order = builder.program_order()
    place = {draft.id: at for at, draft in enumerate(order)}
    origins = _Origins(builder)
    for draft in order:
        if draft.op == "Constant":
            draft.native = origins.own(draft.native)
    for draft in order:
        if not draft.leaf:
            draft.native = origins.with_constants(draft.native)

    def placed(edge: Edge | None) -> Edge | None:
        return (
            None
            if edge is None
            else Edge(
                place[edge.source],
                edge.output,
                edge.view,
                edge.scale,
                edge.shift,
                origins.with_constants(edge.through),
            )
        )

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
            commutative=traits(draft.op).commutative,
            opaque=draft.opaque,
            marks=draft.marks,
            constant=draft.constant,
        )
        for at, draft in enumerate(order)
    )
    outputs = {
        name: edge for name, found in builder.outputs.items() if (edge := placed(found)) is not None
    }
    updates = {
        name: edge for name, found in builder.updates.items() if (edge := placed(found)) is not None
    }
    return NormalGraph(
        builder.graph,
        nodes,
        outputs,
        updates,
        builder.rewrites,
        _unread(builder.graph, nodes, (*outputs.values(), *updates.values())),
        builder.factors,
    )


class _Origins:
    """Which constants an operation took in: a shape, an axis, a scale, the rows of a gather."""

    def __init__(self, builder: Builder) -> None:
        self.graph = builder.graph
        self.constants = builder.constants
        self.owned: set[int] = set()
        self.takers = {
            record.id
            for record in builder.graph.records()
            for value in record.inputs
            if value is not None and value.node in builder.constants
        }

    def _behind(self, native: tuple[int, ...], apart: Collection[int] = ()) -> list[int]:
        known = set(native)
        found: list[int] = []
        stack = list(native)
        while stack:
            for value in self.graph.record(stack.pop()).inputs:
                if (
                    value is not None
                    and value.node in self.constants
                    and value.node not in known
                    and value.node not in apart
                ):
                    known.add(value.node)
                    found.append(value.node)
                    stack.append(value.node)
        return sorted(found)

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
    read: set[str] = set()
    seen: set[int] = set()
    for node in nodes:
        read.add(node.name)
        seen.update(node.native)
        for edge in node.inputs:
            if edge is not None:
                seen.update(edge.through)
    for edge in ends:
        seen.update(edge.through)
    for native in seen:
        record = graph.record(native)
        if record.kind in ("buffer", "parameter"):
            read.add(alias.get(record.name, record.name))
    return tuple(name for name in graph.parameters if name not in read)
