"""A recording's whole run: a model run as its user runs it, with all that it leaves behind."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.eager_run import cotangents
from padiff_graph.capture.engine import Array, Engine, NotRunnable, Run
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.leaf_names import tree
from padiff_graph.capture.remote.service import members
from padiff_graph.capture.remote.wire import Ref
from padiff_graph.capture.shown_gradients import SIZES, shown_gradient
from padiff_graph.export.recorded_losses import write_loss
from padiff_graph.obligations.later_calls import GROWTH, called
from padiff_graph.obligations.left_behind import (
    LeftBehind,
    Place,
    attribute_now,
    left_behind,
    written_since,
)
from padiff_graph.sides.recording_file import RecordingWriter
from padiff_graph.training.losses import Loss

__all__ = ["WholeRun", "mean_cotangents", "write_whole"]

PLAIN = (bool, int, float, str, type(None))
"""Attributes whose values are written; of others only that they are there."""


@dataclass(frozen=True)
class WholeRun:
    """One model to be run on one example.

    Attributes:
        graph: its capture.
        engine: its engine.
        example: keyword arguments of its forward.
        loss: of its output; None for none.
    """

    graph: ComputationGraph
    engine: Engine
    example: Mapping[str, Any]
    loss: Loss | None = None


def write_whole(writer: RecordingWriter, run: WholeRun) -> dict[str, Any]:
    """Writes what the model returns, what its buffers become, and its gradients under random
    cotangents and under those of the mean of its outputs.

    Returns:
        What the manifest says of it: what was returned, what was left behind, why there are no
        gradients.
    """
    facts = _forward(writer, run, "")
    random = any("random" in node.marks for node in run.graph.of_kind("operation"))
    facts["again"] = _forward(writer, run, ".again") if random else None
    facts["second_call"] = _second_call(writer, run, random)
    graded = run.graph.framework != "onnx"
    facts["ungraded"] = "" if graded else "an ONNX model has no gradients"
    if graded:
        for kind, cotangents_of in (("", cotangents), (".mean", mean_cotangents)):
            ungraded = _backward(writer, run, kind, cotangents_of)
            facts["ungraded"] = facts["ungraded"] or ungraded
    return facts


def mean_cotangents(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Cotangents of the mean of each floating output, averaged."""
    floating = {
        name: array for name, array in outputs.items() if array.dtype.kind in "fc" and array.size
    }
    return {
        name: np.full(array.shape, 1.0 / (len(floating) * array.size), array.dtype)
        for name, array in floating.items()
    }


def _forward(writer: RecordingWriter, own: WholeRun, which: str) -> dict[str, Any]:
    """Writes one forward; `which` marks that of a second run, which draws other numbers."""
    engine = own.engine
    with engine.quiet() as watch:
        run = engine.forward(own.example, grad=own.graph.framework != "onnx")
        buffers = {name for name, info in own.graph.parameters.items() if info.buffer}
        left = left_behind(watch, engine, run, buffers)
        outputs = {name: engine.array(tensor) for name, tensor in run.outputs.items()}
        for kind, arrays in (
            ("outputs", outputs),
            ("buffers", {**run.buffers, **left.parameters}),
            ("written", run.written),
        ):
            for name, array in arrays.items():
                writer.add(f"{kind}{which}", name, array)
        returned = _returned(engine, run)
        written, put = sorted(watch.written()), run.containers
        lost = None if own.loss is None else write_loss(writer, engine, run, own.loss, which)
    return {
        **({} if which else {"loss": lost}),
        "structure": returned,
        "containers": {way: None if held is None else dict(held) for way, held in put.items()},
        "left": {**_left(engine, left), "written": written},
        "differentiable": sorted(run.leaves),
        "hooked": sorted(engine.hooked_parameters()),
    }


def _second_call(writer: RecordingWriter, own: WholeRun, random: bool) -> dict[str, Any]:
    """Writes two calls in a row, the weights grown in between, as a check asks for them where
    either model keeps something."""
    read = {node.name for node in own.graph.of_kind("parameter")}
    infos = own.graph.parameters.items()
    learned = sorted(name for name, info in infos if name in read and not info.buffer)
    facts: dict[str, Any] = {"learned": learned, "growth": GROWTH, "unasked": ""}
    try:
        calls = called(own.engine, own.example, learned, random, times=2)
    except Exception as error:  # whatever the user's forward raises when it is called again
        facts["unasked"] = f"the second of two calls raised {type(error).__name__}: {error}"
        return facts
    if calls.raised:
        facts["unasked"] = f"the second of two calls raised {calls.raised}"
        return facts
    for number, call in enumerate(calls.made):
        for name, array in call.outputs.items():
            writer.add(f"calls.{number}", name, array)
    return facts


def _returned(engine: Engine, run: Run) -> Any:
    """What the model returned: containers as dicts and lists, of tensors the dtype alone."""
    tools = backend(engine.framework).values
    return members(
        tree(run.structure, tools.is_tensor, lambda name, tensor: Ref(-1, (tools.dtype(tensor),)))
    )


def _left(engine: Engine, left: LeftBehind) -> dict[str, Any]:
    """The attributes that the forward changed, as they were before and after, and all others that
    are plain values; what they are of no others is known."""
    places = list(left.attributes)
    return {
        "attributes": [(place, dict(left.attributes[place])) for place in places],
        "before": [(place, attribute_now(engine, place)) for place in places],
        "others": _others(engine, set(places)),
    }


def _others(engine: Engine, known: Collection[Place]) -> list[tuple[Place, bool, Any]]:
    """Other attributes: whether each is plain, and its value then."""
    with engine.quiet(values=False) as watch:
        if watch.python is None:
            return []
        held = {place: watch.python.now(*place) for place in watch.python.places()}
    told: list[tuple[Place, bool, Any]] = []
    for place, value in held.items():
        if place not in known:
            plain = isinstance(value, PLAIN)
            told.append((place, plain, value if plain else None))
    return told


def _backward(writer: RecordingWriter, own: WholeRun, kind: str, cotangents_of: Any) -> str:
    """Writes gradients under one set of cotangents; returns why there are none."""
    engine = own.engine
    with engine.quiet():
        run = engine.forward(own.example, grad=True)
        outputs = {name: engine.array(tensor) for name, tensor in run.outputs.items()}
        seeds = cotangents_of(outputs)
        if not seeds:
            return ""
        try:
            engine.backward(run, seeds)
        except NotRunnable as error:  # Paddle's recurrent layers outside training mode
            return str(error)
        gradients = dict(run.gradients)
        for name, array in seeds.items():
            writer.add(f"cotangents{kind}", name, array)
        for name, array in gradients.items():
            writer.add(f"gradients{kind}", name, array)
        if kind:
            _after_backward(writer, engine, run)
    return ""


def _after_backward(writer: RecordingWriter, engine: Engine, run: Run) -> None:
    """Writes what only a backward tells: buffers that it wrote, what hooks made of gradients."""
    now = engine.parameters()
    for name in written_since(engine, run):
        writer.add("buffers.backward", name, engine.array(now[name]))
    hooked = engine.hooked_parameters()
    own = {
        name: run.gradients[f"parameter:{name}"]
        for name in hooked
        if f"parameter:{name}" in run.gradients
    }
    shown = {"hooked": own}
    for number, size in enumerate(SIZES):
        shown[f"hooked.shown.{number}"] = {
            name: shown_gradient(name, tuple(now[name].shape), size) for name in hooked
        }
    for kind, gradients in shown.items():
        for name, array in engine.hooked(gradients).items():
            writer.add(kind, f"parameter:{name}", array)
