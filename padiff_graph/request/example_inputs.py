"""Example inputs where the user gave none: guessed from the first layers' sizes, kept where both models run on them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.errors import UsageError
from padiff_graph.request.module_tree import class_of, has_modules, modules_of

__all__ = ["infer_inputs"]

BATCH, LENGTH = 2, 8
IMAGE_SIDES = (32, 64, 224, 299)
EXTENTS: dict[str, tuple[str, ...]] = {
    "in_features": ("features",),
    "in_channels": ("channels",),
    "_in_channels": ("channels",),
    "input_size": ("sequence",),
    "num_embeddings": ("tokens",),
    "embed_dim": ("sequence",),
    "d_model": ("sequence",),
    "normalized_shape": ("features",),
    "_normalized_shape": ("features",),
    "num_features": ("channels",),
    "_num_features": ("channels",),
}
"""Attributes of a layer that tell what it takes."""
Trials = Iterator[tuple[Array, ...]]


def infer_inputs(
    layer: Any, module: Any, first: Engine, second: Engine
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Finds inputs that both models run on.

    Returns:
        (first example, second example), as `example_inp`.
    Raises:
        UsageError: where none of the guesses fits; says to pass example_inp.
    """
    names = _arguments(layer), _arguments(module)
    if names[0] is None or names[1] is None or len(names[0]) != len(names[1]) or not names[0]:
        raise UsageError(
            _missing(
                layer, module, f"forward of the two takes {_told(names[0])} and {_told(names[1])}"
            )
        )
    tried = 0
    last = ""
    for arrays in _trials(module if has_modules(module) else layer, len(names[0])):
        examples = []
        for engine, side in ((first, names[0]), (second, names[1])):
            with engine.quiet():
                examples.append(
                    {name: engine.tensor(array) for name, array in zip(side, arrays, strict=True)}
                )
        tried += 1
        refused = _refused(first, examples[0]) or _refused(second, examples[1])
        if not refused:
            return examples[0], examples[1]
        last = refused
    raise UsageError(
        _missing(
            layer, module, f"{tried} guesses did not fit" + (f" (the last: {last})" if last else "")
        )
    )


def _refused(engine: Engine, example: dict[str, Any]) -> str:
    """Why the model does not run on an example, "" where it does."""
    with engine.quiet():
        try:
            engine.forward(example, grad=False)
        except Exception as error:  # a wrong guess raises whatever the user's forward raises
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"
    return ""


def _arguments(model: Any) -> tuple[str, ...] | None:
    """The arguments of forward without a default; None where they cannot be told."""
    if not has_modules(model):
        return None
    parameters = inspect.signature(model.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        forward = getattr(type(model), "forward", None)
        # containers of both frameworks take their one input by a name
        listed = (
            [name for name in inspect.signature(forward).parameters if name not in ("self",)]
            if forward is not None
            else []
        )
        if class_of(model) != "Sequential" or len(listed) != 1:
            return None
    return tuple(
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    )


def _trials(model: Any, count: int) -> Trials:
    """Guesses, likeliest first; several arguments get the same array."""
    generator = np.random.default_rng(0)
    for found in modules_of(model).values():
        for attribute, kinds in EXTENTS.items():
            value = getattr(found, attribute, None)
            extent = value[-1] if isinstance(value, (list, tuple)) and value else value
            if isinstance(extent, bool) or not isinstance(extent, int) or extent < 1:
                continue
            for kind in kinds:
                for array in _arrays(kind, extent, found, generator):
                    yield (array,) * count
            return
    for shape in ((BATCH, 4), (BATCH, 3, 32, 32), (BATCH, LENGTH, 16)):
        yield (generator.standard_normal(shape).astype(np.float32),) * count


def _arrays(kind: str, extent: int, found: Any, generator: np.random.Generator) -> Iterator[Array]:
    def normal(*shape: int) -> Array:
        return generator.standard_normal(shape).astype(np.float32)

    if kind == "tokens":
        yield generator.integers(1, max(extent, 2), (BATCH, LENGTH)).astype(np.int64)
        yield generator.integers(1, max(extent, 2), (BATCH, 1)).astype(np.int64)
    elif kind == "features":
        yield normal(BATCH, extent)
        yield normal(BATCH, LENGTH, extent)
    elif kind == "sequence":
        yield normal(BATCH, LENGTH, extent)
        yield normal(BATCH, extent)
    else:
        rank = _rank(found)
        for side in IMAGE_SIDES if rank == 2 else (64,) if rank == 1 else (16, 32):
            yield normal(BATCH, extent, *[side] * rank)
        yield normal(BATCH, extent)


def _rank(found: Any) -> int:
    name = class_of(found).lower()
    return next((rank for rank in (1, 2, 3) if f"{rank}d" in name), 2)


def _told(names: tuple[str, ...] | None) -> str:
    return "arguments that cannot be told" if names is None else ", ".join(names) or "no argument"


def _missing(layer: Any, module: Any, why: str) -> str:
    return (
        f"no example input was given and none could be inferred for {class_of(layer)} and {class_of(module)}: {why}; "
        "pass example_inp=({'x': paddle_tensor}, {'x': torch_tensor})"
    )
