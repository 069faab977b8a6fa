"""A factor that is cut off the gradient, by `detach` in one model and `no_grad` in the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(4).standard_normal((4, 6)).astype("float32")


def _model(lib: Any, base: Any, cut: str) -> Any:
    class Model(base):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = lib.nn.Linear(6, 6), lib.nn.Linear(6, 3)

        def forward(self, x: Any) -> Any:
            hidden = lib.tanh(self.fc(x))
            if cut == "no_grad":
                with lib.no_grad():
                    largest = hidden.abs().max()
            elif cut == "detach":
                largest = hidden.abs().max().detach()
            elif cut == "early":
                largest = hidden.detach().abs().max()
            else:
                largest = hidden.abs().max()
            return self.head(hidden / largest)

    return Model().eval()


@pytest.mark.parametrize("ours", ["no_grad", "detach", "early", "none"])
@pytest.mark.parametrize("theirs", ["no_grad", "detach", "none"])
def test_where_a_gradient_is_cut_is_no_difference_and_whether_is(ours: str, theirs: str) -> None:
    layer = _model(paddle, paddle.nn.Layer, ours)
    module = _model(torch, torch.nn.Module, theirs)
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(layer, module, example, options=STRICT)
    same = (ours == "none") == (theirs == "none")
    assert report.passed is same, str(report)
    assert any(finding.fails for finding in report.findings) is not same
