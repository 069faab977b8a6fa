"""Small models of one call between two layers, for looking at it in half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import torch

import padiff_graph as pg
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.precision.lens import Seen, look

__all__ = ["LENGTH", "WIDTH", "seen_of"]

LENGTH, WIDTH = 6, 16
SPEEDS = (1.0 / (np.arange(WIDTH) + 1.3)).astype("float32")
"""A buffer of the last layer, which half precision rounds."""
Call = Callable[[Any, Any], Any]


class _TorchCall(torch.nn.Module):
    def __init__(self, call: Call) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.last.register_buffer("speeds", torch.from_numpy(SPEEDS))
        self.call = call

    def forward(self, x: Any) -> Any:
        return self.call(self.first(x), self.last)


class _PaddleCall(paddle.nn.Layer):
    def __init__(self, call: Call) -> None:
        super().__init__()
        self.first, self.last = paddle.nn.Linear(WIDTH, WIDTH), paddle.nn.Linear(WIDTH, WIDTH)
        self.last.register_buffer("speeds", paddle.to_tensor(SPEEDS))
        self.__dict__["call"] = call

    def forward(self, x: Any) -> Any:
        return self.__dict__["call"](self.first(x), self.last)


def seen_of(paddle_call: Call, torch_call: Call, precision: str = "bfloat16") -> Seen:
    """Two calls looked at: each of what a linear layer yields and of the layer behind it."""
    torch.manual_seed(0)
    layer, module = _PaddleCall(paddle_call), _TorchCall(torch_call)
    numbers = np.random.RandomState(0).standard_normal((2, LENGTH, WIDTH)).astype("float32")
    examples = ({"x": paddle.to_tensor(numbers)}, {"x": torch.tensor(numbers)})
    pg.assign_weight(layer, module, example_inp=examples)
    resolved = LayerMap().resolve(layer, module)
    return look((layer, module), examples, precision, resolved, ("paddle", "torch"))
