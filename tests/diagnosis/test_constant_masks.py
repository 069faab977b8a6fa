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


class _Added(paddle.nn.Layer):
    """Scores and numbers that are added to them."""

    def __init__(self, shown: np.ndarray) -> None:
        super().__init__()
        self.mask = paddle.to_tensor(np.where(shown, 0.0, -1e9).astype("float32"))
        self.project = paddle.nn.Linear(8, 8)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.project(x)
        scores = x @ x.transpose([0, 2, 1]) / 8**0.5 + self.mask
        return paddle.nn.functional.softmax(scores, -1) @ x


class _Shown(torch.nn.Module):
    """Truth values of one operation, which says nothing of the scores."""

    def __init__(self, shown: np.ndarray) -> None:
        super().__init__()
        self.mask, self.project = torch.from_numpy(shown), torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.project(x)
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=self.mask)


def _window(width: int) -> np.ndarray:
    behind = np.arange(6)[:, None] - np.arange(6)
    return (behind >= 0) & (behind < width)


@pytest.mark.parametrize(
    ("mine", "theirs", "told"),
    [
        (_window(3), _window(3), ""),
        (_window(3), _window(4), "21 of 36 places against 18 of 36 places"),
        (_window(6), _window(6) | _window(6).T, ""),
    ],
)
def test_numbers_and_truth_values_are_laid_side_by_side(
    mine: np.ndarray, theirs: np.ndarray, told: str
) -> None:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.tensor(X)}
    options = {"rtol": 1e-4, "atol": 1e-5}
    report = pg.compare(_Added(mine).eval(), _Shown(theirs).eval(), example, options=options)
    causes = [finding.cause for finding in report.findings if finding.fails]
    assert report.passed is np.array_equal(mine, theirs)
    assert bool(causes) is not report.passed
    assert not told or told in causes[0], causes
