"""Parts that one model puts together in another order, and the same parts in the same."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(4).standard_normal((3, 6)).astype("float32")


class _Paddle(paddle.nn.Layer):
    def __init__(self, *, turned: bool) -> None:
        super().__init__()
        self.turned, self.fc, self.out = turned, paddle.nn.Linear(6, 5), paddle.nn.Linear(6, 2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        ones = paddle.full([3, 1], 1.5)
        parts = [self.fc(x), ones] if self.turned else [ones, self.fc(x)]
        return self.out(paddle.concat(parts, 1).tanh())


class _Torch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = torch.nn.Linear(6, 5), torch.nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.cat([torch.full([3, 1], 1.5), self.fc(x)], 1).tanh())


@pytest.mark.parametrize("turned", [True, False])
def test_parts_in_another_order_are_told_where_they_are_put_together(turned: bool) -> None:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(_Paddle(turned=turned).eval(), _Torch().eval(), example, options=STRICT)
    assert report.passed is not turned
    causes = [finding.cause for finding in report.findings if finding.fails]
    assert len(causes) == turned
    assert all("concat" in cause.lower() and "order" in cause for cause in causes), causes
