"""Training steps of models in half precision: their rounding, their masters, their factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

WITHIN = {"allow_rounding": True, "rtol": 1e-3, "atol": 1e-5}
STEPS = 4
HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


class _Net(torch.nn.Module):
    def __init__(self, spelled: bool = False) -> None:
        super().__init__()
        self.first, self.norm = torch.nn.Linear(16, 32), torch.nn.LayerNorm(32)
        self.last, self.spelled = torch.nn.Linear(32, 8), spelled

    def forward(self, x: Any) -> Any:
        wide = self.first(x)
        wide = wide * torch.sigmoid(wide) if self.spelled else torch.nn.functional.silu(wide)
        return self.last(self.norm(wide))


class _Masters:
    """What a loop with float32 copies of weights does."""

    def __init__(self, model: torch.nn.Module, made: Callable[[Any], Any]) -> None:
        self.model = model
        self.copies = [each.detach().clone().float() for each in model.parameters()]
        self.own = made([copy.requires_grad_() for copy in self.copies])

    def step(self) -> None:
        for copy, held in zip(self.copies, self.model.parameters(), strict=True):
            copy.grad = None if held.grad is None else held.grad.float()
        self.own.step()
        with torch.no_grad():
            for copy, held in zip(self.copies, self.model.parameters(), strict=True):
                held.copy_(copy)


def _direct(model: torch.nn.Module, made: Callable[[Any], Any]) -> Any:
    return made(list(model.parameters()))


def _adam(rate: float) -> Callable[[Any], Any]:
    return lambda weights: torch.optim.AdamW(weights, rate, eps=1e-4)


def _loop(
    optimizer: Any, scale: float = 1.0, limit: float = 0.0, extra: float = 0.0, around: Any = None
) -> Callable[[Any, Any], Any]:
    def step(model: Any, batch: Any) -> Any:
        with torch.autocast("cpu", around or torch.bfloat16, enabled=around is not None):
            result = model(batch["x"]).float()
        loss = (result**2).mean() + extra * result.abs().mean()
        (loss * scale).backward()
        if scale != 1.0:
            for weight in model.parameters():
                weight.grad.div_(scale)
        if limit:
            torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        model.zero_grad()
        return loss

    return step


def _pair(dtype: torch.dtype, *, alike: bool = True) -> tuple[_Net, _Net]:
    torch.manual_seed(0)
    first, second = _Net(spelled=True).to(dtype), _Net().to(dtype)
    if alike:
        first.load_state_dict(second.state_dict())
    return first, second


def _batches(dtype: torch.dtype) -> list[Any]:
    drawn = [torch.randn(8, 16).to(dtype) for _ in range(STEPS)]
    return [({"x": x}, {"x": x}) for x in drawn]


def _causes(
    pair: Sequence[Any], loops: Sequence[Any], dtype: torch.dtype, batches: Any = None
) -> list[str]:
    """Kinds of the failing findings; none where the check passes."""
    report = pg.compare(
        *pair, batches or _batches(dtype), steps=STEPS, options=WITHIN, train_step=list(loops)
    )
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert report.passed is not causes or not causes
    return causes if causes or report.passed else ["undecided"]


@HALVES
@pytest.mark.parametrize("made", [_direct, _Masters])
def test_rounding_in_half_precision_passes(dtype: torch.dtype, made: Any) -> None:
    pair = _pair(dtype)
    assert _causes(pair, [_loop(made(one, _adam(1e-3))) for one in pair], dtype) == []


def test_another_order_of_rounding_within_an_update_passes() -> None:
    pair = _Net().bfloat16(), _Net().bfloat16()
    pair[0].load_state_dict(pair[1].state_dict())
    fused = torch.optim.AdamW(pair[0].parameters(), 1e-2, eps=1e-4, fused=True)
    loops = [_loop(fused), _loop(_adam(1e-2)(pair[1].parameters()))]
    assert _causes(pair, loops, torch.bfloat16) == []


@HALVES
def test_a_term_of_the_loss_beyond_rounding_is_told(dtype: torch.dtype) -> None:
    pair = _pair(dtype)
    loops = [
        _loop(_direct(one, _adam(1e-3)), extra=extra)
        for one, extra in zip(pair, (0, 1), strict=True)
    ]
    assert _causes(pair, loops, dtype)[0] == "training.departs"


@HALVES
@pytest.mark.parametrize("lost", [0, 1])
def test_lost_masters_are_told_with_what_does_not_move(dtype: torch.dtype, lost: int) -> None:
    pair = _pair(dtype)
    made = [_direct if side == lost else _Masters for side in (0, 1)]
    loops = [_loop(kind(one, _adam(1e-4))) for kind, one in zip(made, pair, strict=True)]
    report = pg.compare(*pair, _batches(dtype), steps=STEPS, options=WITHIN, train_step=loops)
    (finding,) = [finding for finding in report.findings if finding.fails]
    assert finding.cause_id == "optimizer.master_weights"
    facts = dict(finding.reason.facts)
    narrow = str(dtype).removeprefix("torch.")
    assert facts[("first_setting", "second_setting")[lost]] == narrow
    assert facts[("first_setting", "second_setting")[1 - lost]] == "float32"
    if dtype is torch.bfloat16:
        shares = facts["first_share"], facts["second_share"]
        assert shares[lost] > 0.7 > shares[1 - lost]


@HALVES
def test_masters_follow_the_weights_that_the_check_copies(dtype: torch.dtype) -> None:
    """Those of the first model were made of the weights that it had."""
    pair = _pair(dtype, alike=False)
    assert _causes(pair, [_loop(_Masters(one, _adam(1e-3))) for one in pair], dtype) == []


class _Flat:
    """Masters one behind the other in one tensor, with zeros behind the last."""

    def __init__(self, model: torch.nn.Module, made: Callable[[Any], Any]) -> None:
        self.model = model
        parts = [each.detach().float().reshape(-1) for each in model.parameters()]
        self.flat = torch.cat([*parts, torch.zeros(3)]).requires_grad_()
        self.own = made([self.flat])

    def step(self) -> None:
        parts = [each.grad.float().reshape(-1) for each in self.model.parameters()]
        self.flat.grad = torch.cat([*parts, torch.zeros(3)])
        self.own.step()
        start = 0
        with torch.no_grad():
            for each in self.model.parameters():
                each.copy_(self.flat[start : start + each.numel()].view_as(each))
                start += each.numel()


@pytest.mark.parametrize("kind", [_Masters, _Flat])
@pytest.mark.parametrize("rates", [(1e-4, 2e-4), (1e-4, 1e-4)])
def test_a_setting_of_an_optimizer_behind_masters_is_named(
    kind: Any, rates: tuple[float, float]
) -> None:
    pair = _pair(torch.bfloat16)
    loops = [_loop(kind(one, _adam(rate))) for one, rate in zip(pair, rates, strict=True)]
    told = [] if rates[0] == rates[1] else ["optimizer.learning_rate"]
    assert _causes(pair, loops, torch.bfloat16) == told


class _Mixed(_Net):
    """With its norm in float32."""

    def __init__(self, spelled: bool = False) -> None:
        super().__init__(spelled)
        self.bfloat16()
        self.norm.float()

    def forward(self, x: Any) -> Any:
        return self.last(self.norm(self.first(x).float()).to(x.dtype))


@pytest.mark.parametrize("kinds", [(_Masters, _Flat), (_Masters, _direct), (_Masters, _Masters)])
def test_copies_of_weights_in_float32_stand_beside_masters(kinds: Any) -> None:
    torch.manual_seed(0)
    pair = _Mixed(), _Mixed()
    pair[0].load_state_dict(pair[1].state_dict())
    loops = [_loop(kind(one, _adam(1e-4))) for kind, one in zip(kinds, pair, strict=True)]
    told = ["optimizer.master_weights"] if _direct in kinds else []
    assert _causes(pair, loops, torch.bfloat16) == told


def test_masters_in_one_tensor_are_as_good_as_in_many() -> None:
    pair = _pair(torch.bfloat16)
    kinds = _Flat, _Masters
    loops = [_loop(kind(one, _adam(1e-3))) for kind, one in zip(kinds, pair, strict=True)]
    assert _causes(pair, loops, torch.bfloat16) == []


@HALVES
def test_a_scale_that_is_taken_back_is_no_difference(dtype: torch.dtype) -> None:
    pair = _pair(dtype)
    loops = [
        _loop(_direct(one, _adam(1e-3)), scale)
        for one, scale in zip(pair, (1.0, 64.0), strict=True)
    ]
    assert _causes(pair, loops, dtype) == []


@HALVES
@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ((0.05, 0.05), []),
        ((0.0, 0.05), ["optimizer.gradient_clipping"]),
        ((0.1, 0.05), ["optimizer.gradient_clipping"]),
    ],
)
def test_clipping_is_told_from_rounded_products(
    dtype: torch.dtype, limits: tuple[float, float], told: list[str]
) -> None:
    pair = _pair(dtype)
    loops = [
        _loop(_direct(one, _adam(1e-3)), limit=limit)
        for one, limit in zip(pair, limits, strict=True)
    ]
    assert _causes(pair, loops, dtype) == told


@pytest.mark.parametrize("around", [None, torch.bfloat16])
def test_rounding_under_autocast_in_a_loop_passes(around: Any) -> None:
    """The models are in float32, and what runs inside of the loop is not."""
    pair = _pair(torch.float32)
    loops = [_loop(_direct(one, _adam(1e-3)), around=around) for one in pair]
    assert _causes(pair, loops, torch.float32) == []


def test_autocast_in_one_loop_alone_departs() -> None:
    pair = _pair(torch.float32)
    loops = [
        _loop(_direct(one, _adam(1e-3)), around=around)
        for one, around in zip(pair, (torch.bfloat16, None), strict=True)
    ]
    assert _causes(pair, loops, torch.float32) == ["training.departs"]


@HALVES
def test_what_is_lost_on_both_sides_alike_is_no_difference(dtype: torch.dtype) -> None:
    """Adam's epsilon is zero in float16, and zero is divided by it."""
    pair = _Net().to(dtype), _Net().to(dtype)
    pair[0].load_state_dict(pair[1].state_dict())
    loops = [_loop(torch.optim.AdamW(one.parameters(), 1e-3, eps=1e-8)) for one in pair]
    assert _causes(pair, loops, dtype) == []


