"""Parameters that neither run reads are listed, with their numbers equal or not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

X = np.random.default_rng(0).standard_normal((2, 3)).astype("float32")


class _Head(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = paddle.nn.Linear(3, 3), paddle.nn.Linear(3, 4)
        self.alone = self.create_parameter([2])

    def forward(self, x: Any) -> Any:
        return self.used(x)


class _Port(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.head = _Head()

    def forward(self, x: Any) -> Any:
        return self.head(x).tanh()


class _TorchHead(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = torch.nn.Linear(3, 3), torch.nn.Linear(3, 4)

    def forward(self, x: Any) -> Any:
        return self.used(x)


class _Reference(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.top = _TorchHead()
        self.unused = torch.nn.Parameter(torch.ones(5))

    def forward(self, x: Any) -> Any:
        return self.top(x).tanh()


def test_they_are_in_the_report_its_json_and_its_notes() -> None:
    layer, module = _Port(), _Reference()
    layer.head.idle.weight.set_value(module.top.idle.weight.detach().numpy().T.copy())
    layer.head.idle.bias.set_value(module.top.idle.bias.detach().numpy() + 1)
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(layer, module, example, options={"atol": 1e-5, "rtol": 1e-5})
    assert report.passed
    told = {(each.first, each.second): each.equal for each in report.unread}
    assert told == {
        ("head.idle.weight", "top.idle.weight"): True,
        ("head.idle.bias", "top.idle.bias"): False,
        ("head.alone", ""): None,
        ("", "unused"): None,
    }
    assert [row["equal"] for row in json.loads(report.to_json())["unread"]] == [*told.values()]
    assert "head.idle.bias | top.idle.bias (other numbers)" in " ".join(str(report).split())


class _Heads(paddle.nn.Layer):
    def __init__(self, read: str) -> None:
        super().__init__()
        self.one, self.two, self.read = paddle.nn.Linear(3, 3), paddle.nn.Linear(3, 3), read

    def forward(self, x: Any) -> Any:
        return getattr(self, self.read)(x)


class _TorchHeads(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return self.one(x)


@pytest.mark.parametrize("read", ["one", "two"])
def test_a_layer_that_takes_the_place_of_one_that_is_there_unread(read: str) -> None:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(_Heads(read), _TorchHeads(), example, options={"atol": 1e-5, "rtol": 1e-5})
    crossed = [found for found in report.findings if found.cause_id == "parameter.crossed"]
    assert report.passed and len(crossed) == (read == "two")
