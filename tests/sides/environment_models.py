"""Functions of one model each; what a function imports is installed where it is called."""

from __future__ import annotations

import os

import numpy as np

X = np.random.default_rng(0).standard_normal((3, 8)).astype("float32")


def _port(epsilon=1e-5, norm=lambda own, x: own(x)):
    import paddle

    class Port(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = paddle.nn.Linear(8, 16), paddle.nn.LayerNorm(16, epsilon)
            self.head = paddle.nn.Linear(16, 4)

        def forward(self, x):
            return self.head(norm(self.norm, paddle.nn.functional.gelu(self.fc(x))))

    return {"model": Port()}


def port():
    return _port()


def wrong_port():
    return _port(1e-3)


def dies():
    return _port(norm=lambda own, x: os._exit(9))


def stops():
    return _port(norm=lambda own, x: own(x[:, 1:]))


def reference():
    import torch

    class Reference(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = torch.nn.Linear(8, 16), torch.nn.LayerNorm(16)
            self.head = torch.nn.Linear(16, 4)

        def forward(self, x):
            return self.head(self.norm(torch.nn.functional.gelu(self.fc(x))))

    return Reference(), {"x": X}
