"""Weights without a map: a difference that no map can undo is told, one that a map may undo is
not."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as paddle_functional
import pytest
import torch

import padiff_graph as pg

ROWS = np.random.default_rng(0).standard_normal((16, 8)).astype("float32")
STEPS = np.random.default_rng(1).standard_normal((2, 5, 6)).astype("float32")


def _compared(layer: Any, module: Any, x: Any) -> pg.Report:
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4}
    return pg.compare(layer.eval(), module.eval(), example, options=options)


def _failing(report: pg.Report) -> list[str]:
    return [finding.cause for finding in report.findings if finding.fails]


def _normal(layer: Any, *shape: int) -> Any:
    return layer.create_parameter(
        list(shape), default_initializer=paddle.nn.initializer.Normal(0.0, 0.4)
    )


# -- a recurrent cell written out against the library's


class _Gru(paddle.nn.Layer):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.given, self.kept = paddle.nn.Linear(6, 24), paddle.nn.Linear(8, 24)
        self.fault = fault

    def forward(self, x: Any) -> Any:
        h = paddle.full([x.shape[0], 8], 0.1 if self.fault == "start" else 0.0)
        for step in range(x.shape[1] - (self.fault == "length")):
            given, kept = self.given(x[:, step]), self.kept(h)
            (xr, xz, xn), (hr, hz, hn) = given.chunk(3, -1), kept.chunk(3, -1)
            r, z = paddle_functional.sigmoid(xr + hr), paddle_functional.sigmoid(xz + hz)
            if self.fault == "reset":
                hn = self.kept(r * h)[:, 16:]
            n = paddle.tanh(xn + (hn if self.fault == "reset" else r * hn))
            h = (1 - z) * h + z * n if self.fault == "gate" else z * h + (1 - z) * n
        return h


class _LibraryGru(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.GRU(6, 8, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.rnn(x)[0][:, -1]


@pytest.mark.parametrize("fault", ["reset", "gate", "start", "length"])
def test_a_cell_that_no_map_of_its_weights_mends_differs(fault: str) -> None:
    report = _compared(_Gru(fault), _LibraryGru(), STEPS)
    assert not report.passed and report.equivalent is False
    assert _failing(report)


def test_the_same_cell_passes() -> None:
    report = _compared(_Gru(""), _LibraryGru(), STEPS)
    assert report.passed and not _failing(report)


# -- experts in one tensor against a list of them


class _Experts(paddle.nn.Layer):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.gate = paddle.nn.Linear(8, 4, bias_attr=False)
        self.up, self.down = _normal(self, 4, 8, 12), _normal(self, 4, 12, 8)
        self.fault = fault

    def forward(self, x: Any) -> Any:
        scores = self.gate(x) / (2.0 if self.fault == "temperature" else 1.0)
        weights, chosen = paddle_functional.softmax(scores, -1).topk(2, -1)
        if self.fault != "norm":
            weights = weights / weights.sum(-1, keepdim=True)
        spread = paddle.put_along_axis(paddle.zeros_like(scores), chosen, weights, 1)
        act = paddle_functional.gelu if self.fault == "activation" else paddle_functional.silu
        hidden = act(paddle.einsum("nd,edh->neh", x, self.up))
        return (paddle.einsum("neh,ehd->ned", hidden, self.down) * spread.unsqueeze(-1)).sum(1)


class _Expert(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Linear(8, 12, bias=False)
        self.down = torch.nn.Linear(12, 8, bias=False)

    def forward(self, x: Any) -> Any:
        return self.down(torch.nn.functional.silu(self.up(x)))


class _ListOfExperts(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = torch.nn.Linear(8, 4, bias=False)
        self.experts = torch.nn.ModuleList(_Expert() for _ in range(4))

    def forward(self, x: Any) -> Any:
        weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        total = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            row, place = torch.where(chosen == number)
            total.index_add_(0, row, expert(x[row]) * weights[row, place][:, None])
        return total


@pytest.mark.parametrize("fault", ["norm", "temperature", "activation"])
def test_experts_that_no_map_mends_differ(fault: str) -> None:
    report = _compared(_Experts(fault), _ListOfExperts(), ROWS)
    assert not report.passed and _failing(report)


def test_the_same_experts_pass() -> None:
    report = _compared(_Experts(""), _ListOfExperts(), ROWS)
    assert report.passed and not _failing(report)


# -- a layer that reads another value than its counterpart


class _Chain(paddle.nn.Layer):
    def __init__(self, reads: str) -> None:
        super().__init__()
        self.inner = paddle.nn.Linear(8, 8)
        self.reads = reads

    def forward(self, x: Any) -> Any:
        scaled = x * x.tanh()
        return self.inner(x if self.reads == "x" else scaled) + scaled.exp()


class _ChainTorch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.other = torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        scaled = x * x.tanh()
        return self.other(scaled) + scaled.exp()


def test_a_layer_that_reads_another_value_differs() -> None:
    report = _compared(_Chain("x"), _ChainTorch(), ROWS)
    assert not report.passed and _failing(report)
    assert _compared(_Chain("scaled"), _ChainTorch(), ROWS).passed


# -- what a map may undo


class _OddGates(paddle.nn.Layer):
    """A cell whose gates stand along the last axis in an order of its own, and whose input comes
    before its state."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = _normal(self, 14, 8, 4), _normal(self, 8, 4)

    def forward(self, x: Any) -> Any:
        h = c = paddle.zeros([x.shape[0], 8])
        for step in range(x.shape[1]):
            read = paddle.concat([x[:, step], h], -1)
            gates = paddle.einsum("ni,iho->nho", read, self.w) + self.b
            g, f, o, i = (gates[..., place] for place in range(4))
            c = paddle_functional.sigmoid(f) * c + paddle_functional.sigmoid(i) * paddle.tanh(g)
            h = paddle_functional.sigmoid(o) * paddle.tanh(c)
        return h


class _PlainGates(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(14, 32) * 0.3)
        self.b = torch.nn.Parameter(torch.randn(32) * 0.3)

    def forward(self, x: Any) -> Any:
        h = c = torch.zeros(x.shape[0], 8)
        for step in range(x.shape[1]):
            read = torch.cat([h, x[:, step]], -1)
            i, f, g, o = (read @ self.w + self.b).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return h


def test_a_difference_that_weights_without_a_map_may_undo_is_left_open() -> None:
    report = _compared(_OddGates(), _PlainGates(), STEPS)
    assert not report.passed and report.equivalent is None
    assert not _failing(report)
    assert any("may undo that" in finding.cause for finding in report.findings)


class _Angles(paddle.nn.Layer):
    """The first row of a rotation by angles: as many numbers, and no one of the other's."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.angle = _normal(self, 8), _normal(self, 8)

    def forward(self, x: Any) -> Any:
        turned = self.size * self.angle.cos(), self.size * self.angle.sin()
        return paddle.tanh(x @ paddle.stack(turned, 1))


class _Row(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(8, 2))

    def forward(self, x: Any) -> Any:
        return torch.tanh(x @ self.weight)


def test_weights_that_are_made_of_others_need_not_hold_one_number() -> None:
    report = _compared(_Angles(), _Row(), ROWS)
    assert not report.passed and not _failing(report)
