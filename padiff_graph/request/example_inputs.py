"""Example inputs where the user gave none.

Guessed from the first layers' sizes, and kept where both models run on them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.errors import UsageError
from padiff_graph.request.module_tree import class_of, has_modules, modules_of

__all__ = ["infer_inputs"]

BATCH, LENGTH = 2, 8
"""Extents of the guesses; chosen so that a batch is no single example and runs fast."""
SIDES = {1: (64,), 2: (32, 64, 224, 299), 3: (16, 32)}
"""Extents of what a convolution of each rank reads, likeliest first.

224 and 299 are what ImageNet classifiers were trained on, and some insist on.
"""
FALLBACKS = ((BATCH, 4), (BATCH, 3, 32, 32), (BATCH, LENGTH, 16))
"""Shapes to try where no layer tells what it takes."""
REASON = 200
"""So many characters of a model's own complaint are quoted."""
EXTENTS = {
    "in_features": "features",
    "in_channels": "channels",
    "_in_channels": "channels",
    "input_size": "sequence",
    "num_embeddings": "tokens",
    "embed_dim": "sequence",
    "d_model": "sequence",
    "normalized_shape": "features",
    "_normalized_shape": "features",
    "num_features": "channels",
    "_num_features": "channels",
}
"""Attributes of a layer that tell what it takes."""
Example = dict[str, Any]


def infer_inputs(
    first: Any, second: Any, first_engine: Engine, second_engine: Engine
) -> tuple[Example, Example]:
    """Finds inputs that both models run on.

    Args:
        first, second: the models.
        first_engine, second_engine: their engines.

    Returns:
        (first example, second example), as `example_inp`.

    Raises:
        UsageError: where none of the guesses fits; says to pass example_inp.
    """
    ours, theirs = _arguments(first), _arguments(second)
    if not ours or not theirs or len(ours) != len(theirs):
        told = f"forward of the two takes {_told(ours)} and {_told(theirs)}"
        raise UsageError(_missing(first, second, told))
    tried = 0
    refusal = ""
    for array in _guesses(second):
        tried += 1
        examples = _example(first_engine, ours, array), _example(second_engine, theirs, array)
        refusal = _refusal(first_engine, examples[0]) or _refusal(second_engine, examples[1])
        if not refusal:
            return examples
    told = f"{tried} guesses did not fit"
    if refusal:
        told += f" (the last: {refusal})"
    raise UsageError(_missing(first, second, told))


def _example(engine: Engine, names: tuple[str, ...], array: Array) -> Example:
    """The same array for every argument."""
    with engine.quiet():
        return {name: engine.tensor(array) for name in names}


def _refusal(engine: Engine, example: Example) -> str:
    """Why the model does not run on an example, "" where it does."""
    with engine.quiet():
        try:
            engine.forward(example, grad=False)
        except Exception as error:  # a wrong guess raises whatever the user's forward raises
            words = str(error).strip().partition("\n")[0]
            return f"{type(error).__name__}: {words[:REASON]}"
    return ""


def _arguments(model: Any) -> tuple[str, ...] | None:
    """The arguments of forward without a default; None where they cannot be told."""
    if not has_modules(model):
        return None
    parameters = inspect.signature(model.forward).parameters.values()
    starred = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    if starred and not _is_container(model):
        return None
    return tuple(
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    )


def _is_container(model: Any) -> bool:
    """Whether it is a Sequential, which takes its one input by a name in both frameworks."""
    forward = getattr(type(model), "forward", None)
    if forward is None or class_of(model) != "Sequential":
        return False
    return len([name for name in inspect.signature(forward).parameters if name != "self"]) == 1


def _guesses(model: Any) -> Iterator[Array]:
    """Arrays to try, likeliest first: by the first layer that tells what it takes."""
    generator = np.random.default_rng(0)
    for module in modules_of(model).values():
        for attribute, kind in EXTENTS.items():
            extent = _extent(getattr(module, attribute, None))
            if extent is not None:
                yield from GUESSES[kind](extent, module, generator)
                return
    for shape in FALLBACKS:
        yield _normal(generator, *shape)


def _extent(value: Any) -> int | None:
    """A positive extent, or the last of several."""
    if isinstance(value, (list, tuple)) and value:
        value = value[-1]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return None
    return value


def _tokens(extent: int, module: Any, generator: np.random.Generator) -> Iterator[Array]:
    for length in (LENGTH, 1):
        yield generator.integers(1, max(extent, 2), (BATCH, length)).astype(np.int64)


def _features(extent: int, module: Any, generator: np.random.Generator) -> Iterator[Array]:
    yield _normal(generator, BATCH, extent)
    yield _normal(generator, BATCH, LENGTH, extent)


def _sequence(extent: int, module: Any, generator: np.random.Generator) -> Iterator[Array]:
    yield _normal(generator, BATCH, LENGTH, extent)
    yield _normal(generator, BATCH, extent)


def _channels(extent: int, module: Any, generator: np.random.Generator) -> Iterator[Array]:
    rank = _rank(module)
    for side in SIDES[rank]:
        yield _normal(generator, BATCH, extent, *[side] * rank)
    yield _normal(generator, BATCH, extent)


GUESSES: dict[str, Callable[[int, Any, np.random.Generator], Iterator[Array]]] = {
    "tokens": _tokens,
    "features": _features,
    "sequence": _sequence,
    "channels": _channels,
}
"""What a layer takes -> arrays of an extent to try."""


def _normal(generator: np.random.Generator, *shape: int) -> Array:
    return generator.standard_normal(shape).astype(np.float32)


def _rank(module: Any) -> int:
    """Over how many axes a layer moves, by its class name: Conv1D, BatchNorm2d; 2 if untold."""
    name = class_of(module).lower()
    return next((rank for rank in SIDES if f"{rank}d" in name), 2)


def _told(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "arguments that cannot be told"
    return ", ".join(names) or "no argument"


def _missing(first: Any, second: Any, why: str) -> str:
    return (
        f"no example input was given and none could be inferred for {class_of(first)} and "
        f"{class_of(second)}: {why}; "
        "pass example_inp=({'x': paddle_tensor}, {'x': torch_tensor})"
    )
