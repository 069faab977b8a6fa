"""Rerunning one captured ATen operation: out of place, in the node's own words, with a given draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.torch import effects
from padiff_graph.capture.torch.aliases import WITH_VALUE
from padiff_graph.capture.torch.aten_schema import DTYPES, call, find_overload, mutated

__all__ = ["run_node"]

Tensor: TypeAlias = torch.Tensor
Results: TypeAlias = "tuple[Tensor | None, ...]"


class _Hooked(torch.autograd.Function):  # type: ignore[misc]
    """Identity whose gradient goes through a hook, as `Tensor.register_hook` does it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, hook: Any) -> Tensor:
        ctx.hook = hook
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, None]:
        changed = ctx.hook(gradients[0])
        return (gradients[0] if changed is None else changed), None


class _WithValue(torch.autograd.Function):  # type: ignore[misc]
    """The numbers of `value` with the gradient of `base`."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def run_node(
    node: Node,
    operands: Sequence[Tensor | None],
    device: torch.device,
    *,
    double: bool = False,
    draw: Array | None = None,
    recorded: effects.Effects | None = None,
    live: dict[int, Any] | None = None,
) -> Results:
    """Runs a node on operands and returns its results in the order of `node.outputs`.

    Args:
        node: the operation.
        operands: in the order of `node.inputs`.
        device: where tensors made from nothing are put.
        double: answer dtype attributes of float32 in float64.
        draw: what a random operation shall have drawn.
        recorded: hooks and functions registered during the capture.
        live: bookkeeping of module backward hooks between their two nodes.

    Raises:
        NotRunnable: where torch cannot run the node by itself.
    """
    if any(operand is not None and operand.is_meta for operand in operands):
        raise NotRunnable(f"{node.op} has operands on the meta device, which hold no numbers")
    special = SPECIAL.get(node.op)
    if draw is not None:
        return _drawn(node, operands, draw, device, double)
    if node.op in effects.EFFECTS:
        return _effect(node, operands, recorded, live if live is not None else {})
    if node.op == WITH_VALUE:
        return (_WithValue.apply(*operands),)
    try:
        overload = find_overload(node.op)
    except KeyError as error:
        raise NotRunnable(str(error)) from None
    attrs = dict(node.attrs)
    autocast = attrs.pop("autocast", None)
    if special is not None:
        return special(node, overload, operands, attrs, device, double)
    written = mutated(overload)
    given = [
        operand.clone() if operand is not None and role.partition("[")[0] in written else operand
        for operand, role in zip(operands, node.roles, strict=True)
    ]
    with torch.autocast(autocast[0], DTYPES[autocast[1]]) if autocast else nullcontext():
        result = call(overload, given, node.roles, attrs, device, double)
    results = _flat(result)
    if written and len(results) < len(node.outputs):
        results += [
            operand
            for operand, role in zip(given, node.roles, strict=True)
            if operand is not None and role.partition("[")[0] in written
        ]
    return tuple(results)


def _flat(result: Any) -> list[Tensor | None]:
    if isinstance(result, (list, tuple)):
        return [leaf for member in result for leaf in _flat(member)]
    return [result if isinstance(result, torch.Tensor) else None]


def _statistics(
    node: Node,
    overload: Any,
    operands: Sequence[Tensor | None],
    attrs: Mapping[str, Any],
    device: torch.device,
    double: bool,
) -> Results:
    """Normalisations that write their running statistics: these come back as further results."""
    given = [
        operand.detach().clone() if operand is not None and role.startswith("running_") else operand
        for operand, role in zip(operands, node.roles, strict=True)
    ]
    results = _flat(call(overload, given, node.roles, attrs, device, double))
    moved = [
        operand
        for operand, role in zip(given, node.roles, strict=True)
        if operand is not None and role in ("running_mean", "running_var")
    ]
    return tuple(results + moved[: len(node.outputs) - len(results)])


def _attention(
    node: Node,
    overload: Any,
    operands: Sequence[Tensor | None],
    attrs: Mapping[str, Any],
    device: torch.device,
    double: bool,
) -> Results:
    """A mask comes in float64 together with the rest only if it is floating, as torch asks."""
    query = operands[0]
    given = [
        operand.to(query.dtype)
        if operand is not None
        and query is not None
        and role == "attn_mask"
        and operand.is_floating_point()
        else operand
        for operand, role in zip(operands, node.roles, strict=True)
    ]
    return tuple(_flat(call(overload, given, node.roles, attrs, device, double)))


SPECIAL: dict[
    str,
    Callable[[Node, Any, Sequence[Tensor | None], Mapping[str, Any], torch.device, bool], Results],
] = {
    "aten.batch_norm.default": _statistics,
    "aten.native_batch_norm.default": _statistics,
    "aten.instance_norm.default": _statistics,
    "aten.cudnn_batch_norm.default": _statistics,
    "aten.miopen_batch_norm.default": _statistics,
    "aten.scaled_dot_product_attention.default": _attention,
}
"""Operators whose plain call is not the node's meaning."""


