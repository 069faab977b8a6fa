"""NaN and infinity: the first value on either side that holds one, in the order of the program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.replay import visit_values
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import differentiable

__all__ = ["no_numbers_notes", "not_finite_notes"]

KINDS = {"NaN": np.isnan, "infinity": np.isinf}
"""What is looked for, and how it is told."""


def not_finite_notes(alignment: Alignment) -> Iterator[str]:
    """One sentence for each kind and side: where it comes up first, or that it nowhere does.

    Args:
        alignment: both captures with live engines; each is run forward once, with its own weights.
    """
    graphs = alignment.matching.first.graph, alignment.matching.second.graph
    for number, (graph, engine) in enumerate(zip(graphs, alignment.engines, strict=True)):
        side = graph.framework
        if graphs[0].framework == graphs[1].framework:
            side = ("the first model", "the second model")[number]
        first, lost = _first_places(graph, engine)
        for kind in KINDS:
            place = first.get(kind)
            if place is not None:
                yield f"{side}: the first {kind} comes {_said(graph.record(place.node))}"
            elif not lost:
                yield f"{side}: no {kind} in any value of the forward pass"
        if lost:
            yield f"{side}: not every value could be looked at for NaN: {lost[0]}"


def no_numbers_notes(
    pairs: Sequence[tuple[str, str]], outputs: tuple[Mapping[str, Array], Mapping[str, Array]]
) -> Iterator[str]:
    """One sentence for each output that is NaN on both sides: a pass says nothing of such places.

    Args:
        pairs: names of outputs that correspond.
        outputs: of both runs, by name.
    """
    for first, second in pairs:
        both = outputs[0].get(first), outputs[1].get(second)
        if both[0] is None or both[1] is None or both[0].shape != both[1].shape:
            continue
        if any(array.dtype.kind not in "fc" for array in both if array is not None):
            continue
        count = int((np.isnan(both[0]) & np.isnan(both[1])).sum())
        if count:
            told = first if first.startswith("output") else f"output {first}"
            yield (
                f"{told} is NaN in both models in {count} of {both[0].size} places, where nothing "
                "can be compared; check_nan (--check-nan) names the first operation that yields one"
            )


def _first_places(graph: ComputationGraph, engine: Engine) -> tuple[dict[str, Value], list[str]]:
    """By kind the first value that holds one; and what could not be run."""
    first: dict[str, Value] = {}

    def look(value: Value, array: Array) -> None:
        for kind, told in KINDS.items():
            if kind not in first and bool(told(array).any()):
                first[kind] = value

    wanted = {
        Value(node.id, output)
        for node in graph.records()
        for output in range(len(node.outputs))
        if differentiable(node.dtype(output))
    }
    return first, visit_values(graph, engine, {}, wanted, look)


def _said(node: Node) -> str:
    if node.kind != "operation":
        return f"in with the {node.kind} {node.name}"
    place = node.path or "the root"
    source = f" ({node.source})" if node.source else ""
    return f"out of {node.op} in {place}{source}"
