"""Random ATen operations rerun with a draw that is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.torch.aten_schema import DTYPES

__all__ = ["drawn_results"]

Tensor: TypeAlias = torch.Tensor

DROPOUTS = ("dropout", "feature_dropout", "native_dropout")
"""Operators whose draw is the keep mask of their operand."""


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
    drawn = torch.from_numpy(np.array(draw, copy=True)).to(device)
    if name in DROPOUTS:
        return _dropped(node, operands, drawn)
    if name == "scaled_dot_product_attention":
        return (_dropped_attention(node, operands, drawn),)
    dtype = DTYPES[kind.dtype]
    if double and dtype.is_floating_point:
        dtype = torch.float64
    return (drawn.to(dtype).reshape(kind.shape),)


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
