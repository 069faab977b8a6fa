"""A list of layers on one side and all of them in one weight on the other: groups of a convolution,
experts that are all computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

F = paddle.nn.functional

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.standard_normal((2, 3, 5, 5)).astype("float32")
ROWS = RANDOM.standard_normal((3, 8)).astype("float32")


class _Loop(paddle.nn.Layer):
    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self.order = order
        self.each = paddle.nn.LayerList([paddle.nn.Conv2D(1, 1, 3, padding=1) for _ in order])

    def forward(self, x: Any) -> Any:
        parts = [self.each[place](x[:, k : k + 1]) for k, place in enumerate(self.order)]
        return paddle.concat([parts[place] for place in self.order], 1)


class _Grouped(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.all = torch.nn.Conv2d(3, 3, 3, padding=1, groups=3)

    def forward(self, x: Any) -> Any:
        return self.all(x)


class _Stacked(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.gate = paddle.nn.Linear(8, 4)
        normal = paddle.nn.initializer.Normal()
        self.weight = self.create_parameter([4, 8, 8], default_initializer=normal)

    def forward(self, x: Any) -> Any:
        gate = paddle.nn.functional.softmax(self.gate(x), -1)
        return (paddle.einsum("bi,eio->beo", x, self.weight) * gate.unsqueeze(-1)).sum(1)


class _Experts(torch.nn.Module):
    def __init__(self, turned: bool = False) -> None:
        super().__init__()
        self.gate, self.turned = torch.nn.Linear(8, 4), turned
        self.each = torch.nn.ModuleList(torch.nn.Linear(8, 8, bias=False) for _ in range(4))

    def forward(self, x: Any) -> Any:
        gate = torch.softmax(self.gate(x), -1)
        places = range(4)
        return sum(gate[:, 3 - k if self.turned else k, None] * self.each[k](x) for k in places)


class _Gated(paddle.nn.Layer):
    """Four gated experts: a list of Linears each, all of them in one list, one tensor a projection,
    or all in one Linear."""

    def __init__(self, spelling: str, wrong: bool) -> None:
        super().__init__()
        self.gate, self.run, self.wrong = paddle.nn.Linear(8, 4), getattr(self, spelling), wrong
        normal = paddle.nn.initializer.Normal()
        if spelling == "listed":
            self.each = paddle.nn.LayerList(paddle.nn.LayerDict(_linears(True)) for _ in range(4))
        elif spelling == "lists":
            lists = [paddle.nn.LayerList(_linears(True).values()) for _ in range(4)]
            self.each = paddle.nn.LayerList(lists)
        elif spelling in ("turns", "runs"):
            experts = [_linears(True) for _ in range(4)]
            parts = [[expert[name] for expert in experts] for name in ("gate", "up", "down")]
            turned = zip(*parts, strict=True) if spelling == "turns" else parts
            self.all = paddle.nn.LayerList(linear for group in turned for linear in group)
        elif spelling == "packed":
            self.gate_up = self.create_parameter([4, 8, 10], default_initializer=normal)
            self.down = self.create_parameter([4, 5, 8], default_initializer=normal)
        elif spelling == "stacked":
            for name in ("gates", "ups"):
                setattr(self, name, self.create_parameter([4, 5, 8], default_initializer=normal))
            self.down = self.create_parameter([4, 8, 5], default_initializer=normal)
        else:
            self.gates, self.ups = (
                paddle.nn.Linear(8, 20, bias_attr=False) for _ in ("gates", "ups")
            )
            self.down = self.create_parameter([4, 5, 8], default_initializer=normal)

    def listed(self, x: Any) -> Any:
        inner = [F.silu(expert["gate"](x)) * expert["up"](x) for expert in self.each]
        pairs = zip(self.each, inner, strict=True)
        return paddle.stack([expert["down"](value) for expert, value in pairs], 1)

    def lists(self, x: Any) -> Any:
        return self.in_one_list(x, *zip(*self.each, strict=True))

    def turns(self, x: Any) -> Any:
        return self.in_one_list(x, self.all[::3], self.all[1::3], self.all[2::3])

    def runs(self, x: Any) -> Any:
        return self.in_one_list(x, self.all[:4], self.all[4:8], self.all[8:])

    def in_one_list(self, x: Any, *parts: Any) -> Any:
        experts = zip(*parts, strict=True)
        return paddle.stack([down(F.silu(gate(x)) * up(x)) for gate, up, down in experts], 1)

    def packed(self, x: Any) -> Any:
        gate, up = paddle.bmm(x.expand([4, 3, 8]), self.gate_up).chunk(2, -1)
        return paddle.bmm(F.silu(gate) * up, self.down).transpose([1, 0, 2])

    def stacked(self, x: Any) -> Any:
        gate, up = (paddle.einsum("bi,eoi->beo", x, each) for each in (self.gates, self.ups))
        return paddle.einsum("bei,eoi->beo", F.silu(gate) * up, self.down)

    def flat(self, x: Any) -> Any:
        inner = (F.silu(self.gates(x)) * self.ups(x)).reshape([3, 4, 5])
        return paddle.einsum("bei,eio->beo", inner, self.down)

    def forward(self, x: Any) -> Any:
        gate = F.softmax(self.gate(x), -1).unsqueeze(-1)
        return (self.run(x) * (gate * gate if self.wrong else gate)).sum(1)


def _linears(paddles: bool) -> dict[str, Any]:
    def linear(wide: int, out: int) -> Any:
        if paddles:
            return paddle.nn.Linear(wide, out, bias_attr=False)
        return torch.nn.Linear(wide, out, bias=False)

    return {"gate": linear(8, 5), "up": linear(8, 5), "down": linear(5, 8)}


class _TorchGated(torch.nn.Module):
    def __init__(self, packed: bool, numbered: bool = False) -> None:
        super().__init__()
        self.gate, self.packed = torch.nn.Linear(8, 4), packed
        self.parts = (0, 1, 2) if numbered else ("gate", "up", "down")
        if packed:
            self.gate_up = torch.nn.Parameter(torch.randn(4, 8, 10))
            self.down = torch.nn.Parameter(torch.randn(4, 5, 8))
        elif numbered:
            lists = (torch.nn.ModuleList(_linears(False).values()) for _ in range(4))
            self.each = torch.nn.ModuleList(lists)
        else:
            lists = (torch.nn.ModuleDict(_linears(False)) for _ in range(4))
            self.each = torch.nn.ModuleList(lists)

    def forward(self, x: Any) -> Any:
        weights, silu = torch.softmax(self.gate(x), -1), torch.nn.functional.silu
        if not self.packed:
            first, second, down = self.parts
            inner = [silu(expert[first](x)) * expert[second](x) for expert in self.each]
            pairs = enumerate(zip(self.each, inner, strict=True))
            return sum(weights[:, k, None] * one[down](value) for k, (one, value) in pairs)
        gate, up = torch.bmm(x.expand(4, -1, -1), self.gate_up).chunk(2, -1)
        return (torch.bmm(silu(gate) * up, self.down) * weights.T.unsqueeze(-1)).sum(0)


def checked(layer: Any, module: Any, x: Any) -> pg.Report:
    inputs = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x.copy())}
    return pg.compare(layer.eval(), module.eval(), inputs, options=STRICT)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_groups_one_after_the_other(order: tuple[int, ...]) -> None:
    assert checked(_Loop(order), _Grouped(), IMAGE).passed is (order == (0, 1, 2))


@pytest.mark.parametrize("turned", [False, True])
def test_experts_that_are_all_computed(turned: bool) -> None:
    assert checked(_Stacked(), _Experts(turned), ROWS).passed is not turned


SPELLINGS = [
    ("listed", True),
    ("packed", False),
    ("stacked", True),
    ("stacked", False),
    ("flat", False),
    ("turns", True),
    ("runs", True),
    ("lists", True),
]


@pytest.mark.parametrize(("ours", "packed"), SPELLINGS)
def test_gated_experts_in_any_spelling(ours: str, packed: bool) -> None:
    paddle.seed(0)
    report = checked(_Gated(ours, wrong=False), _TorchGated(packed), ROWS)
    assert report.passed, [finding.cause for finding in report.findings]


@pytest.mark.parametrize("ours", ["packed", "stacked"])
@pytest.mark.parametrize("wrong", [False, True])
def test_experts_whose_layers_are_numbered_too(ours: str, wrong: bool) -> None:
    paddle.seed(0)
    torch.manual_seed(0)
    report = checked(_Gated(ours, wrong), _TorchGated(packed=False, numbered=True), ROWS)
    assert report.passed is not wrong, [finding.cause for finding in report.findings]


@pytest.mark.parametrize(("ours", "packed"), [("listed", True), ("flat", False)])
def test_gated_experts_with_another_gate_are_not_passed(ours: str, packed: bool) -> None:
    paddle.seed(0)
    assert not checked(_Gated(ours, wrong=True), _TorchGated(packed), ROWS).passed
