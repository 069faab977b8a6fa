"""Modes around a call: set aside, or refused in words before anything is changed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from torch._subclasses import FakeTensorMode

from padiff_graph import capture_graph, compare
from padiff_graph.capture.capture_errors import ContextError
from padiff_graph.export.card import card_data
from padiff_graph.export.recording import record
from padiff_graph.export.repro_script import write_repro
from padiff_graph.shrinking.shrink import shrink

TOLERANT = {"rtol": 1e-4, "atol": 1e-6}


def checked(layer: Any, module: Any) -> Any:
    values = np.ones((2, 3), "f4")
    example = {"input": paddle.to_tensor(values)}, {"input": torch.from_numpy(values)}
    return compare(layer, module, example, options=TOLERANT)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, paddle.no_grad])
def test_gradients_are_compared_inside_modes_without_them(
    mode: type[AbstractContextManager[None]],
) -> None:
    layer, module = paddle.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    with mode():
        report = checked(layer, module)
        assert report.passed and report.compared.gradients
        assert not (torch.is_grad_enabled() and paddle.is_grad_enabled())


def test_autocast_around_a_call_is_refused() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ContextError, match="autocast"):
        checked(paddle.nn.Linear(3, 2), torch.nn.Linear(3, 2))


def test_models_made_in_inference_mode_are_refused() -> None:
    with torch.inference_mode():
        module = torch.nn.Linear(3, 2)
    with pytest.raises(ContextError, match="weight of Linear was made in torch.inference_mode"):
        checked(paddle.nn.Linear(3, 2), module)


def test_static_mode_is_refused_where_a_layer_is_concerned() -> None:
    layer, module = paddle.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    example = {"x": paddle.ones([2, 3])}
    paddle.enable_static()
    try:
        with pytest.raises(ContextError, match=r"paddle.disable_static\(\) first"):
            capture_graph(layer, example)
        assert capture_graph(module, {"input": torch.ones(2, 3)}).of_kind("operation")
    finally:
        paddle.disable_static()


def test_tensors_without_numbers_are_refused() -> None:
    with FakeTensorMode(), pytest.raises(ContextError, match="FakeTensorMode is on"):
        checked(paddle.nn.Linear(3, 2), torch.nn.Linear(3, 2))


def test_what_is_made_of_a_report_runs_outside_of_modes(tmp_path: Path) -> None:
    paddle.seed(0)
    torch.manual_seed(0)
    layer, module = paddle.nn.LayerNorm(3, epsilon=1e-3), torch.nn.LayerNorm(3)
    example = {"input": paddle.ones([2, 3]) * 0.1}, {"input": torch.ones(2, 3) * 0.1}
    example[0]["input"][0, 0], example[1]["input"][0, 0] = 0.2, 0.2
    report = compare(layer, module, example, options=TOLERANT)
    with torch.inference_mode(), np.errstate(all="raise"):
        assert shrink(report, seconds=0).checks
        write_repro(report, tmp_path / "r.py")
        record(module, example[1], tmp_path / "r.pgref")
    paddle.enable_static()
    try:
        for call in (card_data, shrink):
            with pytest.raises(ContextError, match=r"paddle.disable_static\(\) first"):
                call(report)
    finally:
        paddle.disable_static()
