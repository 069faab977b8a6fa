"""Small decoders in both frameworks, each with the casts that a plant leaves out or misplaces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle
import torch

WIDTH, HEADS, LENGTH, EXPERTS = 32, 4, 6, 4
PLANTS = {
    "norm in low": ("precision.computed", "norm"),
    "weight before the cast": ("precision.weight", "norm"),
    "layer norm in low": ("precision.computed", "last"),
    "softmax in low": ("precision.computed", "attention"),
    "rotary in low": ("precision.computed", "attention"),
    "router in low": ("precision.computed", "router"),
    "residual in float32": ("precision.computed", ""),
    "normaliser rounded": ("precision.constant", ""),
    "mask out of range": ("precision.range", "attention"),
    "sum in low": ("precision.computed", ""),
    "logits in low": ("precision.output", ""),
}
"""What is planted in the Paddle model -> the kind of cause and the module that must be told."""
SCALE = math.sqrt(WIDTH) * 1.01
"""A normaliser that bfloat16 cannot hold."""


def rotary_angles() -> np.ndarray[Any, Any]:
    """Angles of every position and half feature, as the inverse frequencies by position."""
    half = WIDTH // HEADS // 2
    return (1.0 / 10000.0 ** (np.arange(half) / half)).astype("float32")


def mask(least: float) -> np.ndarray[Any, Any]:
    """The causal mask."""
    upper = np.triu(np.ones((LENGTH, LENGTH)), 1)
    return np.where(upper > 0, least, 0.0).astype("float32")


class TorchNorm(torch.nn.Module):
    """RMSNorm with its statistics in float32, cast before the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Any) -> Any:
        wide = x.to(torch.float32)
        variance = wide.pow(2).mean(-1, keepdim=True)
        return self.weight * (wide * torch.rsqrt(variance + 1e-6)).to(x.dtype)


class PaddleNorm(paddle.nn.Layer):
    """Its port."""

    def __init__(self, plant: str) -> None:
        super().__init__()
        self.weight = self.create_parameter([WIDTH])
        self.plant = plant

    def forward(self, x: Any) -> Any:
        wide = x if self.plant == "norm in low" else x.astype("float32")
        variance = wide.pow(2).mean(-1, keepdim=True)
        scaled = wide * paddle.rsqrt(variance + 1e-6)
        if self.plant == "weight before the cast":
            return (self.weight * scaled).astype(x.dtype)
        return self.weight * scaled.astype(x.dtype)


