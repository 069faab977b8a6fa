"""autograd functions that stand for what only the backward sees, when a captured node is rerun."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

__all__ = ["Hooked", "WithValue"]

Tensor: TypeAlias = torch.Tensor


class Hooked(torch.autograd.Function):  # type: ignore[misc]
    """Identity whose gradient goes through a hook, as `Tensor.register_hook` does it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, hook: Any) -> Tensor:
        """(tensor, hook)."""
        ctx.hook = hook
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, None]:
        """The hook's answer; the gradient itself where it answers None."""
        changed = ctx.hook(gradients[0])
        return (gradients[0] if changed is None else changed), None


class WithValue(torch.autograd.Function):  # type: ignore[misc]
    """The numbers of `value` with the gradient of `base`."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, value: Tensor) -> Tensor:
        """(base, value)."""
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient, to `base`."""
        return gradients[0], None
