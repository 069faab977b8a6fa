"""What stands for a model of which there is a recording: the model, its tensors, its graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.certificate import Certificate
from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import (
    ComputationGraph,
    Node,
    ParameterInfo,
    TensorType,
    Value,
)
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.capture.remote.handles import AbsentModel, AbsentModule
from padiff_graph.capture.remote.wire import Ref, decode
from padiff_graph.file_reading import reason_of
from padiff_graph.sides.manifest_shape import (
    PARTS,
    part_misfit,
    shape_misfit,
    unknown_array,
    unknown_value,
)
from padiff_graph.sides.recorded_training import RecordedOptimizer, StepRun
from padiff_graph.sides.recording_file import Recording
from padiff_graph.sides.weight_hashes import HashedWeights

__all__ = ["Interned", "RecordedModel", "RecordedTensor", "opened_model"]

FACTS = ("whole", "regions", "seeded", "graphs", "not_run", "training", "hashed")
"""Parts of the manifest that say what was recorded of runs."""
CROSSED = (Node, ParameterInfo, TensorType, Value)
"""Records that a manifest holds; no others are made of what it names."""
WRONG = (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError)
"""What decoding a manifest raises that says something else than this package writes."""


@dataclass(frozen=True, eq=False)
class RecordedTensor:
    """A tensor of a recorded model.

    Attributes:
        read: its numbers.
        dtype: in graph spelling.
    """

    read: Callable[[], Array]
    dtype: str

    @classmethod
    def of(cls, array: Array, dtype: str = "") -> RecordedTensor:
        """The tensor of an array."""
        held = np.asarray(array)
        return cls(lambda: held, dtype or str(held.dtype))

    def numpy(self) -> Array:
        """Its numbers."""
        return self.read()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its numbers."""
        shape: tuple[int, ...] = self.read().shape
        return shape

    def detach(self) -> RecordedTensor:
        """Itself: nothing is differentiated, and nothing written."""
        return self

    clone = detach


class RecordedModel(AbsentModel):
    """A model of which there is a recording.

    Attributes:
        recording: the file.
        graph: its graph, with the certificate.
        inputs: its example, `RecordedTensor`s in the place of tensors.
        facts: what the manifest says of runs and regions.
        optimizer: that of the recorded training; None where none was recorded.
        hashed: weights of which the file holds the hashes alone.
    """

    kind = "a recording"
    second = True

    def __init__(
        self,
        recording: Recording,
        graph: ComputationGraph,
        inputs: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        self.recording = recording
        self.graph = graph
        self.inputs = inputs
        self.facts = facts
        self.framework = graph.framework
        self.class_name = graph.modules.get("", "") or "a recorded model"
        training = facts["training"]
        self.optimizer = None if training is None else RecordedOptimizer(self, training)
        self.hashed = HashedWeights(facts["hashed"])

    def __call__(self, **batch: Any) -> StepRun:
        """The run of the next training step."""
        if self.optimizer is None:
            raise NotRunnable("the recording holds no training")
        return self.optimizer.run()

    def modules(self) -> dict[str, AbsentModule]:
        """As of `AbsentModel`; of each module the class alone."""
        return {path: AbsentModule((name,)) for path, name in self.graph.modules.items()}

    def example(self) -> dict[str, Any]:
        """Its inputs with arrays in the place of tensors."""
        return {name: _with_arrays(value) for name, value in self.inputs.items()}

    def weight(self, name: str) -> Array:
        """A parameter or buffer; numbers in its place where its hash alone is known."""
        if name in self.hashed.told:
            return self.hashed.array(name)
        return self.array("weights", name)

    def array(self, kind: str, name: str) -> Array:
        """One array of the file."""
        return self.recording.array(kind, name)

    def arrays(self, kind: str) -> dict[str, Array]:
        """All arrays of one kind, by name."""
        return {name: self.array(kind, name) for name in self.recording.names(kind)}


@dataclass(frozen=True)
class Interned:
    """The session of a recorded graph: nothing of it can be run.

    Attributes:
        tensors, rung, abstract: as of `Session`.
    """

    tensors: Mapping[int, Any] = field(default_factory=dict)
    rung: str = ""
    abstract: bool = False


def opened_model(recording: Recording) -> RecordedModel:
    """The model of a recording.

    Raises:
        UsageError: the manifest says something else than this package writes.
    """
    try:
        parts = _parts(recording)
    except WRONG as error:
        raise recording.refused(
            f"its manifest cannot be understood ({type(error).__name__}: {reason_of(error)})"
        ) from None
    wrong = part_misfit(parts)
    if wrong:
        raise recording.refused(f"its manifest does not fit: {wrong}")
    try:
        graph = ComputationGraph.build(recording.framework, parts["nodes"], **parts["facts"])
    except ValueError as error:  # of what stands before what
        raise recording.refused(f"its graph does not fit together: {error}") from None
    wrong = unknown_value(graph, parts) or unknown_array(
        graph, recording.manifest["arrays"], parts["hashed"]
    )
    if wrong:
        raise recording.refused(f"its graph does not fit together: {wrong}")
    wrong = shape_misfit(graph, recording, parts["hashed"])
    if wrong:
        raise recording.refused(f"its arrays and its graph do not fit together: {wrong}")
    try:
        normalize(graph)
    except Exception as error:  # whatever operators raise that are given what they never take
        told = f"{type(error).__name__}: {reason_of(error)}"
        raise recording.refused(f"its graph cannot be understood ({told})") from None
    graph.certificate = parts["certificate"]
    graph.session = Interned()
    return RecordedModel(recording, graph, parts["inputs"], {name: parts[name] for name in FACTS})


def _parts(recording: Recording) -> dict[str, Any]:
    """The parts of a manifest as what they stand for."""
    count = len(recording.names("constants"))
    constants = [recording.array("constants", str(number)) for number in range(count)]

    def found(ref: Ref) -> RecordedTensor:
        if not (type(ref.number) is int and isinstance(ref.facts[0], str)):
            raise ValueError("a tensor is told by a number and a dtype")
        if ref.number < 0:
            return RecordedTensor.of(np.zeros(0), ref.facts[0])
        return RecordedTensor.of(constants[ref.number], ref.facts[0])

    def restored(held: Any) -> Any:
        return decode(held, constants, found, CROSSED)

    parts = {name: recording.manifest[name] for name in PARTS}
    parts = {
        name: list(map(restored, held)) if name == "nodes" else restored(held)
        for name, held in parts.items()
    }
    if parts["certificate"] is not None:
        parts["certificate"] = Certificate(**parts["certificate"])
    return parts


def _with_arrays(value: Any) -> Any:
    if isinstance(value, RecordedTensor):
        return value.numpy()
    if isinstance(value, Mapping):
        return {name: _with_arrays(member) for name, member in value.items()}
    return [_with_arrays(member) for member in value] if isinstance(value, list) else value
