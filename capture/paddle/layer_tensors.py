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
    "nesting",
    "parameter_table",
    "tensor_type",
]

RUNNING = frozenset({"_mean", "_variance", "weight_u", "weight_v"})
"""Attributes listed among the parameters that are running statistics (batch, spectral norm)."""


def tensor_type(tensor: Any) -> TensorType:
    """Shape and dtype of an eager tensor."""
    return TensorType(tuple(int(extent) for extent in tensor.shape), spelled(tensor.dtype))


def _everywhere(model: Any) -> Iterator[tuple[str, Any, int]]:
    """Every sublayer under every path, itself first: (path, layer, how many layers are around
    it)."""
    todo: list[tuple[str, Any, frozenset[int]]] = [("", model, frozenset())]
    while todo:
        path, layer, around = todo.pop()
        if id(layer) in around:
            continue
        yield path, layer, len(around)
        members = [
            (_joined(path, name), member, around | {id(layer)})
            for name, member in layer._sub_layers.items()
            if member is not None
        ]
        todo += reversed(members)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def nesting(model: paddle.nn.Layer) -> int:
    """How many levels deep the sublayers stand."""
    return max(around for _, _, around in _everywhere(model))


def layer_paths(model: paddle.nn.Layer) -> dict[int, str]:
    """First dotted path of each sublayer by id; "" is the model."""
    paths: dict[int, str] = {}
    for path, layer, _ in _everywhere(model):
        paths.setdefault(id(layer), path)
    return paths


def layer_classes(model: paddle.nn.Layer) -> dict[str, str]:
    """Class name of each sublayer by its first path, in definition order."""
    seen: set[int] = set()
    classes = {}
    for path, layer, _ in _everywhere(model):
        if id(layer) not in seen:
            seen.add(id(layer))
            classes[path] = type(layer).__name__
    return classes


def _occurrences(model: paddle.nn.Layer) -> Iterator[tuple[str, Any, bool]]:
    """(dotted name, tensor, whether a buffer by meaning) of every place that lists a tensor."""
    for path, layer, _ in _everywhere(model):
        for name, tensor in layer._parameters.items():
            if isinstance(tensor, internals.TENSOR):
                running = name in RUNNING and bool(tensor.stop_gradient)
                yield _joined(path, name), tensor, running
        for name, tensor in layer._buffers.items():
            if isinstance(tensor, internals.TENSOR):
                yield _joined(path, name), tensor, True


def named_tensors(model: paddle.nn.Layer, *, buffers_only: bool = False) -> dict[str, Any]:
    """Parameters and buffers by first dotted name, each tensor once."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor, buffer in _occurrences(model):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            if buffer or not buffers_only:
                tensors[name] = tensor
    return tensors


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
