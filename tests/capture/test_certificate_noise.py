"""Where gradients are ill-conditioned.

Rounding alone is no departure, a gradient that got lost is one.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.certificate import Certificate, certify
from padiff_graph.capture.eager_run import Eager
from padiff_graph.capture.replay_difference import TOLERANCE
from padiff_graph.capture.torch.engine import TorchEngine
from padiff_graph.capture.torch.engine import TorchEngine as engine

X = torch.randn(6, 64, generator=torch.Generator().manual_seed(0))


class Sharp(torch.nn.Module):
    """Two branches, one behind a steep wave: what rounding moves in front of the wave, behind it is
    a thousandfold.

    The variants compute the same forward; `reorder` adds up in another order, the others lose
    gradients.
    """

    def __init__(self, variant: str = "", steepness: float = 2e3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.nn.Parameter(torch.randn(64, generator=generator))
        self.gate = torch.nn.Parameter(torch.randn(64, generator=generator))
        self.variant, self.steepness = variant, steepness

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product = x * self.weight
        total = (
            product[:, ::2].sum(1) + product[:, 1::2].sum(1)
            if "reorder" in self.variant
            else product.sum(1)
        )
        wave = torch.sin(self.steepness * total)
        other = (x * self.gate).tanh().sum(1)
        if self.variant == "detached branch":
            other = ((x * self.weight * 0).detach() + x * self.gate).tanh().sum(1).detach() + 0 * (
                x * self.gate
            ).sum(1)
        if "halved" in self.variant and wave.requires_grad:
            wave = wave * 0.5 + wave.detach() * 0.5
        if "cut" in self.variant:
            wave = wave.detach()
        if "zeroed" in self.variant:
            wave = wave.detach() + 0 * total
        return wave + other


def certified(variant: str, steepness: float = 2e3) -> Certificate:
    """A capture of the variant held against the model itself; both have the same weights."""
    graph = capture_graph(Sharp(variant, steepness), {"x": X}, certify=False)
    return certify(graph, engine(Sharp("", steepness)), {"x": X})


def test_rounding_alone_is_no_departure() -> None:
    found = certified("reorder", 2e3)
    assert (
        min(found.errors["output"], found.errors["parameter gradient"]) > 10 * TOLERANCE["float32"]
    ), "only what rounding moves can excuse this much"
    assert found.valid, found.reasons


def test_outputs_that_differ_much_are_refused_whatever_rounding_moves() -> None:
    assert not certified("reorder", 2e5).valid


@pytest.mark.parametrize("steepness", [2e3, 2e5, 2e7])
@pytest.mark.parametrize(
    ("variant", "name"),
    [("detached branch", "gate"), ("halved", "weight"), ("cut", "weight"), ("zeroed", "weight")],
)
def test_a_lost_gradient_is_refused_however_ill_conditioned(
    variant: str, name: str, steepness: float
) -> None:
    """At the steepest, rounding of the weights moves the gradient by more than its own size."""
    found = certified(variant, steepness)
    assert found.errors["output"] < 1e-4, "the forward does not show it"
    assert not found.valid
    assert found.reasons[0].startswith(f"parameter gradient {name} ") or found.reasons[
        0
    ].startswith("input gradient x")


@pytest.mark.parametrize("variant", ["halved", "cut", "zeroed"])
def test_a_lost_gradient_is_refused_also_where_the_forward_is_rounded_otherwise(
    variant: str,
) -> None:
    found = certified(f"{variant} reorder", 2e3)
    assert found.errors["output"] > 10 * TOLERANCE["float32"]
    assert not found.valid
    assert not any(reason.startswith("output") for reason in found.reasons), (
        "the gradient alone says so"
    )


class Cancelled(torch.nn.Module):
    """The mean of what a normalisation yields does not depend on what it reads.

    Only rounding is left of its gradient.
    """

    def __init__(self, variant: str = "") -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(
            torch.randn(64, generator=torch.Generator().manual_seed(1))
        )
        self.variant = variant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * self.weight
        if self.variant == "halved":
            y = y * 0.5 + y.detach() * 0.5
        if self.variant == "cut":
            y = y.detach() + x * self.weight * 0
        if self.variant == "rounded":
            y = x * (self.weight * 3) / 3
        return y * 0 if self.variant == "zeros" else torch.nn.functional.layer_norm(y, (64,))


def under_the_mean(model: torch.nn.Module) -> Eager | None:
    side = engine(model)
    with side.quiet():
        run = side.forward({"x": X}, grad=True)
        outputs = {name: side.array(tensor) for name, tensor in run.outputs.items()}
        seeds = {
            name: np.full(array.shape, 1 / array.size, array.dtype)
            for name, array in outputs.items()
        }
        side.backward(run, seeds)
        return Eager.of_loss(run, outputs, {}, seeds)


def witnessed(variant: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Certificate, int]:
    """The certificate against a run under the mean, and how many more eager runs it took."""
    model = Cancelled()
    eager = under_the_mean(model)
    assert eager is not None and eager.exact
    assert max(float(np.abs(array).max()) for array in eager.gradients.values()) < 1e-6, (
        "the mean cancels"
    )
    graph = capture_graph(Cancelled(variant), {"x": X}, certify=False)
    calls: list[bool] = []
    plain = TorchEngine.forward
    monkeypatch.setattr(
        TorchEngine,
        "forward",
        lambda self, example, *, grad: calls.append(grad) or plain(self, example, grad=grad),
    )
    return certify(graph, engine(model), {"x": X}, eager=eager), len(calls)


def test_the_same_operations_leave_the_same_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    found, calls = witnessed("", monkeypatch)
    assert found.valid and calls == 0
    assert found.counts["parameter gradient"] == 1


@pytest.mark.parametrize("variant", ["halved", "cut"])
def test_a_lost_gradient_is_refused_also_where_the_loss_cancels(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = witnessed(variant, monkeypatch)
    assert not found.valid
    assert "gradient" in found.reasons[0]


def test_other_rounding_is_asked_about_under_random_cotangents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, calls = witnessed("rounded", monkeypatch)
    assert found.valid and calls >= 1


def test_a_gradient_of_zeros_says_nothing() -> None:
    assert under_the_mean(Cancelled("zeros")) is None
