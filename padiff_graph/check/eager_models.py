"""One model run as its user would run it, eagerly, as arrays: what it returns, its buffers, its
gradients."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.eager_run import Eager, lively, standing
from padiff_graph.capture.engine import Array, Engine, NotRunnable, Run
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.leaf_names import Fields, Tree, tree, values
from padiff_graph.obligations.left_behind import LeftBehind, left_behind, written_since
from padiff_graph.obligations.returned import TensorLeaf

__all__ = ["EagerModel", "ModelRequest", "run_eagerly", "steady_values"]

Loss = Callable[[Any], Any]
NOTHING = Fields({})


@dataclass(frozen=True)
class ModelRequest:
    """One eager run of one model.

    Attributes:
        example: the model's keyword arguments.
        loss: of the model's output; None for the mean of each floating output, averaged.
        backward: whether gradients are wanted.
        graph: the model's capture, None where there is none.
        shared: the outputs that the other model has too, to which the mean is taken; all where
            there are none.
    """

    example: Mapping[str, Any]
    loss: Loss | None
    backward: bool
    graph: ComputationGraph | None
    shared: Collection[str] = ()


@dataclass(frozen=True)
class EagerModel:
    """What one model's run yielded.

    Attributes:
        outputs, buffers, gradients: as of `Run`, as arrays.
        loss: where the user gave one.
        ungraded: why there are no gradients where the framework has none, "" elsewhere.
        returned: all that it returned, in its containers; tensors are `TensorLeaf`s.
        left: what the run left behind in the model and its inputs.
        hooked: parameters whose gradients hooks of the user's change.
    """

    outputs: Mapping[str, Array]
    buffers: Mapping[str, Array]
    gradients: Mapping[str, Array]
    loss: Array | None = None
    ungraded: str = ""
    returned: Tree = NOTHING
    left: LeftBehind = field(default_factory=LeftBehind)
    hooked: frozenset[str] = frozenset()


def run_eagerly(
    engine: Engine, request: ModelRequest, *, witnessed: bool
) -> tuple[EagerModel, Eager | None]:
    """Runs a model; where it is to witness for its capture, also what a replay is held against,
    None where the run could not be differentiated as often as that takes.

    An exception of the model's forward or of the loss passes through as it is.
    """
    if witnessed:
        try:
            return _run(engine, request, witnessed=True)
        except Exception:  # a custom backward may work only once: then each has a run of its own
            return _run(engine, request, witnessed=False)
    return _run(engine, request, witnessed=False)


def _run(
    engine: Engine, request: ModelRequest, *, witnessed: bool
) -> tuple[EagerModel, Eager | None]:
    with engine.quiet() as watch:
        before = _before(engine, request, witnessed)
        recorded = request.backward or (witnessed and engine.framework != "onnx")
        generators = _generators()
        run = engine.forward(request.example, grad=recorded)
        left = left_behind(watch, engine, run, _buffers(request, run))
        left = replace(left, drew=generators != _generators())
        outputs = {name: engine.array(tensor) for name, tensor in run.outputs.items()}
        value = request.loss(run.structure) if request.loss is not None else None
        loss = engine.array(value) if value is not None else None
        seeds = None
        if request.backward and value is None:
            seeds = _mean_cotangents(outputs, request.shared)
        shared = witnessed and seeds is not None and _may_serve_both(request, outputs, seeds)
        eager = None
        if witnessed and not shared:
            eager = Eager.of(engine, run, outputs, before, again=request.backward)
        run.gradients = {}
        ungraded = _differentiate(engine, request, run, seeds, value, eager)
        if shared and seeds is not None and not ungraded:
            eager = Eager.of_loss(run, outputs, before, seeds)
        left = replace(left, in_backward=written_since(engine, run))
        hooked = engine.hooked_parameters() if request.backward else frozenset[str]()
        gradients = _as_accumulated(engine, run.gradients, hooked)
        yielded = outputs, dict(run.buffers), gradients
        returned = _returned(engine, run, outputs)
        return EagerModel(*yielded, loss, ungraded, returned, left, hooked), eager


def _generators() -> tuple[object, ...]:
    """Where Python's and numpy's own generators of random numbers stand."""
    _, keys, *place = np.random.get_state(legacy=True)
    return random.getstate(), np.asarray(keys).tobytes(), tuple(place)


def _as_accumulated(
    engine: Engine, gradients: Mapping[str, Array], hooked: Collection[str]
) -> dict[str, Array]:
    """Gradients as the user's backward would leave them: hooks on parameters have seen them."""
    seen = {
        name: gradients[f"parameter:{name}"] for name in hooked if f"parameter:{name}" in gradients
    }
    after = engine.hooked(seen)
    return {**gradients, **{f"parameter:{name}": array for name, array in after.items()}}


def _buffers(request: ModelRequest, run: Run) -> Collection[str]:
    """What is a buffer by meaning; all that a run hands on where there is no capture."""
    if request.graph is None:
        return run.buffers
    return {name for name, info in request.graph.parameters.items() if info.buffer}


def _returned(engine: Engine, run: Run, outputs: Mapping[str, Array]) -> Tree:
    """All that a model returned, without the framework's tensors."""
    tools = backend(engine.framework).values

    def on_the_host(name: str, tensor: Any) -> TensorLeaf:
        return TensorLeaf(outputs[name], tools.dtype(tensor))

    return tree(run.structure, tools.is_tensor, on_the_host)


def steady_values(engine: Engine, example: Mapping[str, Any]) -> frozenset[str]:
    """Names of the returned values that are no tensors and the same in two runs, whatever was
    drawn."""
    is_tensor = backend(engine.framework).values.is_tensor
    with engine.quiet():
        runs = [engine.forward(example, grad=False).structure for _ in range(2)]
    first, second = (values(structure, is_tensor) for structure in runs)
    return frozenset(name for name in first if _equal(first[name], second.get(name)))


def _equal(first: Any, second: Any) -> bool:
    return bool(np.array_equal(first, second))


def _before(engine: Engine, request: ModelRequest, witnessed: bool) -> dict[str, Array]:
    """The buffers before the run, for the witness."""
    if request.graph is None or not witnessed:
        return {}
    return dict(standing(request.graph, engine))


def _may_serve_both(
    request: ModelRequest, outputs: Mapping[str, Array], seeds: Mapping[str, Array]
) -> bool:
    """Whether one backward may serve the run and the witness."""
    # what is called back in a backward need not be linear: random cotangents tell more there
    graph = request.graph
    return graph is not None and not graph.calls_back and lively(outputs, seeds)


def _differentiate(
    engine: Engine,
    request: ModelRequest,
    run: Run,
    seeds: Mapping[str, Array] | None,
    loss: Any,
    eager: Eager | None,
) -> str:
    """Fills the run's gradients where they are wanted; returns why there are none."""
    if not request.backward:
        return ""
    try:
        engine.backward(run, seeds, loss=loss)
    except NotRunnable as error:  # Paddle's recurrent layers outside training mode
        if eager is not None and not eager.ungraded:
            raise
        return str(error)
    return ""


def _mean_cotangents(outputs: Mapping[str, Array], shared: Collection[str]) -> dict[str, Array]:
    """Cotangents of the mean of each floating output, averaged over the outputs that both models
    have."""
    wanted = set(shared) or set(outputs)
    floating = {
        name: array
        for name, array in outputs.items()
        if array.dtype.kind in "fc" and array.size and name in wanted
    }
    return {
        name: np.full(array.shape, 1.0 / (len(floating) * array.size), array.dtype)
        for name, array in floating.items()
    }
