"""Numbers and tables of the code that one model alone holds or computes in half precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.findings.finding import Finding
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.precision.lens import look

NUMBER = 55.4256
"""bfloat16 has 55.5."""
PLACES = np.arange(400, 406, dtype="float32")
SPEED = (1.0 / 10000.0 ** (np.arange(4) / 4)).astype("float32")


class TorchScaled(torch.nn.Module):
    """The number is a tensor of the values' dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.last(x * torch.tensor(NUMBER, dtype=x.dtype))


class PaddleScaled(paddle.nn.Layer):
    def __init__(self, rounded: bool) -> None:
        super().__init__()
        self.last = paddle.nn.Linear(8, 3)
        self.rounded = rounded

    def forward(self, x: Any) -> Any:
        if self.rounded:
            return self.last(x * paddle.to_tensor(NUMBER, dtype="float32").astype(x.dtype))
        return self.last(x * NUMBER)


class TorchTurned(torch.nn.Module):
    """Angles of late places in float32, the result in the values' dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(8, 4)
        self.last = torch.nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        angles = torch.from_numpy(PLACES)[:, None] * torch.from_numpy(SPEED)
        return self.last(self.first(x) * torch.cos(angles).to(x.dtype))


class PaddleTurned(paddle.nn.Layer):
    def __init__(self, low: bool) -> None:
        super().__init__()
        self.first = paddle.nn.Linear(8, 4)
        self.last = paddle.nn.Linear(4, 3)
        self.low = low

    def forward(self, x: Any) -> Any:
        dtype = x.dtype if self.low else "float32"
        places = paddle.to_tensor(PLACES).astype(dtype).unsqueeze(1)
        angles = places * paddle.to_tensor(SPEED).astype(dtype)
        return self.last(self.first(x) * paddle.cos(angles).astype(x.dtype))


def findings(layer: Any, module: Any) -> tuple[Finding, ...]:
    numbers = np.random.RandomState(0).standard_normal((2, 6, 8)).astype("float32")
    examples = ({"x": paddle.to_tensor(numbers)}, {"x": torch.tensor(numbers)})
    pg.assign_weight(layer, module, example_inp=examples)
    resolved = LayerMap().resolve(layer, module)
    return look((layer, module), examples, "bfloat16", resolved, ("paddle", "torch")).findings


def test_a_tensor_of_the_values_dtype_is_a_rounded_number() -> None:
    (found,) = findings(PaddleScaled(rounded=False), TorchScaled())
    assert found.fails and found.cause_id == "precision.constant"
    assert "55.5" in found.cause and "torch" in found.cause


def test_a_table_that_one_model_computes_coarsely_is_told() -> None:
    (found,) = findings(PaddleTurned(low=True), TorchTurned())
    assert found.fails and found.cause_id == "precision.computed"
    assert found.cause.startswith("a table of constants of Mul: bfloat16 in the Paddle model")
    assert found.error > 0.1


@pytest.mark.parametrize(
    ("layer", "module"),
    [(PaddleScaled(rounded=True), TorchScaled()), (PaddleTurned(low=False), TorchTurned())],
)
def test_alike_there_is_no_finding(layer: Any, module: Any) -> None:
    assert findings(layer, module) == ()
