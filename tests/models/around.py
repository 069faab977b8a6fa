"""A function between two Linears, of either framework."""

from __future__ import annotations

import paddle
import torch


class AroundPaddle(paddle.nn.Layer):
    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 8), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))


class AroundTorch(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))
