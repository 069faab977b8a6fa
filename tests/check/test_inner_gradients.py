"""Gradients that a forward itself asks for, as force fields do."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg


class Forces(paddle.nn.Layer):
    def __init__(self, sign):
        super().__init__()
        self.energy, self.out, self.sign = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 4), sign

    def forward(self, x):
        x = x.detach()
        x.stop_gradient = False
        energy = paddle.tanh(self.energy(x)).sum()
        (slope,) = paddle.grad(energy, x, create_graph=True)
        return self.out(self.sign * slope)


class TorchForces(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.energy, self.out = torch.nn.Linear(8, 8), torch.nn.Linear(8, 4)

    def forward(self, x):
        x = x.detach().requires_grad_(True)
        energy = torch.tanh(self.energy(x)).sum()
        (slope,) = torch.autograd.grad(energy, x, create_graph=True)
        return self.out(-slope)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_forces_are_compared_in_float64_too(sign):
    """Of the results of a gradient operation one is not read: its own gradient is zeros."""
    x = np.random.default_rng(3).standard_normal((4, 8)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.tensor(x)}
    options = {"allow_rounding": True}
    report = pg.compare(Forces(sign), TorchForces(), example, options=options)
    causes = [finding.cause for finding in report.findings]
    assert report.passed is (sign < 0), causes
    assert any(finding.verdict == "different" for finding in report.findings) is (sign > 0), causes
