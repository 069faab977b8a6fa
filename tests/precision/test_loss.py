"""Losses of the user's in half precision: their casts, their error, gradients that begin there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.report.report import Report

LABELS = np.random.RandomState(0).randint(0, 5, 8)
WITHIN = {"rtol": 1e-4, "atol": 1e-6}


class _Layer(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = paddle.nn.Linear(6, 16), paddle.nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        return {"logits": self.last(paddle.nn.functional.silu(self.first(x)))}


class _Module(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(6, 16), torch.nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        return {"logits": self.last(torch.nn.functional.silu(self.first(x)))}


def _of_paddle(wide: bool = True, scale: float = 1.0) -> Callable[[Any], Any]:
    def loss(result: Any) -> Any:
        logits = result["logits"].astype("float32") if wide else result["logits"]
        return paddle.nn.functional.cross_entropy(logits, paddle.to_tensor(LABELS)) * scale

    return loss


def _of_torch(result: Any) -> Any:
    return torch.nn.functional.cross_entropy(result["logits"].float(), torch.from_numpy(LABELS))


def _spelled(result: Any) -> Any:
    logits = result["logits"].astype("float32")
    logs = logits - paddle.logsumexp(logits, -1, keepdim=True)
    return -logs[paddle.arange(8), paddle.to_tensor(LABELS)].mean()


def _single(result: Any) -> Any:
    """What stands for the half precision is not let in."""
    if "float32" not in str(result["logits"].dtype):
        raise TypeError("logits are expected in float32")
    return _of_paddle()(result)


def _looked(first: Any, second: Any, precision: str = "bfloat16") -> Report:
    paddle.seed(0)
    torch.manual_seed(0)
    numbers = np.random.RandomState(2).randn(8, 6).astype("float32")
    examples = {"x": paddle.to_tensor(numbers)}, {"x": torch.from_numpy(numbers)}
    return pg.compare(
        _Layer(),
        _Module(),
        examples,
        loss_fn=[first, second],
        options={**WITHIN, "precision": precision},
    )


@pytest.mark.parametrize("loss", [_of_paddle(), _spelled], ids=["called", "spelled"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16", "autocast-bfloat16"])
def test_a_right_loss_is_shown_with_its_gradients(loss: Any, precision: str) -> None:
    report = _looked(loss, _of_torch, precision)
    assert report.passed, report.findings
    result = report.precision
    assert result is not None and result.loss is not None
    assert 0 < result.loss.difference <= result.loss.band < 1e-2
    # what the model returns keeps its names, and what is observed is held against it alone
    assert [output.first_name for output in result.outputs] == ["logits"]
    assert len(result.gradients) == 4
    assert all(entry.difference <= entry.band for entry in result.gradients)
    told = {entry.name: entry.by for entry in report.obligations}
    assert "from the loss" in told["half gradients"]


def test_a_loss_without_its_upcast_is_told_in_the_loss() -> None:
    report = _looked(_of_paddle(wide=False), _of_torch)
    assert not report.passed
    (finding,) = [finding for finding in report.findings if finding.fails]
    assert finding.cause_id == "precision.output" and "loss_fn" in finding.cause
    assert finding.paddle_source.rpartition(":")[0].endswith("test_loss.py")


def test_losses_that_differ_in_float32_are_not_told_again() -> None:
    report = _looked(_of_paddle(wide=False, scale=2.0), _of_torch)
    assert [finding.cause_id for finding in report.findings if finding.fails] == ["loss.differs"]
    assert report.precision is not None and report.precision.loss is None


def test_a_loss_that_no_capture_follows_is_left_out_in_a_note() -> None:
    report = _looked(_single, _of_torch)
    result = report.precision
    assert result is not None and result.loss is None
    assert any("the losses were not looked at in bfloat16" in note for note in report.notes)
    assert report.passed and len(result.outputs) == 1
