"""This tool."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import paddle
import torch

import padiff_graph as pg
from benchmarks.realbugs.case import Case, Pair
from benchmarks.realbugs.pairing import example
from benchmarks.realbugs.runners.runner import Said

__all__ = ["ask", "prepare"]

TOLERANCE = {"rtol": 1e-4, "atol": 1e-6, "allow_rounding": True}
"""As a user asks who takes proved rounding for equal."""
WARM = {"diff_phase": "forward"}
"""A backward pass would start torch's threads, which a fork does not carry over."""
FRAMEWORK = ("framework-divergence", "framework-defect")


def ask(case: Case, pair: Pair) -> Said:
    """Its first failing finding, or the first that it lays at a framework's door."""
    options = dict(TOLERANCE)
    if case.precision:
        options["precision"] = case.precision
    with contextlib.redirect_stdout(io.StringIO()):
        report = pg.compare(
            pair.layer,
            pair.module,
            example(pair.arrays),
            auto_weights=pair.copied,
            options=options,
            **_training(pair),
        )
    failing = [finding for finding in report.findings if finding.fails]
    framework = [finding for finding in report.findings if finding.verdict in FRAMEWORK]
    if failing:
        return _said("different", failing[0])
    if framework:
        return _said("framework", framework[0])
    if report.passed:
        return Said("same")
    reasons = [finding for finding in report.findings if finding.verdict == "not-comparable"]
    return _said("cannot", reasons[0]) if reasons else Said("different", None, None, "no finding")


def prepare() -> None:
    """One small check: most of what it takes is the import of torch's exporter."""
    layer, module = paddle.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    inputs = ({"input": paddle.ones([1, 2])}, {"input": torch.ones(1, 2)})
    pg.compare(layer, module, inputs, options=WARM)


def _said(verdict: Any, finding: Any) -> Said:
    path = finding.paddle_path or finding.torch_path
    return Said(verdict, path, finding.cause_id, finding.cause)


def _training(pair: Pair) -> dict[str, Any]:
    """The arguments of a check that trains."""
    training = pair.training
    if training is None:
        return {}
    asked = {
        "loss_fn": training.losses,
        "optimizer": training.optimizers,
        "train_step": training.loops,
    }
    given = {name: list(value) for name, value in asked.items() if value is not None}
    return given | {"steps": training.steps}
