"""Weight norms: healthy ones are told nothing of, and faults where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

ROWS, WIDE = 5, 7
X = np.random.default_rng(0).standard_normal((4, ROWS)).astype("float32")


class _Port(paddle.nn.Layer):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.layer = paddle.nn.utils.weight_norm(paddle.nn.Linear(ROWS, WIDE), dim=axis)

    def forward(self, x: Any) -> Any:
        return paddle.tanh(self.layer(x))


class _ByHand(paddle.nn.Layer):
    def __init__(self, factor: Callable[[Any], Any]) -> None:
        super().__init__()
        self.directions = self.create_parameter([ROWS, WIDE])
        self.lengths = self.create_parameter([WIDE])
        self.bias = self.create_parameter([WIDE], is_bias=True)
        self.factor = factor

    def forward(self, x: Any) -> Any:
        weight = self.directions * (self.lengths * self.factor(self.directions))
        return paddle.tanh(paddle.matmul(x, weight) + self.bias)


class _Reference(torch.nn.Module):
    def __init__(self, kept: bool) -> None:
        super().__init__()
        utils = torch.nn.utils if kept else torch.nn.utils.parametrizations
        self.layer = utils.weight_norm(torch.nn.Linear(ROWS, WIDE))

    def forward(self, x: Any) -> Any:
        return torch.tanh(self.layer(x))


def _told(layer: Any) -> tuple[bool, list[tuple[str, str]]]:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    reference = _Reference(kept=isinstance(layer, _Port))
    report = pg.compare(layer, reference, example, options={"rtol": 1e-4, "atol": 1e-5})
    return report.passed, [(found.cause_id, found.cause) for found in report.findings]


def test_a_norm_that_is_cut_off_from_below_is_the_root_of_its_square() -> None:
    assert _told(_Port(1)) == (True, [])


def test_magnitudes_of_another_axis_are_one_size() -> None:
    passed, told = _told(_Port(0))
    assert not passed
    assert told == [("size.shape", "layer.weight_g (5,) against layer.weight_g (7,)")]


def _norm(value: Any) -> Any:
    return paddle.norm(value, p=2, axis=0)


@pytest.mark.parametrize(
    "factor",
    [
        lambda value: 1 / _norm(value),
        lambda value: paddle.rsqrt((value * value).sum(0)),
        lambda value: 1 / paddle.clip(_norm(value), min=1e-12),
    ],
)
def test_one_by_hand_is_healthy(factor: Callable[[Any], Any]) -> None:
    assert _told(_ByHand(factor)) == (True, [])


@pytest.mark.parametrize(
    ("factor", "cause"),
    [
        (lambda value: paddle.clip(_norm(value), min=1e-12) ** -0.5, "construction.operations"),
        (lambda value: (value * value).sum(0) ** -0.25, "construction.operations"),
        (lambda value: paddle.rsqrt((value * value).sum(0) + 0.1), "operation.extra"),
    ],
)
def test_a_fault_is_not_taken_for_a_factor_that_changes_nothing(
    factor: Callable[[Any], Any], cause: str
) -> None:
    """Fresh magnitudes are the lengths of their directions: without all of it both sides agree."""
    passed, told = _told(_ByHand(factor))
    assert not passed
    assert [cause_id for cause_id, _ in told] == [cause]
    assert "Mul: without" not in told[0][1]
