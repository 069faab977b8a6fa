"""A region that cannot be run in float64 is not passed on float32 alone."""

import numpy as np
import paddle
import torch

import padiff_graph

MIXING = np.random.default_rng(0).standard_normal((6, 6)).astype("float32")


class NormedAndMixed(torch.autograd.Function):
    """A custom function with numbers in float32 inside, on which float64 cannot be multiplied."""

    @staticmethod
    def forward(ctx, x, epsilon):
        root = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, root)
        return (x * root) @ torch.from_numpy(MIXING)

    @staticmethod
    def backward(ctx, gradient):
        x, root = ctx.saved_tensors
        back = gradient @ torch.from_numpy(MIXING).t()
        return back * root - x * root**3 * (back * x).mean(-1, keepdim=True), None


class TorchModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(6, 6)

    def forward(self, x):
        return NormedAndMixed.apply(self.fc(x), 1.01e-6)


class Model(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(6, 6)
        self.register_buffer("mixing", paddle.to_tensor(MIXING))

    def forward(self, x):
        y = self.fc(x)
        root = paddle.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)
        return (y * root) @ self.mixing


def test_an_epsilon_that_float32_rounds_over_is_not_passed():
    torch.manual_seed(0)
    x = np.random.default_rng(1).standard_normal((4, 6)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4}
    report = padiff_graph.compare(Model(), TorchModel(), example, options=options)
    regions = {entry.name: entry for entry in report.obligations}["regions"]
    assert (report.passed, report.equivalent, regions.status) == (False, None, "not shown")
    assert not any(finding.verdict == "rounding" for finding in report.findings)
