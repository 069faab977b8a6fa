"""What differs is explained once, when nothing of the verdicts changes any more."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
import padiff_graph.check.region_examination as region_examination

OPTIONS = {"rtol": 1e-4, "atol": 1e-5}
WIDTH, LAYERS = 6, 4


class PaddleStack(paddle.nn.Layer):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        nn = paddle.nn
        self.mix = nn.LayerList([nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)])
        self.norm = nn.LayerList([nn.LayerNorm(WIDTH, epsilon=epsilon) for _ in range(LAYERS)])

    def forward(self, x: Any) -> Any:
        for mix, norm in zip(self.mix, self.norm, strict=True):
            x = norm(mix(x))
        return x


class TorchStack(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.mix = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)])
        self.norm = nn.ModuleList([nn.LayerNorm(WIDTH, eps=1e-5) for _ in range(LAYERS)])

    def forward(self, x: Any) -> Any:
        for mix, norm in zip(self.mix, self.norm, strict=True):
            x = norm(mix(x))
        return x


@pytest.mark.parametrize(("epsilon", "differing"), [(1e-3, LAYERS), (1e-5, 0)])
def test_each_region_that_differs_is_explained_once(
    monkeypatch: pytest.MonkeyPatch, epsilon: float, differing: int
) -> None:
    """Trials of cuts that may be wrong run these regions again, and explain none."""
    explained: list[Any] = []
    plain = region_examination.explained

    def counted(matching: Any, case: Any, result: Any) -> Any:
        explained.append(case.region.identity)
        return plain(matching, case, result)

    monkeypatch.setattr(region_examination, "explained", counted)
    x = np.random.default_rng(0).standard_normal((3, WIDTH), np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(PaddleStack(epsilon), TorchStack(), example, options=OPTIONS)
    assert len(explained) == len(set(explained)) == report.regions.get("different", 0) == differing
    found = [finding for finding in report.findings if finding.fails]
    assert [finding.cause_id for finding in found] == ["attribute.epsilon"] * bool(differing)
    assert all(len(finding.places) == LAYERS for finding in found)
