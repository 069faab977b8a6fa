"""A batch normalisation that one model evaluates while the other trains it."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

X = np.random.default_rng(4).standard_normal((4, 6)).astype("float32")


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_the_mode_is_told_and_nothing_that_follows_from_it(ours: bool, theirs: bool) -> None:
    layer = paddle.nn.Sequential(paddle.nn.Linear(6, 5), paddle.nn.BatchNorm1D(5))
    module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5))
    layer.train() if ours else layer.eval()
    module.train(theirs)
    example = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    report = pg.compare(layer, module, example, options={"atol": 1e-4, "rtol": 1e-4})
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == ([] if ours == theirs else ["attribute.training"])
    assert report.passed is (ours == theirs)
