"""The parameters and buffers of a layer by name, and the paths of its sublayers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import paddle

from padiff_graph.capture.graph import ParameterInfo, TensorType
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.internals import spelled

__all__ = [
    "RUNNING",
    "layer_classes",
    "layer_paths",
    "named_tensors",
    "parameter_table",
    "tensor_type",
]

RUNNING = frozenset({"_mean", "_variance", "weight_u", "weight_v"})
"""Attributes that Paddle lists among the parameters and that are running statistics (batch norm, spectral norm)."""


def tensor_type(tensor: Any) -> TensorType:
    """Shape and dtype of an eager tensor."""
    return TensorType(tuple(int(extent) for extent in tensor.shape), spelled(tensor.dtype))


def _everywhere(layer: Any, path: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Every sublayer under every path, itself first."""
    if id(layer) in above:
        return
    yield path, layer
    for name, member in layer._sub_layers.items():
        if member is not None:
            yield from _everywhere(member, f"{path}.{name}" if path else name, (*above, id(layer)))


def layer_paths(model: paddle.nn.Layer) -> dict[int, str]:
    """First dotted path of each sublayer by id; "" is the model."""
    found: dict[int, str] = {}
    for path, layer in _everywhere(model, "", ()):
        found.setdefault(id(layer), path)
    return found


def layer_classes(model: paddle.nn.Layer) -> dict[str, str]:
    """Class name of each sublayer by its first path, in definition order."""
    seen: set[int] = set()
    found = {}
    for path, layer in _everywhere(model, "", ()):
        if id(layer) not in seen:
            seen.add(id(layer))
            found[path] = type(layer).__name__
    return found


def _occurrences(model: paddle.nn.Layer) -> Iterator[tuple[str, Any, bool]]:
    """(dotted name, tensor, whether a buffer by meaning) of every place that lists a tensor."""
    for path, layer in _everywhere(model, "", ()):
        for listed, buffers in ((layer._parameters, False), (layer._buffers, True)):
            for name, tensor in listed.items():
                if isinstance(tensor, internals.TENSOR):
                    yield (
                        f"{path}.{name}" if path else name,
                        tensor,
                        buffers or (name in RUNNING and bool(tensor.stop_gradient)),
                    )


def named_tensors(model: paddle.nn.Layer, *, buffers_only: bool = False) -> dict[str, Any]:
    """Parameters and buffers by first dotted name, each tensor once."""
    seen: set[int] = set()
    found = {}
    for name, tensor, buffer in _occurrences(model):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            if buffer or not buffers_only:
                found[name] = tensor
    return found


def parameter_table(model: paddle.nn.Layer) -> dict[str, ParameterInfo]:
    """Every parameter and buffer by its first name, with its other names."""
    first: dict[int, str] = {}
    facts: dict[str, tuple[Any, bool]] = {}
    others: dict[str, list[str]] = {}
    for name, tensor, buffer in _occurrences(model):
        known = first.setdefault(id(tensor), name)
        if known == name:
            facts[name] = tensor, buffer
        else:
            others.setdefault(known, []).append(name)
    return {
        name: ParameterInfo(
            name, tensor_type(tensor), tuple(others.get(name, ())), buffer, not tensor.stop_gradient
        )
        for name, (tensor, buffer) in facts.items()
    }
