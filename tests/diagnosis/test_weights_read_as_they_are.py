"""A square weight that a port reads in the layout of the other framework, outside of a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(4).standard_normal((4, 6)).astype("float32")
Deed = Callable[[Any], Any]
DEEDS: dict[str, tuple[Deed, Deed]] = {
    "detach": (lambda weight: weight.detach(), lambda weight: weight.detach()),
    "exp": (paddle.exp, torch.exp),
}


def _model(lib: Any, base: Any, deed: Deed, turned: bool, rate: float) -> Any:
    class Model(base):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.drop = lib.nn.Linear(6, 6), lib.nn.Dropout(rate)

        def forward(self, x: Any) -> Any:
            weight = deed(self.fc.weight)
            return self.drop(lib.tanh(self.fc(x))) + x @ (weight.t() if turned else weight)

    return Model()


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("rate", [0.0, 0.25])
@pytest.mark.parametrize("right", [True, False])
def test_the_layout_of_a_weight_is_no_matter_of_the_frameworks(
    deed: str, rate: float, right: bool
) -> None:
    ours, theirs = DEEDS[deed]
    layer = _model(paddle, paddle.nn.Layer, ours, right, rate)
    module = _model(torch, torch.nn.Module, theirs, False, rate)
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(layer, module, example, options=STRICT)
    assert report.passed is right, str(report)
    assert any(finding.fails for finding in report.findings) is not right
    assert not any(finding.verdict.startswith("framework") for finding in report.findings)
