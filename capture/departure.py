"""Where an unfaithful capture departs from eager: the module or operation to look at.

Used only after a certificate was refused, so it may run the model once more and keep everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph, Node, Value

__all__ = ["backward_departure", "forward_departure"]

Calls = Mapping[tuple[str, int], Sequence[Array]]
"""What each call of each module returned in eager, by (path, call)."""


def forward_departure(
    graph: ComputationGraph, known: Mapping[Value, Any], array: Any, observed: Calls
) -> Node | None:
    """The last operation of the first module call whose eager result the replay nowhere has.

    Args:
        graph: the capture.
        known: the replayed values.
        array: makes one of them a numpy array.
        observed: what eager returned.
    """
    own: dict[tuple[str, int], list[Node]] = {}
    for node in graph.of_kind("operation"):
        own.setdefault((node.path, node.call), []).append(node)
    for key, nodes in sorted(own.items(), key=lambda entry: entry[1][-1].id):
        results = [np.asarray(result) for result in observed.get(key, ())]
        if not results:
            continue
        replayed = [
            array(known[Value(node.id, number)])
            for node in nodes
            for number in range(len(node.outputs))
            if known.get(Value(node.id, number)) is not None
        ]
        if not any(_equal(result, value) for result in results for value in replayed):
            return nodes[-1]
    return None


def backward_departure(graph: ComputationGraph, wrong: Collection[str]) -> Node | None:
    """The last operation that reads a leaf with a wrong gradient: what got lost stands behind it.

    Args:
        graph: the capture.
        wrong: names of inputs and parameters whose gradient differs.
    """
    leaves = {
        node.id
        for node in graph.records()
        if node.kind in ("input", "parameter") and node.name in wrong
    }
    readers = [
        node
        for node in graph.of_kind("operation")
        if any(value is not None and value.node in leaves for value in node.inputs)
    ]
    return readers[-1] if readers else None


def _equal(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return False
    return bool(
        np.allclose(
            one,
            other,
            rtol=1e-4,
            atol=1e-5 * float(np.abs(one).max(initial=0.0)) + 1e-12,
            equal_nan=True,
        )
    )
