"""What differs inside of two loss functions: they are captured, matched and compared as models are.

A loss is a function of the model's output, so it is a small model of its own: its inputs are the
second model's output, its operations have lines in the user's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from padiff_graph.capture.loss_model import loss_model
from padiff_graph.capture.remote.handles import RemoteFunction
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.errors import UsageError
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.report.report import Report
from padiff_graph.sides.recorded_loss import RecordedLoss
from padiff_graph.training.losses import Losses

__all__ = ["with_loss_graphs"]

SETTINGS = ("ignore_index", "blank")
"""Attributes that both frameworks' whole losses have by one name."""
MOST = 4
"""Most findings inside of losses that are told."""
Compare = Callable[[Any, Any, Any, Mapping[str, Any]], Report]


def with_loss_graphs(request: CheckRequest, report: Report, compare: Compare) -> Report:
    """The report, with what differs inside of losses that were found to differ.

    Args:
        request: of the check.
        report: what it came to.
        compare: compares two models, on inputs and with options.
    """
    told = next((finding for finding in report.findings if finding.phase == "loss"), None)
    if told is None or request.losses is None or not told.fails:
        return report
    inside, settings = _inside(request.losses, compare)
    if not inside:
        return report
    first, *further = inside
    # what the loss does with its rows says it all; the graphs say where
    shown = told.reason if told.reason.further else told.reason.showing(first.reason)
    named = replace(
        told,
        reason=shown.followed_by(*settings),
        paddle_op=first.paddle_op,
        torch_op=first.torch_op,
        paddle_source=first.paddle_source,
        torch_source=first.torch_source,
    )
    findings: list[Finding] = []
    for finding in report.findings:
        findings += [named, *further] if finding is told else [finding]
    return replace(report, findings=tuple(findings))


def _inside(losses: Losses, compare: Compare) -> tuple[list[Finding], list[Cause]]:
    """What differs between the two losses as graphs, and settings of whole losses; nothing where
    they cannot be captured."""
    made = [_as_model(losses, side) for side in (0, 1)]
    if made[0] is None or made[1] is None:
        return [], []
    (layer, ours), (module, theirs) = made[0], made[1]
    options = {"rtol": 1e-4, "atol": 0.0, "allow_rounding": True}
    try:
        report = compare(layer, module, (ours, theirs), options)
    except UsageError:  # an output without numbers to compare: what was found before stands
        return [], []
    failing = [finding for finding in report.findings if finding.fails]
    inside = [
        replace(finding, phase="loss", paddle_path="", torch_path="", places=())
        for finding in failing[:MOST]
    ]
    return inside, [] if report.matching is None else _settings(report.matching)


def _settings(matching: Matching) -> list[Cause]:
    """Settings that a whole loss has in both graphs, with two values, where each graph has one such
    operation."""
    told = []
    for setting in SETTINGS:
        own, their = (
            [node for node in normal.graph.of_kind("operation") if setting in node.attrs]
            for normal in (matching.first, matching.second)
        )
        if len(own) == len(their) == 1 and own[0].attrs[setting] != their[0].attrs[setting]:
            values = {
                "first_setting": own[0].attrs[setting],
                "second_setting": their[0].attrs[setting],
            }
            ops = {"first_op": own[0].op, "second_op": their[0].op}
            told.append(Cause.of("loss.setting", setting=setting, **values, **ops))
    return told


def _as_model(losses: Losses, side: int) -> tuple[Any, Mapping[str, Any]] | None:
    """One loss as a model of the second model's output; None where its output is elsewhere."""
    loss = losses.given[side]
    numbers = None if isinstance(loss, RecordedLoss) else losses.on_second(side)
    if numbers is None:
        return None
    structure = losses.seen[side]
    if isinstance(loss, RemoteFunction):
        made: tuple[Any, Mapping[str, Any]] | None
        made = loss.caller.ask("loss_model", loss, structure, numbers)
        return made
    return loss_model(losses.frameworks[side], loss, structure, numbers)
