"""Further calls that are known without four runs of a large model in a row.

A run may leave nothing behind but running statistics, which no result of a training step reads, and
counters that only count. What the next call computes then hangs on Python alone: whether it takes
the same way. Where a framework traces by shapes in less than it takes to run, the model is traced
again and the program held against the one that is certified; elsewhere it is called again, and has
to return what it returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.api import Capture
from padiff_graph.capture.backend import backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import Array, Engine, same_numbers
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.late_weights import late_model
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.capture.remote.whole import asked_whole
from padiff_graph.obligations.later_calls import AGAIN, called
from padiff_graph.obligations.left_behind import LeftBehind
from padiff_graph.obligations.state_values import apart, rounding_of
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["LARGE", "SideCall", "call_alike"]

LARGE = 300_000
"""Numbers that an operation yields, in the mean, from which on a further trace is less work than a
run: at a third of it a trace of a Paddle model of 70 operations took as long as a run of it."""
STATISTICS = (3, 4)
"""Operands of a BatchNormalization that are its running statistics."""


@dataclass(frozen=True)
class SideCall:
    """One model's first call.

    Attributes:
        normal: its normal form.
        capture: its capture, with the model and the example.
        left: what its run left behind.
        outputs: what it returned, by leaf name.
    """

    normal: NormalGraph
    capture: Capture
    left: LeftBehind
    outputs: Mapping[str, Array]

    @property
    def known(self) -> bool:
        """Whether Python alone decides what the next call computes, and it can be asked here."""
        capture = self.capture
        return (
            not is_recorded(capture.engine)
            and not capture.graph.of_kind("constant")  # one may be kept of the weights
            and _leaves_statistics_alone(self.normal, self.left)
            and _by_shapes_alone(capture.engine, capture.model, capture.graph)
        )

    @property
    def numbers(self) -> float:
        """How many numbers an operation yields, in the mean."""
        records = self.capture.graph.of_kind("operation")
        yielded = sum(kind.size for node in records for kind in node.outputs if kind is not None)
        return yielded / max(len(records), 1)

    def again(self, *, grad: bool) -> bool:
        """Whether further calls do the same."""
        own = self.capture
        return _again(own.engine, own.model, own.graph, own.example, dict(self.outputs), grad)


def call_alike(sides: tuple[SideCall, SideCall], *, grad: bool) -> bool:
    """Whether further calls of two large models are shown to do what the first did; False where
    that is not known, so that they have to be run side by side."""
    if min(side.numbers for side in sides) < LARGE or not all(side.known for side in sides):
        return False
    engines = sides[0].capture.engine, sides[1].capture.engine
    first, second = sides
    return all(at_once(lambda: first.again(grad=grad), lambda: second.again(grad=grad), engines))


@asked_whole
def _by_shapes_alone(engine: Engine, model: Any, graph: ComputationGraph) -> bool:
    """Whether no number was read to capture a model whose weights are in memory."""
    way, session = backend(graph.framework).numberless, graph.session
    return bool(way) and session is not None and session.rung == way and late_model(model) is None


@asked_whole
def _again(
    engine: Engine,
    model: Any,
    graph: ComputationGraph,
    example: Mapping[str, Any],
    outputs: Mapping[str, Array],
    grad: bool,
) -> bool:
    """Whether a model is traced to the same program again, or returns the same outputs."""
    if backend(graph.framework).light_traces:
        return all(_traced_alike(model, example, graph) for _ in range(AGAIN))
    calls = called(engine, example, (), False, AGAIN, grad=grad)
    return not calls.raised and all(_returns(call.outputs, outputs) for call in calls.made)


def _returns(outputs: Mapping[str, Array], before: Mapping[str, Array]) -> bool:
    return outputs.keys() == before.keys() and all(
        array.shape == before[name].shape and apart(array, before[name]) <= rounding_of(array)
        for name, array in outputs.items()
    )


# -- what a run leaves behind


def _leaves_statistics_alone(normal: NormalGraph, left: LeftBehind) -> bool:
    """Whether a run leaves nothing that a later call could read."""
    names = {".".join(filter(None, place)) for place in left.attributes}
    updates = normal.graph.updates.keys()
    others = left.parameters or left.inputs or left.containers or left.in_backward or left.drew
    if others or not names <= updates:
        return False
    statistics = _statistics(normal)
    return all(name in statistics or _counts(normal.graph, name) for name in updates)


def _statistics(normal: NormalGraph) -> set[str]:
    """Buffers that a normalization over the batch writes, and nothing else reads before or
    after."""
    read_after = {
        edge.source
        for edges in (*(node.inputs for node in normal.nodes), normal.outputs.values())
        for edge in edges
        if edge is not None and edge.output > 0
    }
    users = normal.users()
    found: set[str] = set()
    for leaf in normal.nodes:
        update = normal.graph.updates.get(leaf.name) if leaf.op == "Parameter" else None
        if update is None:
            continue
        readers = [(normal.nodes[number], position) for number, position in users[leaf.id]]
        if readers and all(
            reader.op == "BatchNormalization"
            and bool(reader.attrs.get("training"))
            and position in STATISTICS
            and update.node in reader.native
            and reader.id not in read_after
            for reader, position in readers
        ):
            found.add(leaf.name)
    handed_out = {edge.source for edge in normal.outputs.values()}
    return {name for name in found if not handed_out & _leaves(normal, name)}


def _leaves(normal: NormalGraph, name: str) -> set[int]:
    return {node.id for node in normal.nodes if node.op == "Parameter" and node.name == name}


def _counts(graph: ComputationGraph, name: str) -> bool:
    """Whether a buffer is a whole number that one operation makes of itself alone, and nothing else
    reads."""
    update = graph.updates[name]
    if not graph.parameters[name].type.dtype.startswith(("int", "uint")):
        return False
    leaves = {node.id for node in graph.of_kind("buffer") if node.name == name}
    reads = {value.node for value in graph.record(update.node).inputs if value is not None}
    readers = {reader for leaf in leaves for reader in graph.successors(leaf)}
    return reads == leaves and readers == {update.node} and not any(graph.successors(update.node))


def _held(graph: ComputationGraph) -> Mapping[int, Any]:
    return {} if graph.session is None else graph.session.tensors


# -- a trace held against the one that is certified


def _traced_alike(model: Any, example: Mapping[str, Any], first: ComputationGraph) -> bool:
    """Whether a model that is traced again gives the same program."""
    try:
        second = backend(first.framework).trace(model, example)
    except CaptureError:
        return False
    assert first.session is not None and second.session is not None
    array = backend(first.framework).values.array
    return (
        first.session.rung == second.session.rung
        and first.training == second.training
        and first.updates == second.updates
        and len(first) == len(second)
        and all(map(_alike, first.records(), second.records()))
        and _held(first).keys() == _held(second).keys()
        and all(
            same_numbers(array(held), array(_held(second)[number]))
            for number, held in _held(first).items()
        )
    )


def _alike(first: Node, second: Node) -> bool:
    """Whether two nodes of a number are the same call; what cannot be held against its like is
    not."""
    facts = [
        (n.id, n.kind, n.op, n.name, n.inputs, n.roles, n.outputs, n.path, n.call, n.marks)
        for n in (first, second)
    ]
    if facts[0] != facts[1] or first.attrs.keys() != second.attrs.keys():
        return False
    pairs = [(first.constant, second.constant)]
    pairs += [(value, second.attrs[name]) for name, value in first.attrs.items()]
    return all(_equal(*pair) for pair in pairs)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        both = isinstance(first, np.ndarray) and isinstance(second, np.ndarray)
        return both and first.dtype == second.dtype and same_numbers(first, second)
    if type(first) is not type(second):
        return False
    if isinstance(first, (tuple, list)):
        return len(first) == len(second) and all(map(_equal, first, second))
    equal = first == second
    return equal is True or (first != first and second != second)
