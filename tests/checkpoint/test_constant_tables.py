"""Tables in buffers that a computation takes for constants, in a checkpoint that is converted."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError

X = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
TABLE = np.random.default_rng(1).standard_normal(4).astype("float32")


class _Ours(paddle.nn.Layer):
    def __init__(self, table: Any) -> None:
        super().__init__()
        self.fc, self.held = paddle.nn.Linear(4, 2), table is not None
        if self.held:
            self.register_buffer("table", paddle.to_tensor(table))

    def forward(self, x: Any) -> Any:
        return self.fc(x * (self.table if self.held else paddle.to_tensor(TABLE)))


class _Theirs(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(4, 2)
        self.register_buffer("table", torch.from_numpy(TABLE))

    def forward(self, x: Any) -> Any:
        return self.fc(x * self.table)


@pytest.mark.parametrize("ours", ["none", "the same", "another"])
def test_a_table_is_named_or_asked_for(ours: str) -> None:
    table = {"none": None, "the same": TABLE, "another": TABLE + 1}[ours]
    layer, module = _Ours(table), _Theirs()
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    layer_map = pg.LayerMap.from_yaml(pg.LayerMap().auto(layer, module, example).to_yaml())
    if ours == "another":
        # it may be learned: nobody but the user knows whether the port should take it
        with pytest.raises(UsageError, match="stand in no row of the map: table"):
            pg.convert_state_dict(module.state_dict(), layer_map)
    else:
        state = pg.convert_state_dict(module.state_dict(), layer_map)
        assert set(state) == {"fc.weight", "fc.bias"}
