"""Constant masks that are added in front of a softmax: whether one hides what the other shows."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.matching.difference.compared import Compared

__all__ = ["MASKING", "hides_the_opposite"]

MASKING = 1e4
"""Shifts beyond this mask elements out of a softmax: exp(-1e4) is zero in every dtype; which number
does it makes no difference."""
LOWEST = 1e30
"""What infinities are cut to, so that two of them can be subtracted."""


def hides_the_opposite(compared: Compared, a: NormalNode, b: NormalNode, start: int) -> bool:
    """Whether the constant masks that both sides add from operand `start` on hide just what the
    other shows.

    What is far below the largest number is hidden: a softmax does not feel a constant on all of it.
    Of a mask of truth values nothing tells which of the two is hidden.
    """
    first, second = _hidden(compared.first, a, start), _hidden(compared.second, b, start)
    if first is None or second is None or first.size != second.size:
        return False
    return bool(first.any()) and not first.all() and bool(np.array_equal(first, ~second))


def _hidden(graph: NormalGraph, node: NormalNode, start: int) -> Array | None:
    """Which elements the only constant mask hides; None where there is no such mask."""
    edges = [edge for edge in node.inputs[start:] if edge is not None]
    if len(edges) != 1:
        return None
    constant = graph.nodes[edges[0].source].constant
    if constant is None or constant.dtype.kind not in "fb":
        return None
    if constant.dtype.kind == "b" and abs(edges[0].scale) < MASKING:
        return None
    added = np.asarray(constant, np.float64) * edges[0].scale
    value = np.clip(added, -LOWEST, LOWEST).reshape(-1)
    hidden: Array = value <= value.max(initial=0.0) - MASKING
    return hidden
