"""Casts that part two models are told where they are; healthy models have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.backend import backend
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.precision.lens import Seen, look
from padiff_graph.request.saved_outputs import SavedOutputs
from tests.models.half_pairs import PLANTS, half_pair


def _seen(plant: str, observed: float | SavedOutputs | None = None) -> Seen:
    first, second, examples = half_pair(plant)
    pg.assign_weight(first, second, example_inp=examples)
    precision = "float16" if "range" in plant else "bfloat16"
    resolved = LayerMap().resolve(first, second)
    return look((first, second), examples, precision, resolved, ("paddle", "torch"), observed)


def test_a_healthy_pair_has_no_finding_and_a_band() -> None:
    seen = _seen("", observed=1.0)
    assert seen.findings == ()
    assert seen.result is not None
    (output,) = seen.result.outputs
    assert 1e-4 < output.second_error < output.band < 0.1
    assert seen.result.drift is False
    assert seen.result.closest is None
    assert any(place.first_error > 0 for place in seen.result.places)


@pytest.mark.parametrize(
    ("apart", "size", "drift"),
    [(1e-4, 120, True), (0.5, 120, False), (np.nan, 120, False), (0.5, 7, None)],
)
def test_saved_outputs_are_drift_or_more(apart: float, size: int, drift: bool | None) -> None:
    first = np.zeros(size)
    second = first.copy()
    second[3] = apart
    seen = _seen("", SavedOutputs({"": first}, {"": second}))
    assert seen.result is not None
    assert seen.result.drift is drift
    assert bool(seen.notes) is (drift is None)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_plant_is_told_alone_and_in_its_place(plant: str) -> None:
    kind, path = PLANTS[plant]
    (finding,) = _seen(plant).findings
    assert finding.fails
    assert (finding.cause_id, finding.paddle_path, finding.torch_path) == (kind, path, path)
    assert finding.error > 0 or kind == "precision.range"


def test_float32_does_not_see_a_plant_and_half_precision_fails_it() -> None:
    first, second, examples = half_pair("norm in low")
    tolerance = {"rtol": 1e-4, "atol": 1e-5, "allow_rounding": True}
    assert pg.compare(first, second, examples, options=tolerance).passed
    report = pg.compare(
        first, second, examples, options={**tolerance, "precision": "bfloat16", "observed": 1e-4}
    )
    assert not report.passed
    assert report.equivalent is False
    told = {entry.name: entry.status for entry in report.obligations}
    assert (told["half precision"], told["half gradients"]) == ("not shown", "shown")
    assert report.precision is not None
    assert report.precision.drift is True
    assert "bfloat16" in str(report)
    assert "drift" in str(report)


def test_models_and_examples_stay_as_they_are() -> None:
    first, second, examples = half_pair("")
    pg.assign_weight(first, second, example_inp=examples)
    sides = list(zip(("paddle", "torch"), (first, second), examples, strict=True))
    before = [backend(name).state.snapshot(model, given) for name, model, given in sides]
    finfo, low = torch.finfo, (torch.bfloat16, paddle.bfloat16)
    resolved = LayerMap().resolve(first, second)
    look((first, second), examples, "bfloat16", resolved, ("paddle", "torch"))
    after = [backend(name).state.snapshot(model, given) for name, model, given in sides]
    assert before == after
    assert torch.finfo is finfo
    assert (torch.bfloat16, paddle.bfloat16) == low
    assert "forward" not in vars(second)


class _Asks(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        assert x.dtype == torch.float32 or x.dtype == torch.bfloat16
        if x.dtype == torch.bfloat16:
            return x.masked_fill(x > 0, torch.finfo(x.dtype).min).to(torch.bfloat16)
        return x


class _PaddleAsks(paddle.nn.Layer):
    def forward(self, x: Any) -> Any:
        if x.dtype == paddle.bfloat16:
            least = paddle.full([], paddle.finfo(x.dtype).min, x.dtype)
            return paddle.where(x > 0, least, x).astype("bfloat16")
        return x


def test_code_that_asks_for_the_dtype_is_answered() -> None:
    numbers = torch.randn(3, 4)
    examples = {"x": paddle.to_tensor(numbers.numpy())}, {"x": numbers}
    models = _PaddleAsks(), _Asks()
    seen = look(models, examples, "bfloat16", LayerMap().resolve(*models), ("paddle", "torch"))
    assert seen.findings == ()
    assert seen.result is not None
    assert seen.result.outputs[0].scale == torch.finfo(torch.bfloat16).max


class _Grouped(torch.nn.Module):
    """Rows by groups, for which torch has kernels of single and half precision alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(2, 8, 4))

    def forward(self, x: Any) -> Any:
        ends = torch.tensor([1, x.shape[0]], dtype=torch.int32)
        return torch.nn.functional.grouped_mm(x, self.weight, offs=ends)


class _PaddleGrouped(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([2, 8, 4])

    def forward(self, x: Any) -> Any:
        return paddle.concat([x[:1] @ self.weight[0], x[1:] @ self.weight[1]])


def test_a_grouped_product_is_looked_at() -> None:
    numbers = torch.randn(3, 8)
    models = _PaddleGrouped(), _Grouped()
    models[0].weight.set_value(paddle.to_tensor(models[1].weight.detach().numpy()))
    examples = {"x": paddle.to_tensor(numbers.numpy())}, {"x": numbers}
    seen = look(models, examples, "bfloat16", LayerMap().resolve(*models), ("paddle", "torch"))
    assert seen.result is not None
    (output,) = seen.result.outputs
    assert output.difference == 0 < output.second_error


def test_a_model_that_cannot_be_captured_is_not_passed() -> None:
    class Refuses(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            if x.dtype == torch.bfloat16:
                raise RuntimeError("no bfloat16 here")
            return x * 2

    class Doubles(paddle.nn.Layer):
        def forward(self, x: Any) -> Any:
            return x * 2

    numbers = torch.randn(3, 4)
    examples = {"x": paddle.to_tensor(numbers.numpy())}, {"x": numbers}
    report = pg.compare(Doubles(), Refuses(), examples, options={"precision": "bfloat16"})
    assert not report.passed
    assert [finding.cause_id for finding in report.findings] == ["precision.not_shown"]
