"""A hook on a module's gradients, whose two ends stand in different regions."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg


class Ported(paddle.nn.Layer):
    """Two layers and a softmax, whose mean has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = paddle.nn.Linear(8, 6), paddle.nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        return paddle.nn.functional.softmax(self.fc2(paddle.nn.functional.relu(self.fc1(x))), -1)


class Reference(torch.nn.Module):
    """The same, with a hook that scales the gradient of what the second layer reads."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(8, 6), torch.nn.Linear(6, 4)
        self.fc2.register_full_backward_hook(lambda _, read, __: (read[0] * factor,))

    def forward(self, x: Any) -> Any:
        return self.fc2(torch.relu(self.fc1(x))).softmax(-1)


@pytest.mark.parametrize("seed", [0, 1, 8])  # of two the mean's gradients are zero in torch
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_gradient_that_a_module_hook_scales(factor: float, seed: int) -> None:
    torch.manual_seed(seed)
    paddle.seed(seed)
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    examples = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4}
    report = pg.compare(Ported(), Reference(factor), examples, options=options)
    failing = [finding for finding in report.findings if finding.fails]
    # a hook that changes nothing is still one that the port has not
    assert bool(failing) == (factor != 1.0), report
    assert not any(finding.verdict == "not-comparable" for finding in report.findings), report
