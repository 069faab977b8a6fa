"""Exchanged operands of a difference whose weights follow: the check passes, and says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

TOLERANT = {"atol": 1e-5, "rtol": 1e-5}
X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
SHORT, LONG, NAMED = ("part1", "part2"), ("inner.0", "inner.1"), ("plus", "minus")


def _difference(lib: Any, base: Any, names: tuple[str, str], calls: str, kept: str) -> Any:
    """x plus one of two linears minus the other: `kept` is added, and `calls` the order."""

    class Difference(base):
        def __init__(self) -> None:
            super().__init__()
            named = names[0].split(".")[0]
            if names is LONG:
                listed = getattr(lib.nn, "LayerList", None) or lib.nn.ModuleList
                setattr(self, named, listed([lib.nn.Linear(6, 6) for _ in names]))
            else:
                for name in names:
                    setattr(self, name, lib.nn.Linear(6, 6))
            self.last = lib.nn.Linear(6, 3)

        def forward(self, x: Any) -> Any:
            held = getattr(self, "inner", None)
            layers = dict(zip("ab", held or [getattr(self, name) for name in names], strict=True))
            made = {name: lib.tanh(layers[name](x)) for name in calls}
            taken = next(name for name in "ab" if name != kept)
            return self.last(x + made[kept] - made[taken])

    return Difference()


@pytest.mark.parametrize(
    ("names", "calls", "kept", "told"),
    [
        ((SHORT, LONG), ("ab", "ab"), ("a", "a"), False),
        ((SHORT, LONG), ("ab", "ab"), ("a", "b"), True),
        ((SHORT, LONG), ("ab", "ba"), ("a", "b"), False),
        ((NAMED, NAMED), ("ab", "ba"), ("a", "a"), False),
    ],
    ids=["healthy", "exchanged", "exchanged in name alone", "named, called in another order"],
)
def test_exchanged_operands_whose_weights_follow_are_told(
    names: tuple[Any, Any], calls: tuple[str, str], kept: tuple[str, str], told: bool
) -> None:
    layer = _difference(paddle, paddle.nn.Layer, names[0], calls[0], kept[0])
    module = _difference(torch, torch.nn.Module, names[1], calls[1], kept[1])
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = pg.compare(layer, module, example, options=TOLERANT)
    assert report.passed
    found = [(each.verdict, each.cause_id, each.places) for each in report.findings]
    places = ("part1", "inner.1"), ("part2", "inner.0")
    assert found == ([("suspicious", "parameter.called_crosswise", places)] if told else [])
