"""Small pairs for the command line."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import torch


class PaddleNet(paddle.nn.Layer):
    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.out = paddle.nn.Linear(8, 3)
        self.norm = paddle.nn.LayerNorm(8, epsilon=epsilon)
        self.first = paddle.nn.Linear(4, 8)

    def forward(self, x: Any) -> Any:
        return self.out(paddle.nn.functional.gelu(self.norm(self.first(x))))


class TorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Linear(4, 8)
        self.b = torch.nn.LayerNorm(8)
        self.c = torch.nn.Linear(8, 3)

    def forward(self, data: Any) -> Any:
        return self.c(torch.nn.functional.gelu(self.b(self.a(data))))


def example() -> tuple[dict[str, Any], dict[str, Any]]:
    values = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    return {"x": paddle.to_tensor(values)}, {"data": torch.from_numpy(values)}


def healthy() -> Any:
    return PaddleNet(), TorchNet(), example()


def buggy() -> Any:
    return PaddleNet(1e-3), TorchNet(), example()


def training() -> Any:
    layer, module = PaddleNet(), TorchNet()
    return {
        "layer": layer,
        "module": module,
        "example_inp": example(),
        "steps": 2,
        "optimizer": [
            paddle.optimizer.SGD(0.1, parameters=layer.parameters()),
            torch.optim.SGD(module.parameters(), 0.1),
        ],
        "options": {"rtol": 1e-4, "atol": 1e-6},
    }


def one_model() -> Any:
    return TorchNet(), example()[1]


def nonsense() -> Any:
    return 3


def wrong_keys() -> Any:
    return {"layer": 1, "modul": 2}


def uncapturable() -> Any:
    class Opaque(torch.nn.Module):
        def forward(self, data: Any) -> Any:
            raise RuntimeError("cannot run")

    return Opaque(), example()[1]


def failing() -> Any:
    raise ZeroDivisionError("a pair that cannot be made")


def raising() -> Any:
    return PaddleNet(), uncapturable()[0], example()
