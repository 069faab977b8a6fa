"""Results whose gradient Paddle's backward does not read: asked for alone they ended the process.

The softmax beside a cross entropy is laid beside another value where one loss has a second term.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

LABELS = np.arange(16) % 8
STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}


def _loss(share):
    def loss(y):
        entropy = torch.nn.functional.cross_entropy(y, torch.from_numpy(LABELS))
        return entropy + share * (y**2).mean() if share else entropy

    return loss


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_a_second_term_of_a_cross_entropy(share):
    x = np.random.default_rng(0).standard_normal((16, 8)).astype("float32")
    report = pg.compare(
        paddle.nn.Linear(8, 8),
        torch.nn.Linear(8, 8),
        ({"input": paddle.to_tensor(x)}, {"input": torch.from_numpy(x.copy())}),
        loss_fn=[
            lambda y: paddle.nn.functional.cross_entropy(y, paddle.to_tensor(LABELS)),
            _loss(share),
        ],
        options=STRICT,
    )
    assert report.passed == (not share)
    assert any(finding.phase == "loss" and finding.fails for finding in report.findings) == bool(
        share
    )
