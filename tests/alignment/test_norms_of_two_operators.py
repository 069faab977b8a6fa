"""Two norm layers that are one function under other names, with fresh weights: what scales and what
shifts goes by role, since ones and zeros of one shape tell nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
RANDOM = np.random.default_rng(5)
IMAGE = RANDOM.standard_normal((2, 8, 6, 6)).astype("float32")
ROWS = RANDOM.standard_normal((4, 8)).astype("float32")

Layers = Callable[[], tuple[Any, Any]]
"""A norm of each framework."""

EQUAL: dict[str, tuple[Any, Layers]] = {
    "instances-groups": (
        IMAGE,
        lambda: (paddle.nn.InstanceNorm2D(8), torch.nn.GroupNorm(8, 8)),
    ),
    "groups-instances": (
        IMAGE,
        lambda: (paddle.nn.GroupNorm(8, 8), torch.nn.InstanceNorm2d(8, affine=True)),
    ),
    "group-layer": (ROWS, lambda: (paddle.nn.GroupNorm(1, 8), torch.nn.LayerNorm(8))),
    "layer-group": (ROWS, lambda: (paddle.nn.LayerNorm(8), torch.nn.GroupNorm(1, 8))),
}


def _around(framework: Any, norm: Any, data: Any) -> Any:
    """The norm between two layers of a framework."""
    if data.ndim == 2:
        return framework.nn.Sequential(framework.nn.Linear(8, 8), norm, framework.nn.Linear(8, 8))
    conv = framework.nn.Conv2D if framework is paddle else framework.nn.Conv2d
    return framework.nn.Sequential(conv(8, 8, 3), norm, conv(8, 8, 3))


def _compared(layers: tuple[Any, Any], data: Any) -> pg.Report:
    models = _around(paddle, layers[0], data), _around(torch, layers[1], data)
    return pg.compare(
        *models,
        ({"input": paddle.to_tensor(data)}, {"input": torch.from_numpy(data)}),
        auto_weights=True,
        options=STRICT,
    )


@pytest.mark.parametrize("name", EQUAL)
def test_fresh_weights_of_two_norms_go_by_role(name: str) -> None:
    data, layers = EQUAL[name]
    report = _compared(layers(), data)
    assert report.passed and report.equivalent, report
    assert not any(finding.fails for finding in report.findings)


def test_channels_may_come_last_on_one_side() -> None:
    norms = paddle.nn.InstanceNorm2D(8), torch.nn.GroupNorm(8, 8)
    for parameter in norms[1].parameters():
        torch.nn.init.normal_(parameter)

    class _Last(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.turn, self.norm = paddle.nn.Conv2D(8, 8, 1, data_format="NHWC"), norms[0]

        def forward(self, x: Any) -> Any:
            turned = self.turn(paddle.transpose(x, [0, 2, 3, 1]))
            return self.norm(paddle.transpose(turned, [0, 3, 1, 2]))

    second = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 1), norms[1])
    example = {"x": paddle.to_tensor(IMAGE)}, {"input": torch.from_numpy(IMAGE)}
    assert pg.compare(_Last(), second, example, auto_weights=True, options=STRICT).passed


@pytest.mark.parametrize("groups", [2, 4])
def test_wrong_number_of_groups_is_the_first_finding(groups: int) -> None:
    report = _compared((paddle.nn.InstanceNorm2D(8), torch.nn.GroupNorm(groups, 8)), IMAGE)
    assert not report.passed
    first = report.findings[0]
    assert first.verdict == "different"
    assert f"GroupNormalization.num_groups 8 against {groups}" in first.cause
