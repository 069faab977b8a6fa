"""Gradients in half precision: the emulation against torch's own, and what is found by it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import padiff_graph as pg
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.precision.backward import differentiated
from padiff_graph.precision.gradients import MARGIN
from padiff_graph.precision.lens import Seen, look
from padiff_graph.precision.stand_ins import captured
from tests.models.half_operations import OPERATIONS, Calls
from tests.models.half_pairs import half_pair

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PLACES = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Half a unit in the last place, relative: what one rounding may do."""
Gradients = dict[str, tuple[Any, Any, Any]]
"""By name: emulated, torch's own, and in float64."""


def _gradients(model: torch.nn.Module, given: dict[str, Any], precision: str) -> Gradients:
    side = captured(model, given, precision)[1]
    dtype = DTYPES[precision]
    own = copy.deepcopy(model).to(dtype)
    low = {
        name: leaf.to(dtype).requires_grad_() if leaf.is_floating_point() else leaf
        for name, leaf in given.items()
    }
    result = own(**low)
    seed = torch.randn(result.shape, generator=torch.Generator().manual_seed(1)).to(result.dtype)
    result.backward(seed)
    (output,) = (node.inputs[0] for node in side.graph.of_kind("output"))
    assert output is not None
    cotangents = {output: seed.double().numpy()}
    emulated = differentiated(side, precision, cotangents).gradients
    truth = differentiated(side, None, cotangents).gradients
    leaves = {f"input:{name}": leaf for name, leaf in low.items() if leaf.requires_grad}
    leaves |= {f"parameter:{name}": leaf for name, leaf in own.named_parameters()}
    assert emulated.keys() == {name for name, leaf in leaves.items() if leaf.grad is not None}
    return {
        name: (array, leaves[name].grad.double().numpy(), truth[name])
        for name, array in emulated.items()
    }


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operations_gradient_is_torchs_within_its_roundings(name: str, precision: str) -> None:
    x = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    for ours, theirs, truth in _gradients(Calls(OPERATIONS[name]), {"x": x}, precision).values():
        # torch rounds between the operations of a formula, and reads its rounded result in some
        assert np.abs(ours - theirs).max() <= 3 * PLACES[precision] * np.abs(truth).max()


@pytest.mark.parametrize("precision", DTYPES)
def test_a_whole_models_gradients_err_as_torchs_own(precision: str) -> None:
    _, model, (_, given) = half_pair("")
    for name, (ours, theirs, truth) in _gradients(model, given, precision).items():
        mine, own = np.abs(ours - truth).max(), np.abs(theirs - truth).max()
        assert own <= MARGIN * mine, name
        assert mine <= MARGIN * own, name


class _Rectified(torch.nn.Module):
    """Two readers of a rectified value; `wide` says whether it is held in float32 between."""

    def __init__(self, wide: bool) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(8, 8)
        self.wide = wide

    def forward(self, x: Any) -> Any:
        h = self.inner(x)
        if self.wide:
            h = torch.relu(h.float())
            return torch.sin(h) + torch.exp(h)
        h = torch.relu(h)
        return torch.sin(h.float()) + torch.exp(h.float())


class _Scaled(torch.nn.Module):
    """A product of small numbers and large factors, in float32 throughout or not."""

    def __init__(self, wide: bool, factor: float) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(8, 8, bias=False)
        torch.nn.init.normal_(self.inner.weight, std=1e-2)
        self.wide, self.factor = wide, factor

    def forward(self, x: Any) -> Any:
        weight = self.inner.weight
        if self.wide:
            x, weight = x.float(), weight.float()
        return torch.nn.functional.linear(x, weight) * self.factor * self.factor


def _looked(first: Any, second: Any, x: Any, precision: str) -> Seen:
    first.load_state_dict(second.state_dict())
    resolved = LayerMap().resolve(first, second)
    return look((first, second), ({"x": x}, {"x": x}), precision, resolved, ("torch", "torch"))


def test_a_cast_that_only_gradients_show_is_told() -> None:
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    seen = _looked(_Rectified(False), _Rectified(True), x, "bfloat16")
    assert [(f.cause_id, f.phase, f.fails) for f in seen.findings] == [
        ("precision.gradient", "backward", True)
    ]
    alike = _looked(_Rectified(True), _Rectified(True), x, "bfloat16")
    assert not alike.findings
    assert alike.gradients is not None
    assert alike.gradients.asked == (3, 3)


@pytest.mark.parametrize(
    ("factor", "size", "end"), [(300.0, 1e-4, "beyond the range"), (1e-4, 10.0, "below the least")]
)
def test_a_gradient_that_one_side_cannot_hold_is_told(factor: float, size: float, end: str) -> None:
    x = size * torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    seen = _looked(_Scaled(False, factor), _Scaled(True, factor), x, "float16")
    (told,) = (f for f in seen.findings if f.cause_id == "precision.gradient_range")
    assert end in told.cause
    assert "the first model only" in told.cause
    alike = _looked(_Scaled(True, factor), _Scaled(True, factor), x, "float16")
    assert not alike.findings


def test_gradients_of_both_sides_stand_in_the_result() -> None:
    layer, module, examples = half_pair("")
    pg.assign_weight(layer, module, example_inp=examples)
    resolved = LayerMap().resolve(layer, module)
    seen = look((layer, module), examples, "bfloat16", resolved, ("paddle", "torch"))
    assert seen.result is not None
    assert {error.first_name for error in seen.result.gradients} == {
        name for name, _ in layer.named_parameters()
    }
    for error in seen.result.gradients:
        assert 0 < error.first_error <= error.band
        assert error.difference <= error.band
