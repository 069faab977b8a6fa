"""The form of a recording's manifest: what its parts are, and that what they name is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from padiff_graph.capture.certificate import Certificate
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.data_shapes import misfit
from padiff_graph.sides.recorded_training import TrainingFacts, settings_misfit
from padiff_graph.sides.recording_file import Recording
from padiff_graph.sides.weight_hashes import HashedWeight

__all__ = ["PARTS", "part_misfit", "shape_misfit", "unknown_array", "unknown_value"]

Place = tuple[str, str]
Leaves = dict[str, Any]


class GraphFacts(TypedDict):
    """Attributes of the graph beside its nodes."""

    training: bool
    modules: dict[str, str]
    parameters: dict[str, ParameterInfo]
    notes: list[str]
    updates: dict[str, Value]


class Left(TypedDict):
    """What a run leaves behind."""

    attributes: list[tuple[Place, Leaves]]
    before: list[tuple[Place, Leaves | None]]
    others: list[tuple[Place, bool, Any]]
    written: list[str]


class Forward(TypedDict):
    """One run forward."""

    structure: Any
    containers: dict[str, dict[str, Any] | None]
    left: Left
    differentiable: list[str]
    hooked: list[str]


class SecondCall(TypedDict):
    """Two calls in a row."""

    learned: list[str]
    growth: float
    unasked: str


class LossFacts(TypedDict):
    """The user's loss."""

    name: str
    ungraded: str


class Whole(Forward):
    """The run as its user runs it."""

    loss: LossFacts | None
    again: Forward | None
    second_call: SecondCall
    ungraded: str


class RunRegion(TypedDict):
    """One region as it was run."""

    nodes: tuple[int, ...]
    values: tuple[Value, ...]
    cut: tuple[Value, ...]
    seeded: tuple[Value, ...]
    ungraded: dict[str, str]
    parameters: dict[str, list[str]]


class RecordedRegion(RunRegion, total=False):
    """One region, and whether the sweep reached it, by precision."""

    swept: dict[str, bool]


GraphRun = TypedDict(
    "GraphRun",
    {"double": bool, "weights": str, "fed": str, "cotangents": str, "from": int | None},
)
"""One run of the whole graph."""

PARTS: Mapping[str, Any] = {
    "nodes": list[Node],
    "facts": GraphFacts,
    "certificate": Certificate | None,
    "inputs": dict[str, Any],
    "whole": Whole,
    "regions": list[RecordedRegion],
    "seeded": list[Value],
    "graphs": list[GraphRun],
    "not_run": dict[str, list[str]],
    "training": TrainingFacts | None,
    "hashed": dict[str, HashedWeight],
}
"""Every part of the manifest by its form, once it is decoded."""

OF_WEIGHTS = ("weights", "lively", "buffers", "buffers.again", "buffers.backward")
"""Kinds of arrays whose names are those of parameters and buffers."""
OF_STEPS = ("training.", "trial.", "remembered.")
"""How those begin whose names are the number of a step and that of a parameter or buffer."""


def part_misfit(parts: Mapping[str, Any]) -> str:
    """Where the parts of a manifest are of another form; "" where they are not."""
    wrong = next(filter(None, (misfit(parts[name], PARTS[name], name) for name in PARTS)), "")
    return wrong or ("" if parts["training"] is None else settings_misfit(parts["training"]))


def unknown_value(graph: ComputationGraph, parts: Mapping[str, Any]) -> str:
    """A value or node that a part names and the graph does not have, in words; "" where all are
    there."""
    if not graph.of_kind("operation"):
        return "it holds no operation"
    for where, value in _values(graph, parts):
        if value.node not in graph:
            return f"{where} names node {value.node}, which is not there"
        outputs = max(len(graph.record(value.node).outputs), 1)
        if not 0 <= value.output < outputs:
            return f"{where} names output {value.output} of node {value.node}, which has {outputs}"
    return ""


def unknown_array(
    graph: ComputationGraph, arrays: Mapping[str, Mapping[str, str]], hashed: Collection[str]
) -> str:
    """An array of a weight that the graph does not have, or a weight, input or output without one,
    in words; "" where all are there. A weight may have its hash instead."""
    for node in (*graph.of_kind("parameter"), *graph.of_kind("buffer")):
        if node.name not in graph.parameters:
            return f"node {node.id} is the weight {node.name}, and there is no such weight"
    inputs = {str(node.id) for node in graph.of_kind("input")}
    outputs = {node.name for node in graph.of_kind("output")}
    odd = {*hashed} - graph.parameters.keys()
    if odd:
        return f"there is a hash of {min(odd)}, and no such weight"
    weights = {*graph.parameters} - {*hashed}
    needed = ("weights", weights), ("leaves", inputs), ("outputs", outputs)
    for kind, names in needed:
        lost = names - arrays.get(kind, {}).keys()
        if lost:
            return f"it holds no {kind} of {min(lost)}"
    for kind, names in _of_weights(arrays):
        unknown = names - graph.parameters.keys()
        if unknown:
            return f"there is an array {min(unknown)} of {kind}, and no such weight"
    return ""


