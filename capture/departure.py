"""Where an unfaithful capture departs from eager: the module or operation to look at.

Used only after a certificate was refused, so it may run the model once more and keep everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.certified_replay import replayed_values
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Known

__all__ = ["backward_departure", "forward_departure", "where_it_departs"]

Calls = Mapping[tuple[str, int], Sequence[Array]]
"""What each call of each module returned in eager, by (path, call)."""
DELICATE = {"inplace", "gradient_hook", "custom_function"}
"""Marks of operations that are the likeliest to be captured wrongly."""
SHOWN = 3
"""So many delicate operations are named; chosen so that a message stays readable."""
RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""Tolerances that tell a value from another: relative, and relative to the largest.

Chosen so that whatever a certificate takes for rounding in float32 counts as the same value here.
"""
TINY = 1e-12
"""Absolute tolerance where all is zero; chosen below float32's rounding of values near 1."""


def where_it_departs(
    graph: ComputationGraph,
    engine: Engine,
    example: Mapping[str, Any],
    departed: Mapping[str, Sequence[str]],
) -> list[str]:
    """Where the graph departs from eager, in sentences, and delicate operations to look at.

    Args:
        graph: the capture, with its session.
        engine: the model's engine.
        example: keyword arguments of its forward.
        departed: names of what differs, by kind as in `padiff_graph.capture.eager_run.KINDS`.
    """
    sentences: list[str] = []
    if "output" in departed or "buffer" in departed:
        sentences += _forward_words(_forward(graph, engine, example))
    wrong = {*departed.get("input gradient", ()), *departed.get("parameter gradient", ())}
    if wrong and "output" not in departed:
        sentences += _backward_words(backward_departure(graph, wrong))
    delicate = [node for node in graph.of_kind("operation") if node.marks & DELICATE]
    sentences += [f"look at {node.op} ({node.source or node.path})" for node in delicate[:SHOWN]]
    return sentences


def _forward(graph: ComputationGraph, engine: Engine, example: Mapping[str, Any]) -> Node | None:
    with engine.quiet():
        observed = engine.observe(example)
    if not observed:
        return None
    with engine.quiet():
        known = replayed_values(graph, engine)
        return forward_departure(graph, known, engine.array, observed)


def _forward_words(node: Node | None) -> list[str]:
    if node is None:
        return []
    return [f"the forward departs in {_module(node)} ({node.op}, {_line(node)})"]


def _backward_words(node: Node | None) -> list[str]:
    if node is None:
        return []
    return [
        f"gradients differ up to {node.op} in {_module(node)} ({_line(node)}): what the backward "
        "does there or behind it got lost"
    ]


def _module(node: Node) -> str:
    return node.path or "the root module"


def _line(node: Node) -> str:
    return node.source or "line unknown"


def forward_departure(
    graph: ComputationGraph, known: Known, array: Callable[[Any], Array], observed: Calls
) -> Node | None:
    """The last operation of the first module call whose eager result the replay nowhere has.

    Args:
        graph: the capture.
        known: the replayed values.
        array: makes one of them a numpy array.
        observed: what eager returned.
    """
    calls: dict[tuple[str, int], list[Node]] = {}
    for node in graph.of_kind("operation"):
        calls.setdefault((node.path, node.call), []).append(node)
    for call, nodes in sorted(calls.items(), key=lambda entry: entry[1][-1].id):
        results = [np.asarray(result) for result in observed.get(call, ())]
        if results and not _anywhere(results, nodes, known, array):
            return nodes[-1]
    return None


def _anywhere(
    results: Sequence[Array], nodes: Sequence[Node], known: Known, array: Callable[[Any], Array]
) -> bool:
    """Whether one of the nodes yields one of the results."""
    for node in nodes:
        for number in range(len(node.outputs)):
            tensor = known.get(Value(node.id, number))
            if tensor is not None:
                replayed = array(tensor)
                if any(_equal(result, replayed) for result in results):
                    return True
    return False


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


def _equal(first: Array, second: Array) -> bool:
    if first.shape != second.shape or first.dtype.kind != second.dtype.kind:
        return False
    absolute = ABSOLUTE * float(np.abs(first).max(initial=0.0)) + TINY
    return bool(np.allclose(first, second, rtol=RELATIVE, atol=absolute, equal_nan=True))
