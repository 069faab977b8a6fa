"""Weights that differ by a number for each row of inputs, which whatever reads the result forgets:
a head centred over its classes, before a softmax.

It is proved from the graph and not from an example: the difference of the weights adds one number
to all elements along the last axis, and every reader of the sum computes f(x + c) = f(x) along that
axis. So outputs and gradients are the same for every input.
"""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import traits

__all__ = ["forgotten_by"]

GRAIN = 1e-6
"""Share of the largest weight by which a shift may differ along the axis: it is computed in
float32, whose unit is 1.2e-7, and subtracted from weights in it."""
OPERANDS = {1: "weight", 2: "bias"}
"""Positions of a Linear where its parameters stand: X @ W + bias, with W as [in, out]."""


def forgotten_by(graph: NormalGraph, name: str, own: Array, wanted: Array) -> str | None:
    """The operation that forgets the difference of two values of a parameter; None where any
    reader does not.

    Args:
        graph: the model that holds it.
        name: of the parameter.
        own, wanted: what it holds and what it would hold by the map.
    """
    parameters = {node.id for node in graph.nodes if node.op == "Parameter" and node.name == name}
    handed = (*graph.outputs.values(), *graph.updates.values())
    if own.shape != wanted.shape or any(edge.source in parameters for edge in handed):
        return None
    gap = np.asarray(own, np.float64) - np.asarray(wanted, np.float64)
    grain = GRAIN * float(np.abs(np.asarray(wanted, np.float64)).max(initial=0.0))
    forgetting: list[str] = []
    for reader in graph.nodes:
        for position, edge in enumerate(reader.inputs):
            if edge is None or edge.source not in parameters:
                continue
            if not _shifts_rows(reader, position, edge, gap, grain):
                return None
            op = _forgets(graph, reader)
            if op is None:
                return None
            forgetting.append(op)
    return forgetting[0] if forgetting else None


def _shifts_rows(reader: NormalNode, position: int, edge: Edge, gap: Array, grain: float) -> bool:
    """Whether a difference of a parameter moves all elements of each row of a result by one
    number."""
    if reader.op != "Linear" or position not in OPERANDS or edge.view is None:
        return False
    along = edge.view.apply(gap)
    return along.ndim > 0 and float(np.ptp(along, axis=-1).max(initial=0.0)) <= grain


def _forgets(graph: NormalGraph, node: NormalNode) -> str | None:
    """The operation that forgets what is added to each row of a result, where all readers do."""
    handed = (*graph.outputs.values(), *graph.updates.values())
    if any(edge.source == node.id for edge in handed):
        return None
    readers = [
        (reader, position, edge)
        for reader in graph.nodes
        for position, edge in enumerate(reader.inputs)
        if edge is not None and edge.source == node.id
    ]
    length = node.outputs[0].shape[-1] if node.outputs and node.outputs[0].shape else 0
    for reader, position, edge in readers:
        view = edge.view
        kept = view is not None and view.identity and view.shape[-1:] == (length,)
        if position != 0 or not kept or not traits(reader.op).shift_free:
            return None
    return readers[0][0].op if readers else None
