"""Whether what a recording says of itself fits together: whoever writes the format, or changes a
file, is told at once and not by a check that stops in the middle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from padiff_graph.capture.backend import BACKENDS
from padiff_graph.capture.graph import ComputationGraph, TensorType
from padiff_graph.sides.recording_file import Recording

__all__ = ["misfit"]

WHOLE = frozenset(
    {
        "structure",
        "containers",
        "left",
        "differentiable",
        "hooked",
        "again",
        "second_call",
        "ungraded",
    }
)
REGION = frozenset({"nodes", "values", "cut", "seeded", "ungraded", "parameters"})


def misfit(recording: Recording, graph: ComputationGraph, facts: Mapping[str, Any]) -> str:
    """What does not fit, in words; "" where all does.

    Args:
        recording: the file.
        graph: of its nodes.
        facts: what the manifest says of runs and regions.
    """
    return next(_misfits(recording, graph, facts), "")


def _misfits(
    recording: Recording, graph: ComputationGraph, facts: Mapping[str, Any]
) -> Iterator[str]:
    if graph.framework not in BACKENDS:
        yield f"there is no framework {graph.framework!r}"
    if not graph.of_kind("operation"):
        yield "it holds no operation"
    whole, regions = facts["whole"], facts["regions"]
    if not isinstance(whole, dict) or whole.keys() < WHOLE:
        yield "its manifest does not say what the whole run did"
    if not isinstance(regions, list) or not all(
        isinstance(region, dict) and region.keys() >= REGION for region in regions
    ):
        yield "its manifest does not say what the regions are"
    for kind, nodes, needed in _expected(graph):
        for name in needed:
            if not recording.holds(kind, name):
                yield f"it holds no {kind} of {name}"
        for name in recording.names(kind):
            known = nodes.get(name)
            found = recording.shape(kind, name)
            if known is not None and tuple(known.shape) != found:
                yield (
                    f"{kind} of {name} have the shape {list(found)}, where the graph has "
                    f"{list(known.shape)}"
                )


def _expected(
    graph: ComputationGraph,
) -> Iterator[tuple[str, Mapping[str, TensorType | None], list[str]]]:
    """Kinds of arrays: the type of each that the graph knows, and those that there have to be."""
    weights = {name: info.type for name, info in graph.parameters.items()}
    yield "weights", weights, list(weights)
    inputs = [str(node.id) for node in graph.of_kind("input")]
    yield "leaves", {str(node.id): node.type() for node in graph.records()}, inputs
    outputs = {node.name: node.type() for node in graph.of_kind("output")}
    yield "outputs", outputs, list(outputs)