class TorchLayerNorm(torch.nn.Module):
    """LayerNorm spelled out in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(WIDTH) + 0.5)
        self.bias = torch.nn.Parameter(torch.rand(WIDTH))

    def forward(self, x: Any) -> Any:
        wide = x.to(torch.float32)
        centred = wide - wide.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        scaled = centred / torch.sqrt(variance + 1e-5)
        return self.weight * scaled.to(x.dtype) + self.bias


class PaddleLayerNorm(paddle.nn.Layer):
    """Its port."""

    def __init__(self, plant: str) -> None:
        super().__init__()
        self.weight = self.create_parameter([WIDTH])
        self.bias = self.create_parameter([WIDTH], is_bias=True)
        self.plant = plant

    def forward(self, x: Any) -> Any:
        wide = x if self.plant == "layer norm in low" else x.astype("float32")
        centred = wide - wide.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        scaled = centred / paddle.sqrt(variance + 1e-5)
        return self.weight * scaled.astype(x.dtype) + self.bias


class TorchAttention(torch.nn.Module):
    """Attention with rotary embedding, mask and softmax in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.query = torch.nn.Linear(WIDTH, WIDTH)
        self.key = torch.nn.Linear(WIDTH, WIDTH)
        self.value = torch.nn.Linear(WIDTH, WIDTH)

    def _heads(self, x: Any) -> Any:
        return x.reshape(-1, LENGTH, HEADS, WIDTH // HEADS).transpose(1, 2)

    def _rotated(self, x: Any, positions: Any, frequencies: Any) -> Any:
        angles = positions.to(torch.float32).unsqueeze(-1) * frequencies.to(torch.float32)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x[..., : WIDTH // HEADS // 2], x[..., WIDTH // HEADS // 2 :]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def forward(self, x: Any, positions: Any, frequencies: Any) -> Any:
        query = self._rotated(self._heads(self.query(x)), positions, frequencies)
        key = self._rotated(self._heads(self.key(x)), positions, frequencies)
        scores = (query @ key.transpose(-1, -2)).to(torch.float32)
        scores = scores * 0.37 + torch.from_numpy(mask(-1e4))
        weights = torch.softmax(scores, -1).to(x.dtype)
        return (weights @ self._heads(self.value(x))).transpose(1, 2).reshape(-1, LENGTH, WIDTH)


class PaddleAttention(paddle.nn.Layer):
    """Its port."""

    def __init__(self, plant: str) -> None:
        super().__init__()
        self.query = paddle.nn.Linear(WIDTH, WIDTH)
        self.key = paddle.nn.Linear(WIDTH, WIDTH)
        self.value = paddle.nn.Linear(WIDTH, WIDTH)
        self.plant = plant

    def _heads(self, x: Any) -> Any:
        return x.reshape([-1, LENGTH, HEADS, WIDTH // HEADS]).transpose([0, 2, 1, 3])

    def _rotated(self, x: Any, positions: Any, frequencies: Any) -> Any:
        wide = x.dtype if self.plant == "rotary in low" else "float32"
        angles = positions.astype(wide).unsqueeze(-1) * frequencies.astype(wide)
        cos, sin = angles.cos().astype(x.dtype), angles.sin().astype(x.dtype)
        first, second = x[..., : WIDTH // HEADS // 2], x[..., WIDTH // HEADS // 2 :]
        return paddle.concat([first * cos - second * sin, second * cos + first * sin], -1)

    def forward(self, x: Any, positions: Any, frequencies: Any) -> Any:
        query = self._rotated(self._heads(self.query(x)), positions, frequencies)
        key = self._rotated(self._heads(self.key(x)), positions, frequencies)
        wide = x.dtype if self.plant == "softmax in low" else "float32"
        scores = (query @ key.transpose([0, 1, 3, 2])).astype(wide)
        least = paddle.to_tensor(mask(-1e4)).astype(wide)
        if self.plant == "mask out of range":
            least = paddle.to_tensor(mask(-1e5)).astype(x.dtype).astype(wide)
        weights = paddle.nn.functional.softmax(scores * 0.37 + least, -1).astype(x.dtype)
        mixed = weights @ self._heads(self.value(x))
        return mixed.transpose([0, 2, 1, 3]).reshape([-1, LENGTH, WIDTH])


class TorchRouter(torch.nn.Module):
    """Experts' shares in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = torch.nn.Linear(WIDTH, EXPERTS)

    def forward(self, x: Any) -> Any:
        logits = self.gate(x).to(torch.float32)
        return torch.softmax(logits * 1.7, -1).to(x.dtype)


class PaddleRouter(paddle.nn.Layer):
    """Its port."""

    def __init__(self, plant: str) -> None:
        super().__init__()
        self.gate = paddle.nn.Linear(WIDTH, EXPERTS)
        self.plant = plant

    def forward(self, x: Any) -> Any:
        logits = self.gate(x)
        if self.plant != "router in low":
            logits = logits.astype("float32")
        return paddle.nn.functional.softmax(logits * 1.7, -1).astype(x.dtype)


class TorchDecoder(torch.nn.Module):
    """One block, its mixture summed in float32, logits scaled in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attention = TorchNorm(), TorchAttention()
        self.router, self.last = TorchRouter(), TorchLayerNorm()
        self.experts = torch.nn.ModuleList([torch.nn.Linear(WIDTH, WIDTH) for _ in range(EXPERTS)])
        self.head = torch.nn.Linear(WIDTH, 10)

    def forward(self, x: Any, positions: Any, frequencies: Any) -> Any:
        x = x * SCALE
        x = x + self.attention(self.norm(x), positions, frequencies)
        shares = self.router(x)
        mixed = [self.experts[i](x) * shares[..., i : i + 1] for i in range(EXPERTS)]
        total = mixed[0].to(torch.float32)
        for term in mixed[1:]:
            total = total + term.to(torch.float32)
        x = self.last(torch.tanh(total.to(x.dtype)) + x)
        return self.head(x).to(torch.float32) * 0.83


class PaddleDecoder(paddle.nn.Layer):
    """Its port."""

    def __init__(self, plant: str = "") -> None:
        super().__init__()
        self.norm, self.attention = PaddleNorm(plant), PaddleAttention(plant)
        self.router, self.last = PaddleRouter(plant), PaddleLayerNorm(plant)
        self.experts = paddle.nn.LayerList([paddle.nn.Linear(WIDTH, WIDTH) for _ in range(EXPERTS)])
        self.head = paddle.nn.Linear(WIDTH, 10)
        self.plant = plant

    def forward(self, x: Any, positions: Any, frequencies: Any) -> Any:
        if self.plant == "normaliser rounded":
            x = x * paddle.full([1], SCALE, "float32").astype(x.dtype)
        else:
            x = x * SCALE
        mixed = self.attention(self.norm(x), positions, frequencies)
        if self.plant == "residual in float32":
            x = (x.astype("float32") + mixed.astype("float32")) * 1.0
            x = self._behind(x, "float32")
        else:
            x = self._behind(x + mixed, x.dtype)
        wide = x.dtype if self.plant == "logits in low" else "float32"
        return self.head(x).astype(wide) * 0.83

    def _behind(self, x: Any, held: Any) -> Any:
        low = self.head.weight.dtype
        shares = self.router(x.astype(low))
        mixed = [self.experts[i](x.astype(low)) * shares[..., i : i + 1] for i in range(EXPERTS)]
        wide = low if self.plant == "sum in low" else "float32"
        total = mixed[0].astype(wide)
        for term in mixed[1:]:
            total = total + term.astype(wide)
        return self.last((paddle.tanh(total.astype(low)).astype(held) + x).astype(low))


def half_pair(plant: str = "") -> Any:
    """Both models and their example."""
    torch.manual_seed(0)
    paddle.seed(0)
    draws = np.random.default_rng(0)
    given = {
        "x": draws.standard_normal((2, LENGTH, WIDTH)).astype("float32"),
        "positions": np.arange(100, 100 + LENGTH, dtype="int64"),
        "frequencies": rotary_angles(),
    }
    first = {name: paddle.to_tensor(array) for name, array in given.items()}
    second = {name: torch.from_numpy(array) for name, array in given.items()}
    return PaddleDecoder(plant), TorchDecoder(), (first, second)
