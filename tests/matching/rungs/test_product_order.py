"""Linear attention, keys with values first against queries with keys first: query, key and value
are told apart by where they stand in the products, also where nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
ROWS = (5, 20)
"""Fewer and more rows than features: either order may be the cheaper one."""


class _KeysWithValues(paddle.nn.Layer):
    """q (k^T v), or q (v^T k)^T; wrongly with another scale of k."""

    def __init__(self, turned: bool = False, wrong: float = 1.0) -> None:
        super().__init__()
        self.turned, self.wrong = turned, wrong
        self.q, self.k, self.v = (paddle.nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Any) -> Any:
        q, k, v = self.q(x), self.k(x) * self.wrong, self.v(x)
        if self.turned:
            return paddle.matmul(q, paddle.matmul(v, k, transpose_x=True), transpose_y=True)
        return paddle.matmul(q, paddle.matmul(k, v, transpose_x=True))


class _QueriesWithKeys(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (torch.nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Any) -> Any:
        return (self.q(x) @ self.k(x).transpose(1, 2)) @ self.v(x)


def _compared(first: _KeysWithValues, rows: int) -> pg.Report:
    x = np.random.default_rng(5).standard_normal((2, rows, 8)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return pg.compare(first, _QueriesWithKeys(), example, auto_weights=True, options=STRICT)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("rows", ROWS)
def test_order_of_products_crosses_no_names(rows: int, turned: bool) -> None:
    report = _compared(_KeysWithValues(turned), rows)
    assert report.passed and not report.findings, report


@pytest.mark.parametrize("rows", ROWS)
def test_scale_inside_is_still_told(rows: int) -> None:
    report = _compared(_KeysWithValues(wrong=1.1), rows)
    assert not report.passed and "1.1" in report.findings[0].cause


class _Turned(paddle.nn.Layer):
    """Attention with keys against queries: a softmax over the keys, and read turned."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (paddle.nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Any) -> Any:
        scores = paddle.matmul(self.k(x), self.q(x), transpose_y=True)
        weights = paddle.nn.functional.softmax(scores, axis=-2)
        return paddle.matmul(weights, self.v(x), transpose_x=True)


class _Straight(_QueriesWithKeys):
    def forward(self, x: Any) -> Any:
        scores = self.q(x) @ self.k(x).transpose(1, 2)
        return scores.softmax(-1) @ self.v(x)


def test_keys_against_queries_are_attention() -> None:
    x = np.random.default_rng(5).standard_normal((2, 5, 8)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(_Turned(), _Straight(), example, auto_weights=True, options=STRICT)
    assert report.passed and not report.findings, report
