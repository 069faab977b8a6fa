"""Square weights that are computed with before use, with a fault beside: the fault alone is told,
in the order that the product reads the weights in."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch
import torch.nn.functional as F

import padiff_graph as pg

OPTIONS = {"rtol": 1e-4, "atol": 1e-4}
NORMAL = paddle.nn.initializer.Normal()


class _Normed(paddle.nn.Layer):
    """A weight norm by hand."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.v = self.create_parameter([6, 6], default_initializer=NORMAL)
        self.g = self.create_parameter([6], default_initializer=NORMAL)
        self.head = paddle.nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        norm = self.v.norm(axis=0, keepdim=True)
        weight = self.v / (norm + 0.1 if self.fault == "epsilon" else norm)
        if self.fault != "no gain":
            weight = weight * self.g
        if self.fault == "gain twice":
            weight = weight * self.g
        return self.head(paddle.nn.functional.relu(x @ weight))


class _TorchNormed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.v, self.g = torch.nn.Parameter(torch.randn(6, 6)), torch.nn.Parameter(torch.randn(6))
        self.head = torch.nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        weight = self.v / self.v.norm(dim=1, keepdim=True) * self.g[:, None]
        return self.head(torch.relu(F.linear(x, weight)))


class _Product(paddle.nn.Layer):
    """A weight that is a product of two, one of them through an activation, and one beside."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.a, self.b, self.w = (
            self.create_parameter([6, 6], default_initializer=NORMAL) for _ in range(3)
        )

    def forward(self, x: Any) -> Any:
        squash = paddle.nn.functional.sigmoid if self.fault == "activation" else paddle.tanh
        factor = 0.25 if self.fault == "factor" else 0.5
        return x @ (self.w + factor * (squash(self.a) @ self.b))


class _TorchProduct(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.w = (torch.nn.Parameter(torch.randn(6, 6)) for _ in range(3))

    def forward(self, x: Any) -> Any:
        return F.linear(x, self.w + 0.5 * (self.b @ torch.tanh(self.a)))


@pytest.mark.parametrize(
    ("ours", "theirs", "fault", "causes"),
    [
        (_Normed, _TorchNormed, "", []),
        (_Normed, _TorchNormed, "epsilon", ["shift"]),
        (_Normed, _TorchNormed, "no gain", ["operand.count"]),
        (_Normed, _TorchNormed, "gain twice", ["operand.count"]),
        (_Product, _TorchProduct, "", []),
        (_Product, _TorchProduct, "factor", ["scale"]),
        (_Product, _TorchProduct, "activation", ["construction.operations"]),
    ],
)
def test_the_fault_alone_is_told(ours: Any, theirs: Any, fault: str, causes: list[str]) -> None:
    paddle.seed(0)
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x.copy())}
    report = pg.compare(ours(fault), theirs(), example, options=OPTIONS)
    assert report.passed is not bool(fault)
    assert [found.cause_id for found in report.findings if found.fails] == causes
