"""Losses as the user hands them in: a pair of callables of the model's output."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from padiff_graph.capture.backend import framework_of
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.request.inputs import side_names

__all__ = ["check_loss", "check_losses"]

Loss = Callable[[Any], Any]
SHAPE = (
    "loss_fn is a pair [paddle_loss, torch_loss] of callables of exactly one argument, "
    "the model's output"
)
MODULE_CALLS = ("_dygraph_call_func", "_call_impl")
"""By these, a Paddle Layer and a torch Module take any arguments and hand them to forward."""


def check_losses(loss_fn: Any, frameworks: tuple[str, str]) -> tuple[Loss | None, Loss | None]:
    """Takes `loss_fn` apart into each model's loss, (None, None) where there is none.

    Raises:
        UsageTypeError, UsageError: where it is no pair of callables of one argument, or swapped.
    """
    if loss_fn is None:
        return None, None
    if not isinstance(loss_fn, (list, tuple)):
        raise UsageTypeError(f"{SHAPE}; found {type(loss_fn).__qualname__}")
    if len(loss_fn) != 2:
        raise UsageError(f"{SHAPE}; found {len(loss_fn)} members")
    for side, loss in zip(side_names(frameworks), loss_fn, strict=True):
        if isinstance(loss, type) or not callable(loss):
            raise UsageTypeError(f"{SHAPE}; the {side} side's is {loss!r}, which is no function")
        _check_one_argument(side, loss)
    if frameworks[0] != frameworks[1]:
        for side, loss, framework in zip(frameworks, loss_fn, frameworks, strict=True):
            _check_framework(side, loss, framework)
    return loss_fn[0], loss_fn[1]


def check_loss(loss: Any) -> None:
    """Holds the loss of one model to be a callable of its output.

    Raises:
        UsageTypeError, UsageError: it is none.
    """
    if isinstance(loss, type) or not callable(loss):
        raise UsageTypeError(
            f"loss is a callable of the model's output; found {type(loss).__qualname__}"
        )
    _check_one_argument("recorded", loss)


def _check_one_argument(side: str, loss: Loss) -> None:
    called: Any = loss
    if any(getattr(loss, name, None) is not None for name in MODULE_CALLS):
        called = getattr(loss, "forward", loss)
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return  # a function of C has none
    try:
        signature.bind(object())
    except TypeError as error:
        raise UsageError(f"{SHAPE}; the {side} side's takes {signature}: {error}") from None


def _check_framework(side: str, loss: Loss, framework: str) -> None:
    """A loss that is a module belongs to one framework; a function may belong to any."""
    try:
        own = framework_of(loss)
    except TypeError:
        return
    if own != framework:
        raise UsageTypeError(
            f"{SHAPE}; the {side} side's is a {own} loss for a {framework} model; swap the two"
        )
