"""Calls that draw random numbers are not told apart by chance."""

import numpy as np
import paddle
import torch

import padiff_graph

MOSTLY = 0.97
"""How often a coin gives one: two calls that throw four of them fall alike as a rule."""


class TorchModel(torch.nn.Module):
    """Drops whole samples, in evaluation mode too, and keeps a buffer."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return self.fc(x) * torch.bernoulli(torch.full((4, 1), MOSTLY))


class Model(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(4, 4)
        self.register_buffer("seen", paddle.zeros([]))

    def forward(self, x):
        self.seen.add_(paddle.ones([]))
        return self.fc(x) * paddle.bernoulli(paddle.full([4, 1], MOSTLY))


def test_draws_in_evaluation_mode_are_no_state():
    x = np.random.default_rng(0).standard_normal((4, 4)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    for seed in range(6):  # in one of these four further calls fall otherwise, two did not
        torch.manual_seed(seed)
        paddle.seed(seed)
        report = padiff_graph.compare(
            Model(), TorchModel(), example, options={"atol": 1e-4, "rtol": 1e-4}
        )
        assert report.passed, [finding.cause for finding in report.findings]