def _effect(
    node: Node,
    operands: Sequence[Tensor | None],
    recorded: effects.Effects | None,
    live: dict[int, Any],
) -> Results:
    token = node.attrs["token"]
    if recorded is None:
        raise NotRunnable(
            f"{node.op} needs what the capture registered, and the graph was loaded from a file; capture it again"
        )
    entry = recorded.entries[token]
    if node.op == effects.GRADIENT_HOOK:
        (x,) = operands
        return (_Hooked.apply(x, entry) if x is not None and x.requires_grad else x,)
    if node.op == effects.CUSTOM_FUNCTION:
        return tuple(entry.apply(operands))
    tensors = tuple(operands)
    if node.op == effects.MODULE_BACKWARD[0]:
        live[token] = entry.fresh()
        return tuple(live[token].setup_input_hook(tensors))
    keeper = live.pop(token, None) or entry.fresh()
    return tuple(keeper.setup_output_hook(tensors))


def _dropped_attention(node: Node, operands: Sequence[Tensor | None], keep: Tensor) -> Tensor:
    """Attention as torch defines it, with the keep mask over its weights handed in."""
    given = dict(zip(node.roles, operands, strict=True))
    query, key, value, mask = (given.get(role) for role in ("query", "key", "value", "attn_mask"))
    if query is None or key is None or value is None:
        raise NotRunnable(f"{node.op} lacks an operand")
    if node.attrs.get("enable_gqa"):
        key, value = (
            one.repeat_interleave(query.shape[-3] // one.shape[-3], -3) for one in (key, value)
        )
    scale = node.attrs.get("scale")
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if node.attrs.get("is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = (
            scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        )
    weights = scores.softmax(-1) * keep.to(scores.dtype).reshape(scores.shape)
    p = float(node.attrs["dropout_p"])
    dropped: Tensor = (weights * (0.0 if p >= 1 else 1.0 / (1.0 - p))) @ value
    return dropped


def _drawn(
    node: Node, operands: Sequence[Tensor | None], draw: Array, device: torch.device, double: bool
) -> Results:
    """The node's result for a draw that is handed in."""
    name = node.op.split(".")[1].rstrip("_")
    kind = node.outputs[0]
    x = operands[0] if operands else None
    if kind is None or "unshareable_random" in node.marks:
        raise NotRunnable(f"{node.op} cannot be handed its draw")
    drawn = torch.from_numpy(np.array(draw, copy=True)).to(device)
    if name in ("dropout", "feature_dropout", "native_dropout"):
        if x is None:
            raise NotRunnable(f"{node.op} lacks its operand")
        p = float(node.attrs["p"])
        mask = drawn.to(x.dtype)
        kept = x * mask * (0.0 if p >= 1 else 1.0 / (1.0 - p))
        return (kept,) if len(node.outputs) == 1 else (kept, mask.bool())
    if name == "scaled_dot_product_attention":
        return (_dropped_attention(node, operands, drawn),)
    dtype = DTYPES[kind.dtype]
    if double and dtype.is_floating_point:
        dtype = torch.float64
    return (drawn.to(dtype).reshape(kind.shape),)
