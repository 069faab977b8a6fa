"""Weights that no run can show, since a fault stands beside: the same numbers on both sides are a
map, whatever they are called and in whatever order of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch
import torch.nn.functional as F

import padiff_graph as pg
from padiff_graph.alignment.align import align

OPTIONS = {"rtol": 1e-4, "atol": 1e-5, "compare_mode": "strict"}
RANDOM = np.random.default_rng(0)


class _LowRank(paddle.nn.Layer):
    """A square weight with a product of two others added, under names of its own."""

    def __init__(self, weights: list[np.ndarray], factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.base, self.first, self.second = (_parameter(each.T) for each in weights)

    def forward(self, x: Any) -> Any:
        return x @ (self.base + self.factor * (self.first @ self.second))


class _TorchLowRank(torch.nn.Module):
    def __init__(self, weights: list[np.ndarray]) -> None:
        super().__init__()
        layers = [torch.nn.Linear(6, 6, bias=False) for _ in weights]
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.data.copy_(torch.from_numpy(weight))
        self.linear, self.down, self.up = layers

    def forward(self, x: Any) -> Any:
        return self.linear(x) + 0.5 * self.up(self.down(x))


class _OneHot(paddle.nn.Layer):
    def __init__(self, weights: list[np.ndarray], factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.rows = _parameter(weights[0])

    def forward(self, x: Any) -> Any:
        ids = (x * 6).astype("int64")
        return paddle.nn.functional.one_hot(ids, 7) @ self.rows * self.factor


class _TorchEmbedded(torch.nn.Module):
    def __init__(self, weights: list[np.ndarray]) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 5)
        self.embedding.weight.data.copy_(torch.from_numpy(weights[0]))

    def forward(self, x: Any) -> Any:
        return 0.5 * self.embedding((x * 6).long())


class _Divided(paddle.nn.Layer):
    """A square weight divided by what two vectors make of it."""

    def __init__(self, weights: list[np.ndarray], factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.kernel = _parameter(weights[0].T)
        self.out = paddle.nn.Linear(6, 3)
        self.out.weight.set_value(weights[1].T.copy())

    def forward(self, x: Any) -> Any:
        size = (self.kernel * self.kernel).sum().sqrt()
        return self.out(paddle.tanh(self.factor * (x @ (self.kernel / size).t().t())))


class _TorchDivided(torch.nn.Module):
    def __init__(self, weights: list[np.ndarray]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(weights[0].copy()))
        self.out = torch.nn.Linear(6, 3)
        self.out.weight.data.copy_(torch.from_numpy(weights[1]))
        self.out.bias.data.zero_()

    def forward(self, x: Any) -> Any:
        size = (self.weight * self.weight).sum().sqrt()
        return self.out(torch.tanh(0.5 * F.linear(x, self.weight / size)))


def _parameter(array: np.ndarray) -> Any:
    assign = paddle.nn.initializer.Assign(array.copy())
    return paddle.create_parameter(list(array.shape), "float32", default_initializer=assign)


def _random(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [RANDOM.standard_normal(shape).astype("float32") for shape in shapes]


SQUARE = (6, 6)
KINDS = {
    "low rank": (_LowRank, _TorchLowRank, (SQUARE, SQUARE, SQUARE), (4, 6)),
    "one hot": (_OneHot, _TorchEmbedded, ((7, 5),), (2, 3)),
    "divided": (_Divided, _TorchDivided, (SQUARE, (3, 6)), (4, 6)),
}


def _pair(kind: str, factor: float, fill: float | None = None) -> Any:
    ours, theirs, shapes, given = KINDS[kind]
    weights = _random(*shapes)
    if fill is not None:
        weights = [np.full_like(each, fill) for each in weights]
    x = np.random.default_rng(1).random(given).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return ours(weights, factor).eval(), theirs(weights).eval(), example


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [0.5, 0.6])
def test_the_fault_alone_is_told(kind: str, factor: float) -> None:
    report = pg.compare(*_pair(kind, factor), auto_weights=False, options=OPTIONS)
    assert report.passed is (factor == 0.5)
    failing = [finding for finding in report.findings if finding.fails]
    assert bool(failing) is (factor != 0.5)
    told = {finding.cause_id.split(".")[0] for finding in report.findings}
    assert not told & {"weights", "parameter", "region", "whole"}, report.findings


@pytest.mark.parametrize("kind", ["low rank", "one hot"])
def test_constants_tell_no_map(kind: str) -> None:
    rows = align(*_pair(kind, 0.6, fill=0.25), certify=False).matching.parameters
    assert all(row.status == "open" for row in rows), rows
