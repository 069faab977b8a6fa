"""The small models in torch: a decoder (norms before) and an encoder (norms behind)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.realbugs.parts.sizes import HEAD, HEADS, WIDTH, WORDS, causal

__all__ = ["Attention", "Block", "Decoder", "Encoder", "Mlp", "RmsNorm", "spread"]

EMBEDDED = 0.1
"""The spread of word vectors; large models start at 0.02."""


def spread(module: nn.Module) -> nn.Module:
    """Scales and shifts away from one and zero, as training leaves them."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * (0.2 if "bias" in name else 0.1))
    return module


class RmsNorm(nn.Module):
    """Statistics in float32, cast back before the weight."""

    def __init__(self, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.epsilon = epsilon

    def forward(self, x: Any) -> Any:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * wide.to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention; `turned` is where a rotary embedding goes."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.k = nn.Linear(WIDTH, WIDTH, bias=False)
        self.v = nn.Linear(WIDTH, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.scale = HEAD**-0.5

    def split(self, x: Any) -> Any:
        return x.reshape(x.shape[0], x.shape[1], HEADS, HEAD).transpose(1, 2)

    def turned(self, x: Any) -> Any:
        return x

    def hidden(self, x: Any, mask: Any) -> Any:
        """What is added to the scores."""
        return torch.from_numpy(causal(x.shape[1])).to(x.dtype) if mask is None else mask

    def weights(self, scores: Any) -> Any:
        return F.softmax(scores, dim=-1)

    def forward(self, x: Any, mask: Any = None) -> Any:
        q, k = self.turned(self.split(self.q(x))), self.turned(self.split(self.k(x)))
        scores = q @ k.transpose(-1, -2) * self.scale + self.hidden(x, mask)
        mixed = self.weights(scores) @ self.split(self.v(x))
        return self.out(mixed.transpose(1, 2).reshape(x.shape))


class Mlp(nn.Module):
    def __init__(self, act: Callable[[Any], Any] = F.silu) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)
        self.act = act

    def forward(self, x: Any) -> Any:
        return self.down(self.act(self.up(x)))


class Block(nn.Module):
    def __init__(self, norm: Any, attention: Any, mlp: Any, behind: bool = False) -> None:
        super().__init__()
        self.norm1, self.attention = norm(), attention()
        self.norm2, self.mlp = norm(), mlp()
        self.behind = behind

    def forward(self, x: Any, mask: Any = None) -> Any:
        if self.behind:
            x = self.norm1(x + self.attention(x, mask))
            return self.norm2(x + self.mlp(x))
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """Embedding, blocks with norms before, a last norm, a head."""

    def __init__(
        self, norm: Any = RmsNorm, attention: Any = Attention, mlp: Any = Mlp, depth: int = 2
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.ModuleList([Block(norm, attention, mlp) for _ in range(depth)])
        self.norm = norm()
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        spread(self)
        self.embed.weight.data.mul_(EMBEDDED)

    def embedded(self, ids: Any) -> Any:
        return self.embed(ids)

    def logits(self, x: Any) -> Any:
        return self.head(x)

    def forward(self, ids: Any, mask: Any = None) -> Any:
        x = self.embedded(ids)
        for block in self.blocks:
            x = block(x, mask)
        return self.logits(self.norm(x))


class Encoder(nn.Module):
    """Embedding with its norm, blocks with norms behind, a head."""

    def __init__(
        self, norm: Any, first: Any = None, attention: Any = Attention, mlp: Any = Mlp
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.norm = (first or norm)()
        self.blocks = nn.ModuleList([Block(norm, attention, mlp, True) for _ in range(2)])
        self.head = nn.Linear(WIDTH, 3)
        spread(self)

    def forward(self, ids: Any, mask: Any = None) -> Any:
        x = self.norm(self.embed(ids))
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)
