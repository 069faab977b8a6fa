"""What the user's own model yields, as arrays, to hold a replay of its capture against."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable, Run
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.held_weights import held_weights
from padiff_graph.capture.late_array import LateArray, late_of
from padiff_graph.capture.remote.wire import crossing

__all__ = [
    "GRADIENTS",
    "KINDS",
    "Eager",
    "Quantities",
    "cotangents",
    "eager_run",
    "lively",
    "moved_by_rounding",
    "standing",
]

KINDS = ("output", "buffer", "input gradient", "parameter gradient")
"""What is compared."""
Quantities = Mapping[str, Mapping[str, Array]]
"""Arrays by kind, as in `KINDS`, and by name."""
GRADIENTS = {"input": "input gradient", "parameter": "parameter gradient"}
"""Prefix of a gradient in `Run.gradients` -> its kind."""


@crossing
@dataclass(frozen=True)
class Eager:
    """What the user's own model yields, to hold a replay against.

    Attributes:
        before: the buffers before the run.
        outputs, buffers, gradients: as of `Run`, as arrays; gradients under `seeds`.
        seeds: the cotangents by output name.
        differentiable: names of the inputs whose gradient was asked for.
        ungraded: why there are no gradients, "" where there are.
        exact: whether a replay has to be equal bit for bit, since the cotangents are a loss's own.
    """

    before: Mapping[str, Array]
    outputs: Mapping[str, Array]
    buffers: Mapping[str, Array]
    gradients: Mapping[str, Array]
    seeds: Mapping[str, Array]
    differentiable: frozenset[str]
    ungraded: str = ""
    exact: bool = False

    @classmethod
    def of_loss(
        cls,
        run: Run,
        outputs: Mapping[str, Array],
        before: Mapping[str, Array],
        seeds: Mapping[str, Array],
    ) -> Eager | None:
        """A run that was differentiated under a loss's cotangents.

        A loss may cancel (a mean behind a normalisation does), so that its gradients are what
        rounding leaves. A replay that leaves just the same, bit for bit, went through the same
        operations; zeros say nothing: None where a gradient is zero throughout.
        """
        if not all(np.any(gradient) for gradient in run.gradients.values()):
            return None
        return cls(
            before,
            outputs,
            dict(run.buffers),
            dict(run.gradients),
            seeds,
            frozenset(run.leaves),
            exact=True,
        )

    @classmethod
    def of(
        cls,
        engine: Engine,
        run: Run,
        outputs: Mapping[str, Array],
        before: Mapping[str, Array],
        seed: int = 0,
        again: bool = False,
    ) -> Eager:
        """Differentiates a run with these outputs under random cotangents.

        Args:
            engine: the model's engine.
            run: a run that was recorded.
            outputs: its outputs as arrays.
            before: the buffers before it.
            seed: of the cotangents.
            again: see `Engine.backward`.
        """
        seeds = cotangents(outputs, seed)
        ungraded = ""
        run.gradients = {}
        try:
            engine.backward(run, seeds, again=again)
        except NotRunnable as error:
            ungraded = str(error)
        return cls(
            before,
            outputs,
            dict(run.buffers),
            dict(run.gradients),
            seeds,
            frozenset(run.leaves),
            ungraded,
        )

    def quantities(self, known: Collection[str]) -> Quantities:
        """What is compared, by kind; buffers only where the capture knows them."""
        return _by_kind(self.outputs, self.buffers, self.gradients, known)


def eager_run(
    graph: ComputationGraph, engine: Engine, example: Mapping[str, Any], seed: int
) -> Eager:
    """Runs the model once, forward and, where the framework has gradients, backward."""
    with engine.quiet():
        before = standing(graph, engine)
        run = engine.forward(example, grad=graph.framework != "onnx")
        return Eager.of(engine, run, _arrays(engine, run), before, seed)


def standing(graph: ComputationGraph, engine: Engine) -> dict[str, Array]:
    """The model's buffers as they are now."""
    buffers = [name for name, info in graph.parameters.items() if info.buffer]
    held = held_weights(engine, buffers)
    return {name: held[name] for name in buffers if name in held}


def lively(outputs: Mapping[str, Array], seeds: Mapping[str, Array]) -> bool:
    """Whether every number of every output with a gradient has a cotangent other than zero."""
    return all(
        name in seeds and bool(seeds[name].all())
        for name, array in outputs.items()
        if array.dtype.kind in "fc"
    )


def cotangents(outputs: Mapping[str, Array], seed: int = 0) -> dict[str, Array]:
    """Random cotangents for floating and complex outputs.

    The same for the same seed, order of names and shapes.
    """
    generator = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    for name, array in outputs.items():
        if array.dtype.kind in "fc":
            numbers: Array = np.asarray(generator.standard_normal(array.shape))
            if array.dtype.kind == "c":
                numbers = numbers + 1j * generator.standard_normal(array.shape)
            drawn[name] = np.asarray(numbers, array.dtype)
    return drawn


def moved_by_rounding(
    engine: Engine,
    example: Mapping[str, Any],
    seeds: Mapping[str, Array] | None,
    weights: Collection[str],
) -> Quantities:
    """Eager once more, the weights of these names and every cotangent moved by its rounding.

    What large numbers leave of each other (the mean of centred values, a gradient that cancels)
    moves a lot: a replay that adds up in another order differs by as much.

    Args:
        engine: the model's engine.
        example: keyword arguments of its forward.
        seeds: cotangents by output name; None for a forward only.
        weights: names of the parameters to move.
    """

    generator = np.random.default_rng(1)

    with engine.quiet():
        own = {
            name: engine.array(tensor)
            for name, tensor in engine.parameters().items()
            if name in weights
        }
        floating = {name: array for name, array in own.items() if array.dtype.kind == "f"}
        engine.assign({n: _rounded(array, n, generator) for n, array in floating.items()})
        run = engine.forward(example, grad=seeds is not None)
        outputs = _arrays(engine, run)
        if seeds is not None:
            moved = dict(seeds)
            for name, array in seeds.items():
                if array.dtype.kind in "fc":
                    moved[name] = _rounded(array, name, generator)
            engine.backward(run, moved)
        return _by_kind(outputs, run.buffers, run.gradients, run.buffers)


def _rounded(array: Array, name: str, generator: np.random.Generator) -> Array:
    """An array moved by its rounding; the same each time where it is read anew for each reader."""
    if isinstance(array, LateArray):
        return late_of(array, lambda own: _noisy(own, _named_generator(name)))
    return _noisy(array, generator)


def _named_generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _noisy(array: Array, generator: np.random.Generator) -> Array:
    noise = np.finfo(array.dtype).eps * generator.standard_normal(array.shape)
    return np.asarray(array * (1 + noise), array.dtype)


def _arrays(engine: Engine, run: Run) -> dict[str, Array]:
    return {name: engine.array(tensor) for name, tensor in run.outputs.items()}


def _by_kind(
    outputs: Mapping[str, Array],
    buffers: Mapping[str, Array],
    gradients: Mapping[str, Array],
    known: Collection[str],
) -> Quantities:
    arrays: dict[str, dict[str, Array]] = {kind: {} for kind in KINDS}
    arrays["output"].update(outputs)
    arrays["buffer"].update((name, array) for name, array in buffers.items() if name in known)
    for key, gradient in gradients.items():
        prefix, _, name = key.partition(":")
        arrays[GRADIENTS[prefix]][name] = gradient
    return arrays
