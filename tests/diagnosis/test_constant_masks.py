"""Constant masks with another diagonal, told with both."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

X = np.random.default_rng(3).standard_normal((2, 6, 8)).astype("float32")


class _Paddle(paddle.nn.Layer):
    def __init__(self, mask: paddle.Tensor) -> None:
        super().__init__()
        self.mask, self.project = mask, paddle.nn.Linear(8, 8)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.project(x)
        scores = (x @ x.transpose([0, 2, 1])).masked_fill(self.mask, -1e9)
        return paddle.nn.functional.softmax(scores, -1) @ x


class _Torch(torch.nn.Module):
    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask, self.project = mask, torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.project(x)
        scores = (x @ x.transpose(1, 2)).masked_fill(self.mask, -1e9)
        return scores.softmax(-1) @ x


class _Chosen(_Paddle):
    """The same by a choice, whose mask says what is shown."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.project(x)
        scores = x @ x.transpose([0, 2, 1])
        scores = paddle.where(paddle.logical_not(self.mask), scores, paddle.full([1], -1e9))
        return paddle.nn.functional.softmax(scores, -1) @ x


class _Added(_Paddle):
    """The same by a sum."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.project(x)
        scores = x @ x.transpose([0, 2, 1]) + self.mask.astype("float32") * -1e9
        return paddle.nn.functional.softmax(scores, -1) @ x


@pytest.mark.parametrize("cls", [_Paddle, _Chosen, _Added])
@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.triu(np.ones((6, 6), bool), 1), ""),
        (np.triu(np.ones((6, 6), bool), 2), "triu(2) (10 of 36 places) against triu(1)"),
        (np.tril(np.ones((6, 6), bool), -1), "tril(-1) (15 of 36 places) against triu(1)"),
        (np.eye(6, dtype=bool), "6 of 36 places against triu(1)"),
    ],
)
def test_a_mask_is_told_by_its_triangle(cls: type[_Paddle], mask: np.ndarray, told: str) -> None:
    theirs = torch.tensor(np.triu(np.ones((6, 6), bool), 1))
    example = {"x": paddle.to_tensor(X)}, {"x": torch.tensor(X)}
    report = pg.compare(
        cls(paddle.to_tensor(mask)).eval(),
        _Torch(theirs).eval(),
        example,
        options={"rtol": 1e-4, "atol": 1e-5},
    )
    causes = [finding.cause for finding in report.findings if finding.fails]
    assert report.passed is not bool(told)
    assert bool(causes) is bool(told)
    assert all(told in cause for cause in causes[:1]), causes
