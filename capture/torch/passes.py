"""Backward passes noted while a context lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from padiff_graph.capture.abilities import WatchedPass
from padiff_graph.capture.noted_runs import noting_runs, weighted_sum
from padiff_graph.capture.torch.values import array, is_tensor

__all__ = ["noting_passes"]

Gradients = Callable[[], Mapping[str, np.ndarray[Any, Any]]]


@contextmanager
def noting_passes(
    model: torch.nn.Module, gradients: Gradients, note: Callable[[WatchedPass], None]
) -> Iterator[None]:
    """Notes each call of `torch.autograd.backward`, which `Tensor.backward` goes through too; it is
    as it was afterwards.

    Args:
        model: whose runs and gradients are noted.
        gradients: what stands in its parameters.
        note: is handed each pass.
    """
    original = torch.autograd.backward
    with noting_runs(model, is_tensor, array, lambda: _autocast(model)) as runs:

        def noted(tensors: Any, grad_tensors: Any = None, *more: Any, **named: Any) -> Any:
            loss = _differentiated(tensors, grad_tensors)
            result = original(tensors, grad_tensors, *more, **named)
            note(runs.differentiated(loss, gradients()))
            return result

        torch.autograd.backward = noted
        try:
            yield
        finally:
            torch.autograd.backward = original


def _autocast(model: torch.nn.Module) -> str:
    """The half precision of an autocast that is on where the model is."""
    device = next((parameter.device.type for parameter in model.parameters()), "cpu")
    if not torch.is_autocast_enabled(device):
        return ""
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.")


def _differentiated(tensors: Any, weights: Any) -> float:
    """The one number that a backward is of: what is handed to it, weighted."""
    given: Sequence[Any] = [tensors] if is_tensor(tensors) else tensors
    factors = [weights] if weights is None or is_tensor(weights) else weights
    return weighted_sum(given, factors, array)
