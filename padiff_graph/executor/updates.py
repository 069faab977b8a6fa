"""Buffers that a run changes: which native values hold what they become, on both sides."""

from __future__ import annotations

from collections.abc import Iterator

from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.executor.regions import Update
from padiff_graph.matching.result import Matching

__all__ = ["buffer_updates"]

STATISTICS = {"mean": 1, "running_mean": 1, "input_mean": 1, "variance": 2, "var": 2, "running_var": 2, "input_var": 2}
"""Operand names of running statistics, and the output of the normalisation that holds their new value."""


def buffer_updates(matching: Matching) -> tuple[Update, ...]:
    """The buffers that both sides change, through the parameter map."""
    first, second = dict(_changed(matching.first)), dict(_changed(matching.second))
    found = []
    for row in matching.parameters:
        if row.first in first and len(row.pieces) == 1 and row.pieces[0].second in second and row.pieces[0].first_view.identity and row.pieces[0].second_view.identity:
            found.append(Update(row.first, row.pieces[0].second, first[row.first], second[row.pieces[0].second]))
    return tuple(found)


def _changed(normal: NormalGraph) -> Iterator[tuple[str, Value]]:
    graph = normal.graph
    for name, edge in normal.updates.items():
        source = normal.nodes[edge.source]
        location = source.locations[edge.output] if edge.output < len(source.locations) else None
        if location is not None and edge.view is not None and edge.view.identity and edge.scale == 1.0 and edge.shift == 0.0:
            yield name, location.value
    yield from _statistics(graph)


def _statistics(graph: ComputationGraph) -> Iterator[tuple[str, Value]]:
    """Running statistics that a normalisation in training mode yields as further results."""
    for record in graph.of_kind("operation"):
        if "norm" not in record.op or len(record.outputs) < 3:
            continue
        for operand, role in zip(record.inputs, record.roles, strict=False):
            position = STATISTICS.get(role)
            if operand is None or position is None:
                continue
            leaf, kind = graph.record(operand.node), record.outputs[position]
            if leaf.kind in ("parameter", "buffer") and kind is not None and leaf.outputs[0] is not None and kind.shape == leaf.outputs[0].shape and graph.training:
                yield leaf.name, Value(record.id, position)
