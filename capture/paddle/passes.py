"""Backward passes noted while a context lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle

from padiff_graph.capture.abilities import WatchedPass
from padiff_graph.capture.noted_runs import noting_runs, weighted_sum
from padiff_graph.capture.paddle.values import array, is_tensor

__all__ = ["noting_passes"]

Gradients = Callable[[], Mapping[str, np.ndarray[Any, Any]]]


@contextmanager
def noting_passes(
    model: paddle.nn.Layer, gradients: Gradients, note: Callable[[WatchedPass], None]
) -> Iterator[None]:
    """Notes each backward pass; what was patched is as it was afterwards.

    `Tensor.backward` and `paddle.autograd.backward` both call `core.eager.run_backward`
    (paddle/base/dygraph/tensor_patch_methods.py, paddle/autograd/backward_mode.py, 3.x).

    Args:
        model: whose runs and gradients are noted.
        gradients: what stands in its parameters.
        note: is handed each pass.
    """
    eager = paddle.base.core.eager
    original = eager.run_backward
    with noting_runs(model, is_tensor, array, _autocast) as runs:

        def noted(tensors: Sequence[Any], weights: Sequence[Any], *more: Any) -> Any:
            loss = _differentiated(tensors, weights)
            result = original(tensors, weights, *more)
            note(runs.differentiated(loss, gradients()))
            return result

        eager.run_backward = noted
        try:
            yield
        finally:
            eager.run_backward = original


def _autocast() -> str:
    """The half precision of an autocast that is on: of the device that the process is on, and on a
    CPU none is (paddle/amp/auto_cast.py, 3.x)."""
    tracer = paddle.base.framework._dygraph_tracer()
    if tracer is None or tracer._amp_level == paddle.base.core.AmpLevel.O0:
        return ""
    return str(tracer._amp_dtype)


def _differentiated(tensors: Sequence[Any], weights: Sequence[Any]) -> float:
    """The one number that a backward is of: what is handed to it, weighted."""
    return weighted_sum(tensors, weights, array)
