"""Random ATen operations rerun with a draw that is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from padiff_graph.capture import raw_draws
from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.torch.aten_schema import DTYPES, in_double

__all__ = ["drawn_results"]

Tensor: TypeAlias = torch.Tensor

DROPOUTS = ("dropout", "feature_dropout", "native_dropout")
"""Operators whose draw tells which elements of their operand are kept."""
ATTENTION = "scaled_dot_product_attention"
"""The operator whose draw tells which of its weights are kept."""


ALPHA = -1.7580993408473766
"""What an alpha dropout puts where it drops."""


def drawn_results(
    node: Node,
    operands: Sequence[Tensor | None],
    draw: Array,
    device: torch.device,
    double: bool,
) -> tuple[Tensor | None, ...]:
    """The node's results for a draw; see `padiff_graph.capture.torch.engine` for its shape.

    Raises:
        NotRunnable: where the operator cannot be handed its draw.
    """
    kind = node.outputs[0]
    if kind is None or "unshareable_random" in node.marks:
        raise NotRunnable(f"{node.op} cannot be handed its draw")
    name = node.op.split(".")[1].rstrip("_")
    if name == "alpha_dropout":
        return (_alpha_dropped(node, operands, draw, device),)
    if name in DROPOUTS or name == ATTENTION:
        rate = float(node.attrs["dropout_p" if name == ATTENTION else "p"])
        kept = torch.from_numpy(raw_draws.thrown(draw, 1.0 - rate)).to(device)
        if name == ATTENTION:
            return (_dropped_attention(node, operands, kept),)
        return _dropped(node, operands, kept)
    dtype = DTYPES[kind.dtype]
    if double:
        dtype = in_double(dtype)
    made = torch.from_numpy(np.array(_generated(name, node, operands, draw)))
    # what an in-place generator writes is a result too
    return (made.to(device, dtype).reshape(kind.shape),) * len(node.outputs)


def _generated(name: str, node: Node, operands: Sequence[Tensor | None], draw: Array) -> Array:
    """What a generator makes of raw numbers."""
    attrs = node.attrs
    if name.startswith("uniform"):
        low, high = float(attrs.get("from", 0.0)), float(attrs.get("to", 1.0))
        return raw_draws.ranged(draw, high - low, low)
    if name.startswith("normal"):
        if any(role in ("mean", "std") for role in node.roles):
            raise NotRunnable(f"{node.op} draws with tensors of means or deviations")
        return raw_draws.ranged(draw, float(attrs.get("std", 1.0)), float(attrs.get("mean", 0.0)))
    if name.startswith("randint"):
        return raw_draws.integers(draw, int(attrs.get("low", 0)), int(attrs["high"]))
    if name == "randperm":
        return raw_draws.permutation(draw)
    if name == "bernoulli":
        return _coin(attrs.get("p"), operands, draw)
    if name == "exponential":
        return raw_draws.exponential(draw) / float(attrs.get("lambd", 1.0))
    return draw


def _coin(rate: object, operands: Sequence[Tensor | None], draw: Array) -> Array:
    if isinstance(rate, (int, float)):
        return raw_draws.thrown(draw, float(rate))
    if not operands or operands[0] is None:
        raise NotRunnable("a coin without its probability")
    return raw_draws.coin(draw, operands[0].detach().cpu().double().numpy())


def _scale(p: float) -> float:
    """What is kept is scaled by this."""
    return 0.0 if p >= 1 else 1.0 / (1.0 - p)


def _dropped(node: Node, operands: Sequence[Tensor | None], keep: Tensor) -> tuple[Tensor, ...]:
    x = operands[0] if operands else None
    if x is None:
        raise NotRunnable(f"{node.op} lacks its operand")
    mask = keep.to(x.dtype)
    kept = x * mask * _scale(float(node.attrs["p"]))
    return (kept,) if len(node.outputs) == 1 else (kept, mask.bool())


def _alpha_dropped(
    node: Node, operands: Sequence[Tensor | None], draw: Array, device: torch.device
) -> Tensor:
    """An alpha dropout as torch's documentation defines it, what it keeps given."""
    x, rate = operands[0], float(node.attrs["p"])
    if x is None:
        raise NotRunnable(f"{node.op} lacks its operand")
    kept = torch.from_numpy(raw_draws.thrown(draw, 1.0 - rate)).to(device, x.dtype)
    scale = ((ALPHA**2 * rate + 1) * (1 - rate)) ** -0.5
    filled: Tensor = x * kept + ALPHA * (1 - kept)
    return scale * filled - scale * rate * ALPHA


def _dropped_attention(node: Node, operands: Sequence[Tensor | None], keep: Tensor) -> Tensor:
    """Attention as torch's documentation of it defines it, the keep mask over its weights given."""
    given = dict(zip(node.roles, operands, strict=True))
    query, key, value, mask = (given.get(role) for role in ("query", "key", "value", "attn_mask"))
    if query is None or key is None or value is None:
        raise NotRunnable(f"{node.op} lacks an operand")
    if node.attrs.get("enable_gqa"):
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scale = node.attrs.get("scale")
    if scale is None:
        scale = query.shape[-1] ** -0.5
    scores = query @ key.transpose(-2, -1) * scale
    if node.attrs.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif mask is not None:
        scores = scores + mask
    weights = scores.softmax(-1) * keep.to(scores.dtype).reshape(scores.shape)
    dropped: Tensor = (weights * _scale(float(node.attrs["dropout_p"]))) @ value
    return dropped