class _Held(paddle.nn.Layer):
    """What a CPU build of Paddle runs with weights in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = paddle.nn.Linear(6, 16), paddle.nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        for layer in (self.first, self.last):
            x = paddle.matmul(x, layer.weight.astype("float32")) + layer.bias.astype("float32")
            x = paddle.tanh(x)
        return x


class _HeldInTorch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(6, 16), torch.nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        for layer in (self.first, self.last):
            x = torch.tanh(x @ layer.weight.float().t() + layer.bias.float())
        return x


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_masters_of_paddles_own_optimizer(ours: bool, theirs: bool) -> None:
    layer, module = _Held(), _HeldInTorch().bfloat16()
    layer.to(dtype="bfloat16")
    first = paddle.optimizer.SGD(1e-3, parameters=layer.parameters(), multi_precision=ours)

    def rule(weights: Any) -> Any:
        return torch.optim.SGD(weights, 1e-3)

    second = _Masters(module, rule) if theirs else _direct(module, rule)

    def advance() -> None:
        second.step()
        module.zero_grad()

    drawn = [np.random.RandomState(step).randn(8, 6).astype("float32") for step in range(STEPS)]
    batches = [({"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}) for x in drawn]
    losses = [lambda result: (result**2).mean()] * 2
    report = pg.compare(
        layer,
        module,
        batches,
        steps=STEPS,
        options=WITHIN,
        optimizer=[first, advance],
        loss_fn=losses,
    )
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == ([] if ours is theirs else ["optimizer.master_weights"])
    assert report.passed is (ours is theirs)
    # inputs in float32 stay so in what stands for models that are given in half precision
    assert report.precision is not None and report.precision.gradients


def _by_hand(model: torch.nn.Module, rate: float, kept: str) -> Callable[[Any, Any], Any]:
    """An update that no optimizer makes: on float32 copies, with its error carried, or lossy."""
    weights = list(model.parameters())
    made = {"copies": lambda each: each.detach().clone().float(), "rests": torch.zeros_like}
    state = [made[kept](each) for each in weights] if kept else weights

    def update(held: Any, own: Any) -> None:
        if kept == "copies":
            own -= rate * held.grad.float()
            held.copy_(own)
        elif kept == "rests":
            wanted = -rate * held.grad - own
            moved = held + wanted
            own.copy_((moved - held) - wanted)
            held.copy_(moved)
        else:
            held -= rate * held.grad

    def step(model: Any, batch: Any) -> Any:
        loss = (model(batch["x"]).float() ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for held, own in zip(model.parameters(), state, strict=True):
                update(held, own)
        model.zero_grad()
        return loss

    return step


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        (("copies", "copies"), []),
        (("", ""), []),
        (("rests", "copies"), []),
        (("", "copies"), ["optimizer.master_weights"]),
        (("copies", ""), ["optimizer.master_weights"]),
    ],
)
def test_updates_lost_in_lines_of_the_users_are_told_from_what_stays(
    ways: tuple[str, str], told: list[str]
) -> None:
    pair = _pair(torch.bfloat16)
    loops = [_by_hand(one, 1e-2, way) for one, way in zip(pair, ways, strict=True)]
    assert _causes(pair, loops, torch.bfloat16) == told


def test_a_lower_rate_is_not_taken_for_lost_masters() -> None:
    pair = _pair(torch.bfloat16)
    loops = [_by_hand(one, rate, "") for one, rate in zip(pair, (1e-2, 1e-1), strict=True)]
    assert "optimizer.master_weights" not in _causes(pair, loops, torch.bfloat16)


@pytest.mark.parametrize("narrow", [(True, False), (True, True), (False, False)])
def test_an_average_held_in_half_precision_on_one_side_alone_is_told(
    narrow: tuple[bool, bool],
) -> None:
    pair = _pair(torch.bfloat16)

    def loop(model: torch.nn.Module, low: bool) -> Callable[[Any, Any], Any]:
        average = _Net().to(torch.bfloat16 if low else torch.float32)
        average.load_state_dict(model.state_dict())
        inner = _loop(_direct(model, _adam(1e-3)))

        def step(model: Any, batch: Any) -> Any:
            loss = inner(model, batch)
            with torch.no_grad():
                for kept, held in zip(average.parameters(), model.parameters(), strict=True):
                    kept.mul_(0.99).add_(held.to(kept.dtype), alpha=0.01)
            return loss

        return step

    loops = [loop(one, low) for one, low in zip(pair, narrow, strict=True)]
    causes = _causes(pair, loops, torch.bfloat16)
    assert causes == (["optimizer.average_of_weights"] if narrow[0] != narrow[1] else [])


def test_gradients_that_are_kept_are_told_at_once_for_all() -> None:
    pair = _pair(torch.bfloat16)
    loops = [_loop(_direct(one, _adam(1e-3))) for one in pair]
    causes = _causes(pair, [_uncleared(pair[0]), loops[1]], torch.bfloat16)
    assert causes == ["optimizer.gradients_after_a_step"]


def _uncleared(model: torch.nn.Module) -> Callable[[Any, Any], Any]:
    optimizer = _direct(model, _adam(1e-3))

    def step(model: Any, batch: Any) -> Any:
        loss = (model(batch["x"]).float() ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step
