"""An attention against an ONNX file of its reference: parts are cut by numbers that are computed,
and an exchange of query and key that copied weights take up is told."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
import torch

import padiff_graph as pg

X = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("float32")


class _Reference(torch.nn.Module):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(8, eps=epsilon)
        self.qkv, self.head = torch.nn.Linear(8, 24), torch.nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        query, key, value = self.qkv(self.norm(x)).chunk(3, -1)
        scores = torch.softmax(query @ key.transpose(1, 2) * 8**-0.5, -1)
        return self.head(scores @ value)


class _Port(paddle.nn.Layer):
    def __init__(self, packed: bool, exchanged: bool) -> None:
        super().__init__()
        self.norm = paddle.nn.LayerNorm(8)
        self.head = paddle.nn.Linear(8, 1)
        self.packed, self.exchanged = packed, exchanged
        if packed:
            self.qkv = paddle.nn.Linear(8, 24)
        else:
            self.q, self.k, self.v = (paddle.nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Any) -> Any:
        x = self.norm(x)
        parts = self.qkv(x).chunk(3, -1) if self.packed else (self.q(x), self.k(x), self.v(x))
        query, key, value = parts
        if self.exchanged:
            query, key = key, query
        scores = query @ key.transpose([0, 2, 1]) * 8**-0.5
        return self.head(paddle.nn.functional.softmax(scores, -1) @ value)


def _file(epsilon: float = 1e-5) -> onnx.ModelProto:
    file = io.BytesIO()
    given = (torch.from_numpy(X),)
    module = _Reference(epsilon).eval()
    # unfolded, the bounds of the parts are worked out of a shape
    torch.onnx.export(
        module, given, file, input_names=["x"], dynamo=False, do_constant_folding=False
    )
    return onnx.load_from_string(file.getvalue())


def _told(port: Any, proto: onnx.ModelProto) -> tuple[bool, list[tuple[str, str]]]:
    example = {"x": paddle.to_tensor(X)}, {"x": X}
    report = pg.compare(port.eval(), proto, example, options={"rtol": 1e-4, "atol": 1e-5})
    return report.passed, [(found.verdict, found.cause_id) for found in report.findings]


@pytest.mark.parametrize(
    ("packed", "kind"), [(True, "weights.shuffled"), (False, "weights.parts_turned")]
)
@pytest.mark.parametrize("exchanged", [False, True])
def test_query_and_key_exchanged_are_told(packed: bool, kind: str, exchanged: bool) -> None:
    passed, told = _told(_Port(packed, exchanged), _file())
    assert passed
    assert told == [("suspicious", kind)] * exchanged


@pytest.mark.parametrize("packed", [False, True])
def test_an_epsilon_of_the_file_is_told_alone(packed: bool) -> None:
    passed, told = _told(_Port(packed, False), _file(1e-3))
    assert not passed
    assert told == [("different", "attribute.epsilon")]


def test_a_small_weight_that_is_alike_by_chance_keeps_no_port_from_the_files() -> None:
    port, proto = _Port(True, False), _file()
    (file,) = (
        onnx.numpy_helper.to_array(each)
        for each in proto.graph.initializer
        if each.name == "head.weight"
    )
    noise = np.random.default_rng(3).standard_normal(file.shape).astype("float32")
    port.head.weight.set_value((file + noise * file.std() / 2).reshape(8, 1))
    assert _told(port, proto) == (True, [])
