"""Weights into the port as a loading script would put them, by name and without any tool."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import torch

from benchmarks.realbugs.case import Pair, Training

__all__ = ["example", "loaded", "pair", "random"]

STATISTICS = {"running_mean": "_mean", "running_var": "_variance"}
"""torch's names of a norm's buffers -> Paddle's."""


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Any:
    """Standard normal numbers, the same at every call."""
    return (np.random.RandomState(seed).standard_normal(shape) * scale).astype("float32")


def example(arrays: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays as tensors of both frameworks."""
    ours = {name: paddle.to_tensor(array) for name, array in arrays.items()}
    theirs = {name: torch.as_tensor(np.array(array)) for name, array in arrays.items()}
    return ours, theirs


def loaded(layer: Any, module: Any) -> Any:
    """The layer with what the module's checkpoint holds under the same names; Linears transposed.

    Raises:
        KeyError: for a parameter that the module lacks.
    """
    linears = {
        f"{path}.weight"
        for path, sub in layer.named_sublayers()
        if isinstance(sub, paddle.nn.Linear)
    }
    held = {}
    for name, tensor in module.state_dict().items():
        owner, _, last = name.rpartition(".")
        held[f"{owner}.{STATISTICS.get(last, last)}".lstrip(".")] = tensor
    for name, parameter in layer.named_parameters():
        value = held[name].numpy()
        parameter.set_value(np.ascontiguousarray(value.T if name in linears else value))
    for name, buffer in layer.named_buffers():
        if name in held:
            buffer.set_value(held[name].numpy())
    return layer


def pair(
    layer: Any,
    module: Any,
    arrays: dict[str, Any],
    training: Training | None = None,
    copied: bool = True,
    training_mode: bool = False,
) -> Pair:
    """The pair with the module's weights in the layer, both in one mode."""
    loaded(layer, module)
    (layer.train if training_mode else layer.eval)()
    module.train(training_mode)
    return Pair(layer, module, arrays, training, copied)
