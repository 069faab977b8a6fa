"""Recurrent cells written out with a Linear for each gate, against the library's."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

F = paddle.nn.functional
STRICT = {"atol": 1e-5, "rtol": 1e-4, "compare_mode": "strict"}
GATES = {"GRU": "rzn", "LSTM": "ifgo"}


class _Written(paddle.nn.Layer):
    """Gates as the names say, or in an order of somebody's own; input and state as wide."""

    def __init__(self, kind: str, named: str, width: int = 4) -> None:
        super().__init__()
        self.kind, self.named, self.width = kind, named, width
        for letter in named:
            setattr(self, f"x{letter}", paddle.nn.Linear(width, 4))
            setattr(self, f"h{letter}", paddle.nn.Linear(4, 4))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        h = c = paddle.zeros([x.shape[0], 4])
        states = []
        for step in range(x.shape[1]):
            h, c = getattr(self, self.kind)(x[:, step], h, c)
            states.append(h)
        return paddle.stack(states, 1)

    def sums(self, x: Any, h: Any) -> list[tuple[Any, Any]]:
        return [(getattr(self, f"x{name}")(x), getattr(self, f"h{name}")(h)) for name in self.named]

    def GRU(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        (a, b), (e, d), (n, m) = self.sums(x, h)
        reset, update = F.sigmoid(a + b), F.sigmoid(e + d)
        return (1 - update) * paddle.tanh(n + reset * m) + update * h, c

    def LSTM(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        i, f, g, o = (a + b for a, b in self.sums(x, h))
        c = F.sigmoid(f) * c + F.sigmoid(i) * paddle.tanh(g)
        return F.sigmoid(o) * paddle.tanh(c), c


class _Library(torch.nn.Module):
    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(width, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


def _pair(kind: str, named: str, width: int = 4) -> tuple[Any, Any, Any]:
    x = np.random.default_rng(2).standard_normal((2, 3, width)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return _Written(kind, named, width).eval(), _Library(kind, width).eval(), example


@pytest.mark.parametrize(
    ("kind", "named"), [("GRU", "rzn"), ("GRU", "zrn"), ("LSTM", "ifgo"), ("LSTM", "abcd")]
)
def test_each_gate_gets_its_weights_whatever_it_is_called(kind: str, named: str) -> None:
    layer, module, example = _pair(kind, named)
    report = pg.compare(layer, module, example, options=STRICT)
    assert report.passed, [finding.cause for finding in report.findings]
    parts = module.rnn.weight_hh_l0.detach().numpy().reshape(len(named), 4, 4)
    for name, part in zip(named, parts, strict=True):
        assert np.array_equal(getattr(layer, f"h{name}").weight.numpy(), part.T), name


def test_a_cell_that_computes_otherwise_is_not_passed() -> None:
    layer, module, example = _pair("LSTM", "ifgo", width=3)
    layer.LSTM = lambda x, h, c: _Written.LSTM(layer, x, h, 0.9 * c)
    assert not pg.compare(layer, module, example, options=STRICT).passed
