"""Which input leaf of one model is which of the other: by values, or by name and shape where there
are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph, TensorType
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.relations import axis_orders
from padiff_graph.request.input_pairs import pair_leaves

__all__ = ["InputPairs", "pair_input_types", "pair_inputs"]

InputPairs = tuple[tuple[str, str], ...]


def pair_inputs(
    graphs: tuple[ComputationGraph, ComputationGraph],
    engines: tuple[Engine, Engine],
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> tuple[InputPairs, dict[str, View]]:
    """Which leaves correspond, and the relation of those whose axes stand in another order."""
    first = _arrays(graphs[0], engines[0], examples[0])
    second = _arrays(graphs[1], engines[1], examples[1])
    pairs = pair_leaves(first, second)
    orders: dict[str, View] = {}
    for name, mate in pairs:
        ours, theirs = first[name], second[mate]
        relation = _relation(ours, theirs) if ours.shape != theirs.shape else None
        if relation is not None:
            orders[name] = relation
    return pairs, orders


def _arrays(
    graph: ComputationGraph, engine: Engine, example: Mapping[str, Any]
) -> dict[str, Array]:
    """Every leaf of an example by name; those that the graph does not read too."""
    names = {node.id: node.name for node in graph.of_kind("input")}
    arrays = {
        names[node]: engine.array(tensor)
        for node, tensor in engine.inputs(graph).items()
        if node in names
    }
    if graph.framework in ("torch", "paddle"):
        tools = backend(graph.framework).values
        for name, leaf in leaves(example, tools.is_tensor).items():
            if name not in arrays and tools.materialised(leaf):
                arrays[name] = tools.array(leaf)
    return arrays


def _relation(first: Array, second: Array) -> View | None:
    """How equal numbers are laid out on the two sides."""
    if first.size != second.size:
        return None
    if np.array_equal(first.reshape(-1), second.reshape(-1)):
        return View.of(first.shape).reshape(second.shape)
    for order in axis_orders(first.shape, second.shape):
        if np.array_equal(order.apply(first), second):
            return order
    return None


def pair_input_types(first: ComputationGraph, second: ComputationGraph) -> InputPairs:
    """Leaves by name, then by the same shape and dtype in order, then by the same axes; no
    numbers."""
    ours = {node.name: node.outputs[0] for node in first.of_kind("input")}
    theirs = {node.name: node.outputs[0] for node in second.of_kind("input")}
    pairs = {name: name for name in ours if name in theirs}
    for name, kind in ours.items():
        if name in pairs:
            continue
        left = {mate: type_ for mate, type_ in theirs.items() if mate not in pairs.values()}
        mate = _first(left, (_equal, _same_axes), kind)
        if mate is not None:
            pairs[name] = mate
    return tuple(pairs.items())


def _first(
    left: Mapping[str, TensorType | None],
    tests: Iterable[Callable[[TensorType | None, TensorType | None], bool]],
    kind: TensorType | None,
) -> str | None:
    """The first name that passes the first test that any passes."""
    for test in tests:
        for name, candidate in left.items():
            if test(candidate, kind):
                return name
    return None


def _equal(first: TensorType | None, second: TensorType | None) -> bool:
    return first == second


def _same_axes(first: TensorType | None, second: TensorType | None) -> bool:
    if first is None or second is None:
        return False
    return sorted(first.shape) == sorted(second.shape)
