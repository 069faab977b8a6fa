"""Hooks that stand on parameters: they see the total gradient, once, when it is accumulated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from padiff_graph.capture.torch.internals import hooks_of

__all__ = ["StandingHooks", "hooked_alone", "standing_hooks", "without_hooks"]


@dataclass(frozen=True)
class StandingHooks:
    """The hooks of one parameter, by their keys."""

    tensor: torch.Tensor
    hooks: dict[int, Any]


def standing_hooks(tensors: Iterable[torch.Tensor]) -> list[StandingHooks]:
    """The parameters that have hooks, at this moment."""
    hooked = [StandingHooks(tensor, dict(hooks_of(tensor))) for tensor in tensors]
    return [hooks for hooks in hooked if hooks.hooks or _afterwards(hooks.tensor)]


def _afterwards(tensor: torch.Tensor) -> bool:
    """Whether there are hooks that run once `.grad` is filled."""
    return bool(getattr(tensor, "_post_accumulate_grad_hooks", None))


def hooked_alone(tensor: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """What the hooks of a parameter that holds no numbers make of a gradient."""
    for hook in hooks_of(tensor).values():
        after = hook(gradient)
        gradient = gradient if after is None else after
    return gradient


@contextmanager
def without_hooks(standing: Sequence[StandingHooks]) -> Iterator[None]:
    """These hooks are not run inside; those that a forward has set since are."""
    for entry in standing:
        for key in entry.hooks:
            hooks_of(entry.tensor).pop(key, None)
    try:
        yield
    finally:
        for entry in standing:
            now = hooks_of(entry.tensor)
            later = dict(now)
            now.clear()
            now.update({**entry.hooks, **later})
