"""A model that returns a loss beside what it returned, so that both are captured as one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

__all__ = ["LOSS", "returned_name", "returning_loss"]

RESULT = "result"
"""What stands before the names of the model's own outputs."""
LOSS = "loss_fn"
"""The name of the loss among the outputs."""
SINGLE = "output"
"""What a single tensor is called where it is all that is returned (`capture/leaf_names.py`)."""


def returning_loss(model: Any, loss: Callable[[Any], Any]) -> None:
    """Lets a model of ours return both.

    Args:
        model: of either framework.
        loss: of what the model returns.
    """
    forward = model.forward
    known = inspect.signature(forward).parameters

    def with_loss(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        return {RESULT: result, LOSS: loss(result)}

    # a method of its own, which wraps nothing: Paddle's tracer looks for what stands behind one
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    with_loss.__signature__ = inspect.Signature([own, *known.values()])  # type: ignore[attr-defined]
    model.forward = MethodType(with_loss, model)


def returned_name(name: str) -> str:
    """What the model alone calls an output."""
    return SINGLE if name == RESULT else name.removeprefix(f"{RESULT}.")
