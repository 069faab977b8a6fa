"""Draws of few numbers, which may hide what is done with them, and draws that nobody can share."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture import raw_draws
from tests.models.around import AroundPaddle, AroundTorch

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(0).standard_normal((4, 8)).astype("float32")
FAILS = ("different", "missing", "extra")


def _checked(first, second):
    inputs = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X.copy())}
    return pg.compare(
        AroundPaddle(first).train(), AroundTorch(second).train(), inputs, options=STRICT
    )


def _mixed(share):
    return lambda h: share * h + (1 - share) * h[paddle.randperm(4)]


def test_rows_mixed_with_others_in_another_share_differ():
    reference = lambda h: 0.7 * h + 0.3 * h[torch.randperm(4)]  # noqa: E731
    assert _checked(_mixed(0.7), reference).passed
    assert not _checked(_mixed(0.6), reference).passed


@pytest.mark.parametrize("rows", [2, 3, 4, 7])
def test_a_shuffle_leaves_no_row_where_it_is(rows):
    for seed in range(20):
        order = raw_draws.permutation(np.random.default_rng(seed).random(rows))
        assert sorted(order) == list(range(rows))
        assert not (order == np.arange(rows)).any()


def _token(number):
    def function(h):
        kept = (paddle.rand([4, 1]) < 0.98).astype("float32")
        return h * kept + (1 - kept) * number

    return function


def test_what_a_rare_face_of_a_coin_puts_in_is_compared():
    def reference(h):
        kept = (torch.rand(4, 1) < 0.98).float()
        return h * kept + (1 - kept) * 0.5

    assert _checked(_token(0.5), reference).passed
    report = _checked(_token(0.7), reference)
    assert not report.passed and any(finding.verdict in FAILS for finding in report.findings)


class _PaddleRecurrent(paddle.nn.Layer):
    def __init__(self, rate):
        super().__init__()
        self.cells = paddle.nn.LSTM(8, 5, 2, dropout=rate)

    def forward(self, x):
        return self.cells(x)[0]


class _TorchRecurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = torch.nn.LSTM(8, 5, 2, dropout=0.3, batch_first=True)

    def forward(self, x):
        return self.cells(x)[0]


@pytest.mark.parametrize("seed", [0, 3, 18])  # the last two draw what looks like rounding
def test_equal_dropout_inside_a_recurrent_layer_is_no_difference(seed):
    torch.manual_seed(seed)
    paddle.seed(seed)
    x = X.reshape(2, 2, 8)
    inputs = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x.copy())}
    same = pg.compare(_PaddleRecurrent(0.3), _TorchRecurrent(), inputs, options=STRICT)
    assert not same.passed
    assert not any(finding.verdict in FAILS for finding in same.findings)
    assert any("of its own" in finding.cause for finding in same.findings)
    other = pg.compare(_PaddleRecurrent(0.5), _TorchRecurrent(), inputs, options=STRICT)
    assert any("dropout" in own.cause for own in other.findings if own.verdict in FAILS)
