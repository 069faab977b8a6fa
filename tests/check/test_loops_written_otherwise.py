"""A loop of which every step is written another way has a wrong match in each, between right ones:
those whose values differ in the whole runs are taken away, and the others stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STEPS, WIDTH = 7, 6
NAMES = ("reset", "update", "new", "state")
OPTIONS = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}


class _Port(paddle.nn.Layer):
    """A gated cell, its new state as a step from the proposal towards the old one."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.late = late
        for name in NAMES:
            wide = 2 * WIDTH if name in NAMES[:2] else WIDTH
            setattr(self, name, paddle.nn.Linear(wide, WIDTH))

    def forward(self, x: Any) -> Any:
        h, out = paddle.zeros([x.shape[0], WIDTH]), []
        for step in range(STEPS):
            both = paddle.concat([x[:, step], h], -1)
            reset = paddle.nn.functional.sigmoid(self.reset(both))
            update = paddle.nn.functional.sigmoid(self.update(both))
            old = self.state(reset * h) if self.late else self.state(h) * reset
            new = paddle.tanh(old + self.new(x[:, step]))
            h = new + update * (h - new)
            out.append(h)
        return paddle.stack(out, 1)


class _Reference(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in NAMES:
            wide = 2 * WIDTH if name in NAMES[:2] else WIDTH
            setattr(self, name, torch.nn.Linear(wide, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, out = x.new_zeros(x.shape[0], WIDTH), []
        for step in range(STEPS):
            reset = torch.sigmoid(self.reset(torch.cat([x[:, step], h], -1)))
            update = torch.sigmoid(self.update(torch.cat([x[:, step], h], -1)))
            new = torch.tanh(self.new(x[:, step]) + reset * self.state(h))
            h = (1 - update) * new + update * h
            out.append(h)
        return torch.stack(out, 1)


@pytest.mark.parametrize("late", [False, True])
def test_every_step_of_a_cell_is_written_another_way(late: bool) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((2, STEPS, WIDTH)).astype(np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(_Port(late), _Reference(), example, options=OPTIONS)
    failing = [finding for finding in report.findings if finding.fails]
    assert report.passed is not late
    assert bool(failing) is late, [finding.cause for finding in failing]
