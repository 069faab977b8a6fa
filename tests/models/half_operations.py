"""Operations by which the emulation of half precision is held against torch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["OPERATIONS", "Calls"]

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x + x.flip(-1) * 0.3,
    "multiply": lambda x: x * x.flip(0),
    "divide": lambda x: x / (x.abs() + 1),
    "matmul": lambda x: x @ x.T,
    "sum": lambda x: x.sum(-1),
    "mean": lambda x: x.mean(0),
    "variance": lambda x: x.var(-1),
    "softmax": lambda x: torch.softmax(x, -1),
    "log softmax": lambda x: torch.log_softmax(x, -1),
    "layer norm": lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]),
    "rms norm": lambda x: torch.nn.functional.rms_norm(x, x.shape[-1:], eps=1e-6),
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exponential": torch.exp,
    "power": lambda x: x.pow(2),
    "inverse root": lambda x: torch.rsqrt(x.abs() + 1),
    "sine": torch.sin,
    "upcast": lambda x: (x.float().pow(2).mean(-1, keepdim=True) + 1e-6).to(x.dtype),
    "promoted": lambda x: x * x.float().mean(),
    "clamp": lambda x: x.clamp(-0.7, 0.7),
}
"""An operation or a few, by what they are called."""


class Calls(torch.nn.Module):
    """A model of one of them."""

    def __init__(self, operation: Callable[[Any], Any]) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: Any) -> Any:
        """The operation."""
        return self.operation(x)
