"""Which operations depend on weights alone, whatever the inputs are."""

from __future__ import annotations

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.traits import STATIC_LEAVES

__all__ = ["weights_only"]


def weights_only(graph: NormalGraph) -> list[bool]:
    """For each node whether it is a parameter, a constant, or computed from these alone."""
    fixed: list[bool] = []
    for node in graph.nodes:
        made = bool(node.inputs) and all(fixed[edge.source] for edge in node.inputs if edge)
        fixed.append(made or node.op in STATIC_LEAVES)
    return fixed
