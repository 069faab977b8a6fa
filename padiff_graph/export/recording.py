"""`record`: what a model computes on an example, written to a file that numpy and json open."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.example_tensors import with_tensors
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.late_weights import late_model
from padiff_graph.capture.leaf_names import tree
from padiff_graph.capture.remote.service import members
from padiff_graph.capture.remote.wire import Ref, Unsendable, encode
from padiff_graph.errors import UsageError
from padiff_graph.export.recorded_regions import write_regions
from padiff_graph.export.recorded_training import Training, check_training, write_training
from padiff_graph.export.recorded_whole import WholeRun, write_whole
from padiff_graph.request.loss_pair import check_loss
from padiff_graph.request.module_tree import empty_parameters
from padiff_graph.sides.recorded_training import TrainingFacts
from padiff_graph.sides.recording_file import RecordingWriter, new_recording
from padiff_graph.sides.weight_hashes import HashedWeight, hash_of
from padiff_graph.training.losses import Loss

__all__ = ["PRECISIONS", "expected_size", "record"]

PRECISIONS = ("float32", "float64")
CHOICES = (PRECISIONS, PRECISIONS[:1], ())
WIDTHS = {"float32": 4, "float64": 8}
REGIONAL = (0, 3 * WIDTHS["float32"], 3 * WIDTHS["float32"] + 4 * WIDTHS["float64"])
"""Bytes for each value on the way, by how many precisions are written: itself, and its gradient
in the regions and in the sweep."""
WHOLE_GRADIENTS = 2
"""How many sets of gradients of the whole are written."""
STEP, TRIED = 6, 5
"""How many sets of weights a training step is: weights around it, gradients before and after they
were clipped, and two of an optimizer's state; and what it is tried on alone."""
BESIDE = 2000
"""Bytes beside its numbers that an operation or a weight takes, once and for each precision:
headers of its arrays, and its part of the manifest. Measured on a model of 4 operations."""
FACTS = ("training", "modules", "parameters", "notes", "updates")
"""Attributes of a graph that the manifest holds beside its nodes."""


@one_at_a_time
def record(
    model: Any,
    inputs: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    precisions: Sequence[str] = PRECISIONS,
    loss: Loss | None = None,
    optimizer: Any = None,
    steps: int = 1,
    hash_weights: bool = False,
    expect: Callable[[int, Mapping[str, int]], None] | None = None,
) -> ComputationGraph:
    """Writes what a model computes on an example: its graph with the certificate, weights, inputs,
    every value on the way, outputs, buffers, and gradients under seeded cotangents.

    Args:
        model: of any framework. As before afterwards.
        inputs: keyword arguments of its forward.
        path: the file, ".pgref" by custom; there when it is whole.
        precisions: in which of `PRECISIONS` regions are written; float32 alone, or () for none of
            them, lessens the file and what a check can be told from it.
        loss: of the model's output, one floating number; its value and the gradients under it are
            written too.
        optimizer: of the model's framework and parameters; training steps with it, each on this
            example under this loss, are written too. As before afterwards.
        steps: how many.
        hash_weights: whether the hashes of floating parameters are written in their place: for
            weights that may not be handed on. A check then compares ports that hold the same ones.
        expect: told about how many bytes the file will take, before it is written, and how many
            with fewer `precisions`, by "float32" and "none".

    Returns:
        The captured graph.

    Raises:
        UsageError, UsageTypeError: for another precision, what is no loss or no optimizer of the
            model, or a model without numbers or with what no file holds.
        CaptureError: the model cannot be captured.
        NotWrittenError: the file cannot be written.
    """
    if tuple(precisions) not in CHOICES:
        raise UsageError(f"precisions: expected one of {CHOICES}; found {tuple(precisions)}")
    if loss is not None:
        check_loss(loss)
    filled = backend(framework_of(model)).values.materialised
    empty = [] if late_model(model) is not None else empty_parameters(model, filled)
    if empty:
        raise UsageError(
            f"record: the parameter {empty[0]} holds no numbers; build the model with them, or "
            "name the files that hold them (`padiff-graph record --weights PATH`)"
        )
    training = None if optimizer is None else Training(optimizer, steps)
    if training is not None and hash_weights:
        raise UsageError("hash_weights: recorded training steps hold the weights; leave one out")
    if training is not None:
        check_training(model, framework_of(model), training, loss)
    inputs = with_tensors(framework_of(model), inputs)
    with backend(framework_of(model)).state.kept(model):
        engine = backend(framework_of(model)).engine(model)
        try:
            graph = capture_graph(model, inputs)
        except CaptureError:
            with engine.quiet():  # an exception of the user's forward is the user's to see
                engine.forward(inputs, grad=False)
            raise
        if expect is not None:
            expect(*_sizes(graph, precisions, loss is not None, steps if training else 0))
        try:
            with new_recording(path) as writer:
                run = WholeRun(graph, engine, inputs, loss)
                trained = None
                if training is not None:
                    trained = write_training(writer, run, model, training)
                _write(writer, run, precisions, trained, hash_weights)
        except Unsendable as error:  # an attribute of an operation, as packed weights are
            raise UsageError(f"this model cannot be recorded: {error}") from None
    return graph


