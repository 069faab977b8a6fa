"""Parameters of the first model that no matched operation reads: why, and whether it matters."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.parameters.parameter_readers import ParameterReaders
from padiff_graph.matching.result import ParameterRow

__all__ = ["Values", "folded_constants", "row_without_counterpart"]

Values = Callable[[str], "np.ndarray[Any, Any] | None"]
"""The numbers of a parameter by name, None where there are none."""

NEUTRAL = {
    "scale": (1.0, "a scale of ones"),
    "bias": (0.0, "a shift of zeros"),
}
"""By role: the value under which a parameter changes nothing, and what to call it then."""


def row_without_counterpart(
    name: str,
    readers: ParameterReaders,
    unread: Collection[str],
    folded: Collection[str],
    values: Values | None,
) -> ParameterRow:
    """The row of a parameter for which nothing was read.

    Args:
        name: the parameter's first name.
        readers: of the first model.
        unread: names that the computation does not read.
        folded: buffers whose numbers became constants of the graph.
        values: numbers of the first model's parameters; None without weights.
    """
    if name in folded:
        why = "a constant of the computation, compared there"
        return ParameterRow(name, (), "", 1.0, why, "unread")
    if name in unread:
        return ParameterRow(name, (), "", 1.0, "the computation does not read it", "unread")
    role = _neutral_role(readers, name)
    if role is not None and values is not None:
        neutral, words = NEUTRAL[role]
        array = values(name)
        if array is not None and bool((array == neutral).all()):
            why = f"no counterpart, and {words}, which changes nothing"
            return ParameterRow(name, (), "", 0.9, why, "neutral")
    return ParameterRow(name, (), "", 0.0, "no matched operation reads it", "open")


def _neutral_role(readers: ParameterReaders, name: str) -> str | None:
    """Whether a parameter is only used as a scale (neutral at one) or a bias (neutral at zero)."""
    roles = {
        _role_on(edge, traits(node.op).neutral_role(position))
        for node, position, edge in readers.of(name)
        if node is not None
    }
    return roles.pop() if len(roles) == 1 else None


def _role_on(edge: Edge, role: str) -> str | None:
    """The role of what an edge carries: one that is shifted or multiplied on its way has none."""
    if role not in NEUTRAL or edge.shift != 0.0:
        return None
    return None if role == "scale" and edge.scale != 1.0 else role


def folded_constants(normal: NormalGraph) -> frozenset[str]:
    """Buffers whose numbers went into the graph as constants."""
    kept = {node.name for node in normal.nodes if node.op == "Parameter"}
    kept.update(normal.unread)
    return frozenset(
        record.name
        for record in normal.graph.of_kind("buffer")
        if record.constant is not None and record.name not in kept
    )