def _of_weights(arrays: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, set[str]]]:
    """Kinds of arrays that are of weights, and of which."""
    for kind, held in arrays.items():
        if kind in OF_WEIGHTS:
            yield kind, {*held}
        if kind.startswith(OF_STEPS):
            yield kind, {name.partition(".")[2] for name in held}


def shape_misfit(
    graph: ComputationGraph, recording: Recording, hashed: Mapping[str, HashedWeight]
) -> str:
    """An array of another shape than what it is recorded of, in words; "" where there is none."""
    types = _Types.of(graph)
    for node in graph.records():
        kept = types.weights.get(node.name) if node.kind in ("parameter", "buffer") else None
        own = node.type()
        if kept is not None and own is not None and own.shape != kept.shape:
            return f"node {node.id} is {list(own.shape)}, its weight {list(kept.shape)}"
    for name, told in hashed.items():
        kept = types.weights[name]
        if tuple(told["shape"]) != tuple(kept.shape) or not _numeric(told["dtype"]):
            return f"the hash of {name} is of {told['dtype']} {list(told['shape'])}"
    for kind, names in recording.manifest["arrays"].items():
        for name in names:
            wanted = types.recorded(kind.partition(".")[0], name)
            if wanted is None:
                continue
            shape = recording.shape(kind, name)
            if not _fits(shape, tuple(wanted.shape)):
                return f"{kind} {name} is {list(shape)}, its graph says {list(wanted.shape)}"
    return ""


def _numeric(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "fc"
    except TypeError:
        return False


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a shape is the wanted one, of which an extent below zero is not known: Paddle's
    graphs say so of what an operation keeps for its backward."""
    return len(shape) == len(wanted) and all(
        known < 0 or extent == known for extent, known in zip(shape, wanted, strict=True)
    )


@dataclass(frozen=True)
class _Types:
    """The types of a graph's parts, by the names that arrays have."""

    weights: Mapping[str, TensorType]
    inputs: Mapping[str, TensorType | None]
    outputs: Mapping[str, TensorType | None]
    nodes: Mapping[str, TensorType | None]
    values: Mapping[str, TensorType | None]

    @classmethod
    def of(cls, graph: ComputationGraph) -> _Types:
        records = graph.records()
        return cls(
            {name: info.type for name, info in graph.parameters.items()},
            {node.name: node.type() for node in records if node.kind == "input"},
            {node.name: node.type() for node in records if node.kind == "output"},
            {str(node.id): node.type() for node in records},
            {
                f"{node.id}.{output}": kind
                for node in records
                for output, kind in enumerate(node.outputs)
            },
        )

    def recorded(self, kind: str, name: str) -> TensorType | None:
        """The type of what an array is recorded of; None where the graph does not say it."""
        if kind in ("weights", "lively", "buffers"):
            return self.weights.get(name)
        if kind == "loss":
            return self.outputs.get(name.removeprefix("output:"))
        if kind in ("gradients", "hooked"):
            what, _, own = name.partition(":")
            return (self.weights if what == "parameter" else self.inputs).get(own)
        if kind in ("regions", "sweep"):
            _, what, own = (*name.split(".", 2), "", "")[:3]
            return (self.weights if what == "parameter" else self.values).get(own)
        if kind == "outputs":
            return self.outputs.get(name)
        if kind in ("training", "trial", "remembered"):
            return self.weights.get(name.partition(".")[2])
        if kind in ("leaves", "values"):
            return (self.nodes if kind == "leaves" else self.values).get(name)
        return None


def _values(graph: ComputationGraph, parts: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Every value that anything names; a node stands as its first output."""
    for node in graph.records():
        yield from _told(f"node {node.id}", [value for value in node.inputs if value is not None])
    yield from _told("updates", graph.updates.values())
    yield from _told("seeded", parts["seeded"])
    for number, region in enumerate(parts["regions"]):
        nodes = [Value(node) for node in region["nodes"]]
        for values in (nodes, region["values"], region["cut"], region["seeded"]):
            yield from _told(f"region {number}", values)


def _told(where: str, values: Iterable[Value]) -> Iterator[tuple[str, Value]]:
    return ((where, value) for value in values)
