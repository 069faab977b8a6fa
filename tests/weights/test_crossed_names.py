"""Modules that hold each other's weights by their names: the check passes, and says which."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

TOLERANT = {"atol": 1e-5, "rtol": 1e-5}
X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")


def _gated(lib: Any, base: Any, crossed: bool) -> Any:
    class Gated(base):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up = lib.nn.Linear(6, 5), lib.nn.Linear(6, 5)
            self.down = lib.nn.Linear(5, 6)

        def forward(self, x: Any) -> Any:
            gate, up = (self.up, self.gate) if crossed else (self.gate, self.up)
            return x + self.down(lib.nn.functional.silu(gate(x)) * up(x))

    return Gated()


class _Port(paddle.nn.Layer):
    def __init__(self, crossed: bool) -> None:
        super().__init__()
        blocks = [_gated(paddle, paddle.nn.Layer, crossed and number == 1) for number in range(2)]
        self.blocks = paddle.nn.LayerList(blocks)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


class _Reference(torch.nn.Module):
    """The same blocks inside a module of their own, as checkpoints of language models have them."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [_gated(torch, torch.nn.Module, False) for _ in range(2)]
        self.model = torch.nn.ModuleDict({"layers": torch.nn.Sequential(*blocks)})

    def forward(self, x: Any) -> Any:
        return self.model["layers"](x)


@pytest.mark.parametrize("crossed", [False, True])
def test_two_names_that_are_exchanged_below_other_beginnings_are_told(crossed: bool) -> None:
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(_Port(crossed), _Reference(), example, options=TOLERANT)
    assert report.passed
    told = [(found.verdict, found.cause_id, found.places) for found in report.findings]
    places = (
        ("blocks.1.gate", "model.layers.1.up"),
        ("blocks.1.up", "model.layers.1.gate"),
    )
    assert told == ([("suspicious", "parameter.exchanged", places)] if crossed else [])
