"""What follows from a known divergence of the frameworks is left out; what else differs is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

X = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("float32")
FAULTS = ("in front", "behind", "beside", "cut off")


class _Paddle(paddle.nn.Layer):
    """Pixels interpolated to one row, then mixed."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.stem = paddle.nn.Conv2D(3, 4, 3, padding=1)
        self.mix = paddle.nn.Conv2D(4, 4, 1)
        self.fault = fault

    def forward(self, x: Any) -> Any:
        seen = self.stem(x)
        if self.fault == "in front":
            seen = seen * 1.01
        small = paddle.nn.functional.interpolate(seen, size=[1, 4], mode="bilinear")
        if self.fault == "cut off":
            small = small.detach()
        mixed = self.mix(small)
        beside = seen.mean([2, 3]) * (1.01 if self.fault == "beside" else 1.0)
        return paddle.nn.functional.gelu(mixed, approximate=self.fault == "behind"), beside


class _Torch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.mix = torch.nn.Conv2d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        seen = self.stem(x)
        small = torch.nn.functional.interpolate(seen, size=(1, 4), mode="bilinear")
        return torch.nn.functional.gelu(self.mix(small)), seen.mean([2, 3])


def _compared(fault: str, **options: Any) -> pg.Report:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    given = {"atol": 1e-4, "rtol": 1e-4, **options}
    return pg.compare(_Paddle(fault), _Torch(), example, options=given)


@pytest.mark.parametrize("phase", ["both", "forward"])
def test_only_what_the_frameworks_do_differently_passes(phase: str) -> None:
    report = _compared("", diff_phase=phase)
    assert report.passed and report.equivalent
    assert {finding.verdict for finding in report.findings} == {"framework-divergence"}
    assert "framework.known" in str([finding.reason for finding in report.findings])


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_models_do_differently_does_not(fault: str) -> None:
    report = _compared(fault)
    assert not report.passed
    assert any(finding.fails for finding in report.findings)