def expected_size(
    graph: ComputationGraph,
    precisions: Sequence[str] = PRECISIONS,
    loss: bool = False,
    steps: int = 0,
) -> int:
    """About how many bytes a recording takes: values on the way, and weights twice over with their
    gradients."""
    operations = graph.of_kind("operation")
    values = sum(kind.size for node in operations for kind in node.outputs if kind is not None)
    weights = sum(info.type.size for info in graph.parameters.values())
    width = sum(WIDTHS[name] for name in precisions)
    whole = (1 + WHOLE_GRADIENTS + loss) * WIDTHS["float32"]
    if "float64" in precisions:
        whole += WIDTHS["float64"] + WIDTHS["float32"]  # the whole graph, and how far it moves
    if steps:
        whole += (STEP * steps + TRIED) * WIDTHS["float32"]
    # regions and the sweep: gradients twice in each precision; values twice in float64
    numbers = weights * (whole + 2 * width) + values * REGIONAL[len(precisions)]
    named = len(operations) + len(graph.parameters)
    return numbers + named * BESIDE * (1 + len(precisions))


def _sizes(
    graph: ComputationGraph, precisions: Sequence[str], loss: bool, steps: int
) -> tuple[int, dict[str, int]]:
    """The expected size, and those with fewer precisions."""
    fewer = [choice for choice in CHOICES if len(choice) < len(precisions)]
    less = {
        choice[0] if choice else "none": expected_size(graph, choice, loss, steps)
        for choice in fewer
    }
    return expected_size(graph, precisions, loss, steps), less


def _write(
    writer: RecordingWriter,
    run: WholeRun,
    precisions: Sequence[str],
    training: TrainingFacts | None,
    hash_weights: bool,
) -> None:
    graph, engine, inputs = run.graph, run.engine, run.example
    hashed: dict[str, HashedWeight] = {}
    for name, tensor in engine.parameters().items():
        array = np.asarray(engine.array(tensor))
        if hash_weights and not graph.parameters[name].buffer and array.dtype.kind in "fc":
            hashed[name] = hash_of(array)
        else:
            writer.add("weights", name, array)
    for number, tensor in engine.inputs(graph).items():
        writer.add("leaves", str(number), engine.array(tensor))
    whole = write_whole(writer, run)
    regions = write_regions(writer, graph, engine, precisions)
    is_tensor = backend(graph.framework).values.is_tensor
    facts: dict[str, Any] = {
        "facts": {name: getattr(graph, name) for name in FACTS},
        "certificate": None if graph.certificate is None else asdict(graph.certificate),
        "inputs": members(tree(inputs, is_tensor, lambda name, tensor: tensor)),
        "whole": whole,
        "regions": regions.regions,
        "seeded": regions.seeded,
        "graphs": regions.graphs,
        "not_run": regions.not_run,
        "training": training,
        "hashed": hashed,
    }
    _Manifest(writer, engine).finish(graph, facts)


@dataclass
class _Manifest:
    """Facts as JSON; arrays and tensors among them are constants of the file."""

    writer: RecordingWriter
    engine: Engine
    arrays: list[Array] = field(default_factory=list)

    def finish(self, graph: ComputationGraph, facts: Mapping[str, Any]) -> None:
        """Writes the constants, then the manifest."""
        encoded = {name: encode(fact, self.arrays, self._stays) for name, fact in facts.items()}
        nodes = [encode(node, self.arrays, self._stays) for node in graph.records()]
        for number, array in enumerate(self.arrays):
            self.writer.add("constants", str(number), array)
        self.writer.finish({"framework": graph.framework, "nodes": nodes, **encoded})

    def _stays(self, value: Any) -> Ref | None:
        """A tensor, by the number of its array and its dtype."""
        tools = backend(self.engine.framework).values
        if not tools.is_tensor(value):
            return None
        self.arrays.append(tools.array(value))
        return Ref(len(self.arrays) - 1, (tools.dtype(value),))
