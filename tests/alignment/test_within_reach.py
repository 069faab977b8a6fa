"""Maps are tried where one of them may make values agree: not behind what differs already."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.alignment import map_trials

FEW = 6
"""Runs of a pair of which nothing is tried; every candidate takes twenty."""
X = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype("float32")


class _Unfolded(paddle.nn.Layer):
    """A convolution as unfold and product, behind a norm, beside the input where that is asked."""

    def __init__(self, epsilon: float, beside: bool) -> None:
        super().__init__()
        self.norm, self.beside = paddle.nn.GroupNorm(1, 3, epsilon), beside
        normal = paddle.nn.initializer.Normal()
        self.kernel = self.create_parameter([5, 27], default_initializer=normal)
        self.offset = self.create_parameter([5], default_initializer=normal)

    def forward(self, x: Any) -> Any:
        read = x if self.beside else self.norm(x)
        columns = paddle.nn.functional.unfold(read, 3, paddings=1)
        result = paddle.matmul(self.kernel, columns) + self.offset.unsqueeze(-1)
        result = paddle.tanh(result.reshape([2, 5, 6, 6]))
        return (result, self.norm(x)) if self.beside else result


class _Convolved(torch.nn.Module):
    def __init__(self, beside: bool) -> None:
        super().__init__()
        self.norm, self.beside = torch.nn.GroupNorm(1, 3), beside
        self.conv = torch.nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x: Any) -> Any:
        result = torch.tanh(self.conv(x if self.beside else self.norm(x)))
        return (result, self.norm(x)) if self.beside else result


def _compared(epsilon: float, beside: bool) -> pg.Report:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    models = _Unfolded(epsilon, beside).eval(), _Convolved(beside).eval()
    return pg.compare(*models, example, options={"rtol": 1e-4, "atol": 1e-5})


@pytest.mark.parametrize(
    ("epsilon", "beside", "shown"), [(1e-5, False, True), (0.1, False, False), (0.1, True, True)]
)
def test_maps_are_tried_where_what_goes_in_agrees(
    epsilon: float, beside: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[int] = []
    plain = map_trials.Trials.agreeing

    def counted(self: Any, matching: Any) -> frozenset[int]:
        searches.append(len(self.targets))
        return plain(self, matching)

    monkeypatch.setattr(map_trials.Trials, "agreeing", counted)
    report = _compared(epsilon, beside)
    failing = [found.cause_id for found in report.findings if found.fails]
    rows = {row.first: row for row in report.parameters}
    assert report.passed is (epsilon == 1e-5)
    assert all("epsilon" in cause or cause == "setting.differs" for cause in failing)
    assert bool(failing) is (epsilon == 0.1)
    assert (rows["kernel"].proved and bool(rows["kernel"].pieces)) is shown
    assert shown or len(searches) <= FEW
