"""`record`: what a model computes on an example, written to a file that numpy and json open."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.eager_run import eager_run
from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.example_tensors import with_tensors
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Interpreter, model_values
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.capture.remote.wire import encode
from padiff_graph.errors import UsageError
from padiff_graph.executor.shared_draws import Draws, coins
from padiff_graph.export.recording_file import RecordingWriter, new_recording

__all__ = ["PRECISIONS", "expected_size", "record"]

PRECISIONS = ("float32", "float64")
FACTS = ("training", "modules", "parameters", "notes", "updates")
"""Attributes of a graph that the manifest holds beside its nodes."""


@one_at_a_time
def record(
    model: Any,
    inputs: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    precisions: Sequence[str] = PRECISIONS,
    expect: Callable[[int], None] | None = None,
) -> ComputationGraph:
    """Writes what a model computes on an example: its graph with the certificate, weights, inputs,
    every value on the way, outputs, buffers, and gradients under seeded cotangents.

    Args:
        model: of any framework. As before afterwards.
        inputs: keyword arguments of its forward.
        path: the file, ".pgref" by custom; there when it is whole.
        precisions: in which of `PRECISIONS` the values on the way are written; () for none.
        expect: told about how many bytes the file will take, before it is written.

    Returns:
        The captured graph.

    Raises:
        UsageError: for another precision.
        CaptureError: the model cannot be captured.
        NotWrittenError: the file cannot be written.
    """
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown:
        raise UsageError(f"precisions: expected some of {PRECISIONS}; found {unknown[0]!r}")
    inputs = with_tensors(framework_of(model), inputs)
    with backend(framework_of(model)).state.kept(model):
        graph = capture_graph(model, inputs)
        engine = backend(graph.framework).engine(model)
        if expect is not None:
            expect(expected_size(graph, precisions))
        with new_recording(path) as writer:
            _write(writer, graph, engine, inputs, precisions)
    return graph


def expected_size(graph: ComputationGraph, precisions: Sequence[str] = PRECISIONS) -> int:
    """About how many bytes a recording takes: values on the way, and weights twice over with their
    gradients."""
    operations = graph.of_kind("operation")
    sizes = [kind.size for node in operations for kind in node.outputs if kind is not None]
    weights = [info.type.size for info in graph.parameters.values()]
    width = sum(np.dtype(name).itemsize for name in precisions)
    return sum(sizes) * width + sum(weights) * 2 * np.dtype(np.float32).itemsize


def _write(
    writer: RecordingWriter,
    graph: ComputationGraph,
    engine: Engine,
    inputs: Mapping[str, Any],
    precisions: Sequence[str],
) -> None:
    for name, tensor in engine.parameters().items():
        writer.add("weights", name, engine.array(tensor))
    for number, tensor in engine.inputs(graph).items():
        writer.add("leaves", str(number), engine.array(tensor))
    eager = eager_run(graph, engine, inputs, 0)
    for kind, arrays in (
        ("outputs", eager.outputs),
        ("buffers", eager.buffers),
        ("cotangents", {} if eager.ungraded else eager.seeds),
        ("gradients", eager.gradients),
    ):
        for name, array in arrays.items():
            writer.add(kind, name, array)
    lost: dict[str, list[str]] = {}
    with engine.quiet(values=graph.calls_back):
        for precision in precisions:
            lost[precision] = _values(writer, graph, engine, precision)
    writer.finish(_facts(graph, eager.ungraded, lost, writer))


def _values(
    writer: RecordingWriter, graph: ComputationGraph, engine: Engine, precision: str
) -> list[str]:
    """Every operation's value in one precision; what could not be run, in sentences."""
    run = _Recording(
        graph,
        engine,
        model_values(engine),
        engine.inputs(graph),
        double=precision == "float64",
    )
    normal = normalize(graph)
    run.draws = Draws(graph, graph, {}, ({}, coins(normal)))
    run.writer, run.kind, run.lost = writer, f"values.{precision}", []
    run.run(graph.records())
    return run.lost


class _Recording(Interpreter):
    """Writes each value as soon as it is there, and lets it go after its last reader."""

    writer: RecordingWriter
    kind: str
    draws: Draws
    lost: list[str]

    def produced(self, value: Value, tensor: Any) -> None:
        if self.graph.record(value.node).kind == "operation":
            array = self.engine.array(tensor)
            self.writer.add(self.kind, f"{value.node}.{value.output}", array)

    def draw(self, node: Node) -> Array | None:
        return self.draws.of_second(node)

    def failed(self, node: Node, error: NotRunnable) -> None:
        if node.kind == "operation":
            self.lost.append(str(error))


def _facts(
    graph: ComputationGraph,
    ungraded: str,
    lost: Mapping[str, Collection[str]],
    writer: RecordingWriter,
) -> dict[str, Any]:
    """What the manifest holds beside the arrays."""
    arrays: list[np.ndarray[Any, Any]] = []

    def nothing(value: Any) -> None:
        return None

    nodes = [encode(node, arrays, nothing) for node in graph.records()]
    facts = encode({name: getattr(graph, name) for name in FACTS}, arrays, nothing)
    for number, array in enumerate(arrays):
        writer.add("constants", str(number), array)
    certificate = None if graph.certificate is None else asdict(graph.certificate)
    return {
        "framework": graph.framework,
        "nodes": nodes,
        "facts": facts,
        "certificate": encode(certificate, [], nothing),
        "ungraded": ungraded,
        "not_run": {name: list(reasons) for name, reasons in lost.items()},
    }
