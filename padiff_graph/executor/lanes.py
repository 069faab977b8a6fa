"""The processes that run the regions of a side: one, or several that hold the same model. A region
is always run by the same one, so that each is sent only the weights that its regions read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.late_array import LateArray
from padiff_graph.capture.remote.engine import RemoteEngine, RemoteSession, traced
from padiff_graph.capture.remote.handles import RemoteLate, RemoteTensor
from padiff_graph.executor.partition import Slice

__all__ = ["Lane", "Lanes"]

LOG = logging.getLogger(__name__)


@dataclass
class Lane:
    """One process of a side.

    Attributes:
        graph, engine: the capture and the model there.
        kept: the side there, once it is made.
        sent: names of the weights that it was sent.
        late: weights in files of its own, by name; None until they are asked for.
        lost: why it is gone, "" where it is there.
    """

    graph: ComputationGraph
    engine: RemoteEngine
    kept: Any = None
    sent: set[str] = field(default_factory=set)
    late: Mapping[str, Any] | None = None
    lost: str = ""

    def own(self, name: str, array: Array) -> Array:
        """A weight as this process knows it: one that the files of the side hold, by its own
        reading of them."""
        if not isinstance(array, RemoteLate) or array.origin.caller is self.engine.client:
            return array
        if self.late is None:
            held = self.engine.parameters().items()
            self.late = {own: tensor for own, tensor in held if isinstance(tensor, LateArray)}
        return cast(Array, self.late[name])


@dataclass
class Lanes:
    """All of them; the first is that of the side itself.

    Attributes:
        operations: of the whole graph.
        turn: taken by who changes what a lane holds.
    """

    lanes: list[Lane]
    operations: int = 0
    turn: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def of(cls, graph: ComputationGraph, engine: RemoteEngine) -> Lanes:
        """Those of a side; a helper whose capture is another is left out."""
        copies = _copies(graph, engine)
        lanes = [Lane(graph, engine), *(Lane(*copy) for copy in copies)]
        return cls(lanes, len(graph.of_kind("operation")))

    def chosen(self, part: Slice) -> Lane:
        """The one that runs a part, among those that are there; what is most of the model, as the
        whole is, runs where the model lives."""
        there = [lane for lane in self.lanes if not lane.lost]
        if not part.nodes or 2 * len(part.nodes) > self.operations:
            return self.lanes[0]
        return there[part.nodes[0] % len(there)]

    def lose(self, lane: Lane, reason: str) -> bool:
        """Notes that a helper is gone, so that another runs its regions.

        Returns:
            Whether it was one: without the process of the side itself nothing goes on.
        """
        if lane is self.lanes[0]:
            return False
        with self.turn:
            lane.lost = lane.lost or reason
        return True

    @property
    def notes(self) -> list[str]:
        """What the user should know of helpers that are gone, in sentences."""
        return [f"{lane.lost}; its regions ran elsewhere" for lane in self.lanes if lane.lost]


def _copies(
    graph: ComputationGraph, engine: RemoteEngine
) -> list[tuple[ComputationGraph, RemoteEngine]]:
    session = graph.session
    if not isinstance(session, RemoteSession) or session.example is None or not engine.model.shared:
        return []
    helpers = [helper for helper in engine.client.helpers if helper.model is not None]
    if helpers and not session.copies:
        example = _arrays(session.example)
        for helper in helpers:
            assert helper.model is not None
            copy = traced(helper.model, helper.ask("example", example), session.below)
            if _essence(copy) != _essence(graph):
                LOG.warning("%s captures another graph; it runs no regions", helper.name)
            else:
                session.copies.append((copy, RemoteEngine(helper.model)))
    return session.copies


def _arrays(value: Any) -> Any:
    """An example with arrays in the place of tensors."""
    if isinstance(value, RemoteTensor):
        return value.numpy()
    if isinstance(value, Mapping):
        return {name: _arrays(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_arrays(member) for member in value]
    return value


def _essence(graph: ComputationGraph) -> list[tuple[object, ...]]:
    """What two captures must have alike for one's ids to name the other's operations."""
    return [
        (record.id, record.kind, record.op, record.name, record.path, record.inputs, record.outputs)
        for record in graph.records()
    ]
