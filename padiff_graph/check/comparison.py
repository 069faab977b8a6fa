"""The whole check of two models: captured, matched, weights unified, run as a whole and region by
region."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from padiff_graph.capture.backend import backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.check.carried_values import excuse_carried
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_report import report_on, report_without_graphs
from padiff_graph.check.check_request import CheckRequest, read_request
from padiff_graph.check.check_steps import (
    Attempt,
    BeginAgain,
    align_models,
    compare_regions,
    explain_regions,
    run_end_to_end,
)
from padiff_graph.check.filled_example import with_filled_example
from padiff_graph.check.half_precision import with_half_precision
from padiff_graph.check.loss_graphs import with_loss_graphs
from padiff_graph.check.lost_numbers import excuse_lost
from padiff_graph.check.not_finite import not_finite_notes
from padiff_graph.check.own_constants import explain_constants
from padiff_graph.check.state_check import explain_state
from padiff_graph.check.stopped_check import tell_where_it_stopped
from padiff_graph.check.threads import alike
from padiff_graph.check.unmapped_weights import decide_unmapped
from padiff_graph.check.weight_step import unify_weights, with_folded_weights
from padiff_graph.check.whole_proving import excuse_kinks, prove_models
from padiff_graph.progress import shown
from padiff_graph.report.report import Report
from padiff_graph.sides.opened import with_sides

__all__ = ["auto_diff", "checked_and_undone", "compare", "run_check"]

LOG = logging.getLogger(__name__)


@with_sides
@one_at_a_time
def compare(
    layer: Any,
    module: Any,
    example_inp: Any = None,
    auto_weights: bool = True,
    steps: int = 1,
    options: Mapping[str, Any] | None = None,
    layer_map: Any = None,
    loss_fn: Any = None,
    optimizer: Any = None,
    train_step: Any = None,
) -> Report:
    """Checks whether two models compute the same, forward and backward, and where and why they do
    not.

    Args:
        layer: the Paddle model (or any model; "paddle" then stands for the first).
        module: the torch model (or any model; "torch" then stands for the second).
        example_inp: (paddle_input, torch_input), each a dict from forward's argument name to value;
            or a list of such pairs, one for each of `steps`.
        auto_weights: whether the second model's weights are first copied into the first.
        steps: training steps to take with `optimizer`.
        options: atol, rtol, diff_phase, compare_mode, single_step; see
            `padiff_graph.request.options.Options`.
        layer_map: which sub-models correspond or are left out: a LayerMap or a dict.
        loss_fn: [paddle_loss, torch_loss], each of one argument, the model's output.
        optimizer: [paddle_optimizer, torch_optimizer], or callables that do both step and
            clear-grad.
        train_step: [paddle_step, torch_step] instead of optimizers: callables of (model, batch)
            that do what the user's loop does with one batch, the optimizer's step included, and
            return the loss or nothing. The batch is the step's example.

    Returns:
        The report; true where the models agree. Models that differ never raise.

    Raises:
        UsageError: for a call that cannot mean anything, before anything is changed.

    An exception of a model's forward or of a loss passes through with its own traceback; that of a
    forward has a note that says where the model stopped and how the part before it compares, see
    `padiff_graph.findings.stopped_model.stopped_model`.

    Afterwards, also after an exception, models, inputs and global state are as before, apart from
    the weights that `auto_weights` sets and the optimizer steps asked for.
    """
    request = read_request(
        layer,
        module,
        example_inp,
        auto_weights,
        steps,
        options,
        layer_map,
        loss_fn,
        optimizer,
        train_step,
    )
    return run_check(request)


def run_check(request: CheckRequest, attempt: Attempt | None = None) -> Report:
    """The check that a request asks for; exceptions and what is left as of `compare`.

    Args:
        request: what is asked.
        attempt: what is known from an earlier check of the same models.
    """
    with ExitStack() as stack:
        for framework, model in zip(request.frameworks, request.models, strict=True):
            stack.enter_context(backend(framework).state.kept(model))
        stack.enter_context(alike(request.frameworks))
        log = CheckLog(stack.enter_context(shown("capture and matching")))
        try:
            checked = _checked(request, attempt or Attempt(), log)
        except (Exception, SystemExit) as error:  # of the user's model most likely, which is helped
            tell_where_it_stopped(request, error, checked_and_undone)
            raise
        checked = with_filled_example(request, checked, _within)
        report = with_half_precision(request, checked, log)
        return with_loss_graphs(request, report, _plainly_compared)


def _within(request: CheckRequest) -> Report:
    """A check within another one of the same models."""
    return _checked(request, Attempt(), CheckLog())


def _plainly_compared(
    layer: Any, module: Any, example_inp: Any, options: Mapping[str, Any]
) -> Report:
    """Two models compared within a check, on its own terms."""
    request = read_request(layer, module, example_inp, True, 1, options, None, None, None)
    with ExitStack() as stack:
        for framework, model in zip(request.frameworks, request.models, strict=True):
            stack.enter_context(backend(framework).state.kept(model))
        log = CheckLog(stack.enter_context(shown("loss functions")))
        return _checked(request, Attempt(), log)


def checked_and_undone(request: CheckRequest) -> Report:
    """A check that leaves the weights as they were."""
    with ExitStack() as undo:
        outcome: Report | BeginAgain = _attempted(request, Attempt(), CheckLog(), undo)
        while isinstance(outcome, BeginAgain):
            undo.close()
            outcome = _attempted(request, outcome.attempt, CheckLog(), undo)
    return outcome


def auto_diff(
    layer: Any,
    module: Any,
    example_inp: Any = None,
    auto_weights: bool = True,
    steps: int = 1,
    options: Mapping[str, Any] | None = None,
    layer_map: Any = None,
    loss_fn: Any = None,
    optimizer: Any = None,
    train_step: Any = None,
) -> bool:
    """Runs `compare` with the same parameters, prints the report, and returns True or False.

    Raises:
        UsageError: for a call that cannot mean anything, before anything is changed.
    """
    report = compare(
        layer,
        module,
        example_inp,
        auto_weights,
        steps,
        options,
        layer_map,
        loss_fn,
        optimizer,
        train_step,
    )
    report.show()
    return report.passed


def _checked(request: CheckRequest, attempt: Attempt, log: CheckLog) -> Report:
    """Attempts until one stands; each beginning anew leaves the weights as they were."""
    try:
        while True:
            with ExitStack() as undo:
                outcome = _attempted(request, attempt, log, undo)
                if isinstance(outcome, Report):
                    undo.pop_all()
                    return outcome
            LOG.info("the check begins again: %s", outcome.reason.value)
            attempt = outcome.attempt
    except CaptureError as error:
        LOG.info("a model could not be captured: %s", error)
        return report_without_graphs(request, error, log)


def _attempted(
    request: CheckRequest, attempt: Attempt, log: CheckLog, undo: ExitStack
) -> Report | BeginAgain:
    """The steps of the check, one after the other."""
    alignment = align_models(request, attempt, log, undo)
    request = with_folded_weights(request, alignment, undo)
    weighted = unify_weights(request, alignment, log, undo)
    end_to_end = run_end_to_end(request, weighted, attempt, log)
    if isinstance(end_to_end, BeginAgain):
        return end_to_end
    regional = compare_regions(request, weighted, end_to_end, log)
    if isinstance(regional, BeginAgain):
        return regional
    explained = explain_regions(request, regional, end_to_end)
    explained = decide_unmapped(request, explained, log)
    explained = explain_state(request, explained, log)
    proved = prove_models(request, explained, log)
    if request.options.check_nan:
        log.notes.extend(not_finite_notes(proved.weighted.alignment))
    explained = explain_constants(request, proved, log)
    excused = excuse_carried(request, excuse_kinks(request, explained, log))
    excused = excuse_lost(request, excused)
    return report_on(request, excused, log)
