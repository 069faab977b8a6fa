"""Functions of two images and of rows to choose, captured and brought into normal form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import paddle
import torch

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.normalize import normalize
from tests.models.graph_maker import operations

__all__ = ["example", "of_paddle", "of_torch", "read_alike"]

Function = Callable[..., Any]


class TorchModel(torch.nn.Module):
    """A function with an operation behind each result, so that its movement stands on an edge."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any, y: Any, i: Any) -> Any:
        return [torch.tanh(result.float()) for result in listed(self.function(x, y, i))]


class PaddleModel(paddle.nn.Layer):
    """The same for Paddle."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any, y: Any, i: Any) -> Any:
        return [paddle.tanh(result.astype("float32")) for result in listed(self.function(x, y, i))]


def listed(results: Any) -> Iterable[Any]:
    """What a function returns, one or several."""
    return results if isinstance(results, (list, tuple)) else [results]


def example(convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Two images of 8 channels and 4 by 6 pixels, and rows to choose."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2, 8, 4, 6)).astype("float32")
    return {"x": convert(x), "y": convert(y), "i": convert(np.array([2, 0, 1]))}


def of_torch(function: Function) -> NormalGraph:
    """The normal form of what torch computes."""
    model = TorchModel(function)
    return normalize(capture_graph(model, example(torch.from_numpy), certify=False))


def of_paddle(function: Function) -> NormalGraph:
    """The normal form of what Paddle computes."""
    model = PaddleModel(function)
    return normalize(capture_graph(model, example(paddle.to_tensor), certify=False))


def read_alike(first: NormalGraph, second: NormalGraph) -> None:
    """Operands that are computed by nothing are the same inputs and numbers, in order."""
    for nodes in zip(operations(first), operations(second), strict=True):
        for edges in zip(*(node.inputs for node in nodes), strict=True):
            leaves = [
                form.nodes[edge.source]
                for form, edge in zip((first, second), edges, strict=True)
                if edge is not None
            ]
            if any(leaf.leaf for leaf in leaves):
                one, another = leaves
                assert (one.op, one.name) == (another.op, another.name)
                np.testing.assert_array_equal(one.constant, another.constant)
