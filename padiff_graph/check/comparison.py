"""The whole check of two models: captured, matched, weights unified, run as a whole and region by region."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from padiff_graph.alignment.align import Alignment, align, confirm, gather
from padiff_graph.alignment.correspondence import ResolvedMap
from padiff_graph.alignment.value_proof import matched_whole
from padiff_graph.capture.api import Capture
from padiff_graph.capture.backend import backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.eager_run import Eager
from padiff_graph.capture.engine import Engine
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.check.end_to_end import WholeCheck, check_whole
from padiff_graph.check.region_check import check_regions
from padiff_graph.check.scope import (
    left_out,
    scoped_differences,
    scoped_matching,
    scoped_regions,
    scoped_whole,
)
from padiff_graph.check.threads import alike
from padiff_graph.check.verdict import (
    Measured,
    compared,
    contributions,
    depth,
    divergent_buffers,
    judge,
    one_cause,
    unexplained,
)
from padiff_graph.diagnosis.region_findings import region_findings
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.findings.finding import Finding
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.matching.result import Matching
from padiff_graph.progress import Steps, shown
from padiff_graph.referee.region_result import AGREE, RegionCheck
from padiff_graph.referee.tolerance import Tolerance
from padiff_graph.report.report import Report
from padiff_graph.request.inputs import Inputs, check_inputs, check_models
from padiff_graph.request.loss_pair import check_losses
from padiff_graph.request.options import Options, parse_options
from padiff_graph.training.losses import Losses, mean_loss
from padiff_graph.training.optimizer_settings import Stepper, check_optimizers
from padiff_graph.training.training_steps import Training, train
from padiff_graph.weights.assignment import assign_parameters
from padiff_graph.weights.parameter_findings import parameter_findings
from padiff_graph.weights.unmapped import unmapped, unsure_regions, unsure_weights
from padiff_graph.weights.weight_equality import weight_findings

__all__ = ["auto_diff", "compare"]

Loss = Callable[[Any], Any]


@dataclass
class _Check:
    """One call of `compare`, checked."""

    layer: Any
    module: Any
    inputs: Inputs
    frameworks: tuple[str, str]
    auto_weights: bool
    steps: int
    options: Options
    scope: ResolvedMap
    losses: Losses | None
    steppers: tuple[Stepper, Stepper] | None
    timings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    evidence_first: bool = False
    steps_shown: Steps = field(default_factory=Steps)

    @property
    def tolerance(self) -> Tolerance:
        return Tolerance(self.options.rtol, self.options.atol, self.options.compare_mode)

    @property
    def models(self) -> tuple[Any, Any]:
        return self.layer, self.module

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        self.steps_shown.step(step)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings[step] = self.timings.get(step, 0.0) + time.perf_counter() - start


@one_at_a_time
def compare(
    layer: Any,
    module: Any,
    example_inp: Any,
    auto_weights: bool = True,
    steps: int = 1,
    options: Mapping[str, Any] | None = None,
    layer_map: Any = None,
    loss_fn: Any = None,
    optimizer: Any = None,
) -> Report:
    """Checks whether two models compute the same, forward and backward, and where and why they do not.

    Args:
        layer: the Paddle model (or any model; "paddle" then stands for the first).
        module: the torch model (or any model; "torch" then stands for the second).
        example_inp: (paddle_input, torch_input), each a dict from forward's argument name to value.
        auto_weights: whether the second model's weights are first copied into the first.
        steps: training steps to take with `optimizer`.
        options: atol, rtol, diff_phase, compare_mode, single_step; see `padiff_graph.request.options.Options`.
        layer_map: which sub-models correspond or are left out: a LayerMap or a dict.
        loss_fn: [paddle_loss, torch_loss], each of one argument, the model's output.
        optimizer: [paddle_optimizer, torch_optimizer], or callables that do both step and clear-grad.

    Returns:
        The report; true where the models agree. Models that differ never raise.

    Raises:
        UsageError: for a call that cannot mean anything, before anything is changed.

    An exception of a model's forward or of a loss passes through with its own traceback. Afterwards,
    also after an exception, models, inputs and global state are as before, apart from the weights
    that `auto_weights` sets and the optimizer steps asked for.
    """
    asked = parse_options(options, steps, optimizer)
    if not isinstance(auto_weights, bool):
        raise UsageTypeError(
            f"auto_weights is True or False; found {auto_weights!r} ({type(auto_weights).__name__})"
        )
    frameworks = check_models(layer, module)
    asked, auto_weights, notes = _as_deployed(frameworks, asked, auto_weights, options)
    inputs = check_inputs(layer, module, example_inp)
    losses = check_losses(loss_fn, frameworks)
    steppers = check_optimizers(optimizer, (layer, module), frameworks)
    pair = (
        Losses((losses[0], losses[1]), frameworks)
        if losses[0] is not None and losses[1] is not None
        else None
    )
    mapping = LayerMap.of(layer_map)
    check = _Check(
        layer,
        module,
        inputs,
        frameworks,
        auto_weights,
        int(steps),
        asked,
        mapping.resolve(layer, module),
        pair,
        steppers,
    )
    check.notes += notes
    with ExitStack() as stack:
        for framework, model in zip(frameworks, check.models, strict=True):
            stack.enter_context(backend(framework).state.kept(model))
        stack.enter_context(alike(frameworks))
        check.steps_shown = stack.enter_context(shown("capture and matching"))
        return _run(check)


def auto_diff(
    layer: Any,
    module: Any,
    example_inp: Any,
    auto_weights: bool = True,
    steps: int = 1,
    options: Mapping[str, Any] | None = None,
    layer_map: Any = None,
    loss_fn: Any = None,
    optimizer: Any = None,
) -> bool:
    """Runs `compare` with the same parameters, prints the report, and returns True or False.

    Raises:
        UsageError: for a call that cannot mean anything, before anything is changed.
    """
    report = compare(
        layer, module, example_inp, auto_weights, steps, options, layer_map, loss_fn, optimizer
    )
    report.show()
    return report.passed


def _as_deployed(
    frameworks: tuple[str, str], asked: Options, auto_weights: bool, given: Mapping[str, Any] | None
) -> tuple[Options, bool, list[str]]:
    """What changes where a model is ONNX: forward only, and with the weights that the file carries.

    An exporter folds, transposes and merges weights; what it made of them is part of what is checked.
    """
    if "onnx" not in frameworks:
        return asked, auto_weights, []
    if given and asked.backward and "diff_phase" in given:
        raise UsageError(
            f"an ONNX model has no gradients: diff_phase is 'forward' here; found {asked.diff_phase!r}"
        )
    note = "an ONNX model has no gradients: forward only was compared, with the weights as they are on both sides"
    return replace(asked, diff_phase="forward"), False, [note]


def _run(check: _Check) -> Report:
    captures: tuple[Capture, ...] = ()
    while True:
        try:
            alignment = align(
                check.layer,
                check.module,
                (check.inputs.first, check.inputs.second),
                check.scope,
                certify=False,
                evidence=False,
                captures=captures,
            )
            if not _numbers_can_wait(check, alignment):
                gather(alignment)
            with ExitStack() as undo:
                if check.auto_weights:
                    before = {
                        name: alignment.first_engine.array(tensor)
                        for name, tensor in alignment.first_engine.parameters().items()
                    }
                    undo.callback(alignment.first_engine.assign, before)
                report = _compared(check, alignment)
                if report is not None:
                    undo.pop_all()
                    return report
            captures = alignment.captures
        except CaptureError as error:
            return _uncaptured(check, error)


def _numbers_can_wait(check: _Check, alignment: Alignment) -> bool:
    """Whether the regions may tell what a run for evidence would: structure left nothing open, and all of it is compared."""
    whole = (
        check.options.forward
        and not check.scope.pairs
        and not left_out(check.scope)
        and "onnx" not in check.frameworks
    )
    return whole and not check.evidence_first and matched_whole(alignment.matching)


def _essence(matching: Matching) -> tuple[object, ...]:
    """What regions and weights follow from."""
    matches = {(match.first, match.second) for match in matching.matches}
    points = {
        (point.first, point.first_view, point.second, point.second_view)
        for point in matching.points
    }
    return matches, points, {(row.first, row.pieces) for row in matching.parameters}


def _settled(check: _Check, alignment: Alignment, regions: RegionCheck) -> bool:
    """Whether the regions confirm the matching or, where they do not, numbers leave it as it is."""
    if regions.results and all(result.verdict in AGREE for result in regions.results):
        confirm(alignment)
        return True
    before = _essence(alignment.matching)
    gather(alignment)
    check.evidence_first = _essence(alignment.matching) != before
    return not check.evidence_first


def _compared(check: _Check, alignment: Alignment) -> Report | None:
    """The report; None where it has to be begun again: a capture turned out unfaithful and another was
    made in its place, or what differs has another counterpart once numbers are asked."""
    matching, engines = (
        scoped_matching(alignment.matching, check.scope),
        (alignment.first_engine, alignment.second_engine),
    )
    differences = scoped_differences(alignment.differences, check.scope)
    # an exporter folds weights into others: numbers decide there
    deployed = "onnx" in check.frameworks
    loose = None if deployed else unmapped(matching)
    findings = [] if deployed else unsure_weights(parameter_findings(matching), loose)
    with check.timed("weights"):
        if check.auto_weights:
            assign_parameters(alignment, check.layer, check.module, partly=True)
        elif not deployed:
            findings += weight_findings(matching, *engines)
    faithful: list[bool] = []

    def certified(side: int, eager: Eager | None) -> None:
        with check.timed("certificates"):
            capture = alignment.captures[side]
            faithful.append(capture.graph.certificate is not None or capture.certify(eager))

    spent = check.timings.get("certificates", 0.0)
    open_captures = any(capture.graph.certificate is None for capture in alignment.captures)
    equal = loose is None and not any(
        finding.phase == "weights" and finding.fails for finding in findings
    )
    with check.timed("whole run"):
        whole = check_whole(
            *engines,
            check.inputs.first,
            check.inputs.second,
            matching=matching,
            inputs=check.inputs.pairs,
            losses=check.losses.functions if check.losses else None,
            backward=check.options.backward,
            tolerance=check.tolerance,
            witness=certified if open_captures else None,
        )
    check.timings["whole run"] -= check.timings.get("certificates", 0.0) - spent  # made in between
    if not all(faithful):
        return None
    with check.timed("regions"):
        regions = check_regions(
            matching,
            *engines,
            differences=differences,
            forward=check.options.forward,
            backward=check.options.backward,
            tolerance=check.tolerance,
            own_weights=deployed,
            progress=check.steps_shown.at,
        )
    if alignment.proof is None and alignment.known is not None:
        if not _settled(check, alignment, regions):
            return None
        matching, differences = alignment.matching, alignment.differences
    regions = unsure_regions(scoped_regions(regions, matching, check.scope), matching, loose)
    in_regions = region_findings(regions, matching, differences)
    # a deployed model's regions have its own weights already
    if equal and not deployed and not check.options.single_step and unexplained(whole, regions):
        with check.timed("regions with the weights as they are"):
            again = check_regions(
                matching,
                *engines,
                differences=differences,
                forward=check.options.forward,
                backward=check.options.backward,
                tolerance=check.tolerance,
                randomise=False,
            )
        in_regions += region_findings(
            scoped_regions(again, matching, check.scope), matching, differences
        )
    if deployed:
        # weights that differ where the numbers differ are the reason; elsewhere an exporter folded them
        failing = {finding.torch_path for finding in in_regions if finding.fails}
        findings += [
            finding
            for finding in weight_findings(matching, *engines)
            if finding.torch_path in failing
        ]
    findings += in_regions
    whole = scoped_whole(
        whole.excusing(divergent_buffers(regions), "a known divergence of the frameworks"),
        check.scope,
    )
    if check.losses:
        with check.timed("loss"):
            found = check.losses.compare(
                engines,
                [(one.first, one.second) for one in whole.quantities if one.kind == "output"],
            )
            findings += [found] if found else []
    covered = (
        all(result.verdict != "not-comparable" for result in regions.results)
        and bool(regions.results)
        and not left_out(check.scope)
    )
    complete = covered and equal and not any(finding.fails for finding in findings)
    training = None
    if check.steppers:
        with check.timed("training"):
            training = _trained(check, alignment, whole, findings, complete)
        findings += training.findings
        check.notes += training.notes
    measured = Measured(
        check.options, whole, regions, training, complete, loose.reason if loose else ""
    )
    passed, ordered = judge(measured, one_cause(findings))
    return Report(
        passed=passed,
        findings=ordered,
        regions=regions.counts,
        parameters=matching.parameters,
        required_tolerance=whole.required,
        timings={**alignment.timings, **check.timings},
        compared=compared(matching, regions, whole),
        tolerance={"rtol": check.options.rtol, "atol": check.options.atol},
        contributions=contributions(matching, regions),
        depth=depth(matching, regions),
        notes=_once(
            *check.inputs.notes,
            *alignment.notes,
            *(note for capture in alignment.captures for note in capture.graph.notes),
            *whole.notes,
            *regions.notes,
            *check.notes,
        ),
        models=_names(check),
        frameworks=check.frameworks,
        matching=matching,
        engines=engines,
        options=_given(check),
    )


def _trained(
    check: _Check, alignment: Alignment, whole: WholeCheck, findings: list[Finding], complete: bool
) -> Training:
    assert check.steppers is not None
    outputs = [(one.first, one.second) for one in whole.quantities if one.kind == "output"]
    losses = (
        check.losses.functions
        if check.losses
        else tuple(
            _mean_loss(framework, {pair[side] for pair in outputs})
            for side, framework in enumerate(check.frameworks)
        )
    )
    explained = whole.random or any(finding.fails for finding in findings)
    training = train(
        (alignment.first_engine, alignment.second_engine),
        check.steppers,
        (check.inputs.first, check.inputs.second),
        (losses[0], losses[1]),
        alignment.matching,
        check.steps,
        check.tolerance,
        explained=explained,
        proved=complete,
    )
    if whole.random:
        check.notes.append(
            "training draws other random numbers on each side (dropout), so the weights after a step were not held against each other; optimizer settings and the update rule were"
        )
    return training


def _mean_loss(framework: str, wanted: set[str]) -> Loss:
    return lambda output: mean_loss(output, framework, wanted)


def _uncaptured(check: _Check, error: CaptureError) -> Report:
    """What can be said without graphs: whether the models run at all, and what they return."""
    engines: tuple[Engine, Engine] = (
        backend(check.frameworks[0]).engine(check.layer),
        backend(check.frameworks[1]).engine(check.module),
    )
    for engine, example in zip(engines, (check.inputs.first, check.inputs.second), strict=True):
        with engine.quiet():
            engine.forward(
                example, grad=False
            )  # an exception of the user's forward is the user's to see
    sources = ("", error.source) if error.model is check.module else (error.source, "")
    findings = [
        Finding(
            "capture",
            "not-comparable",
            str(error),
            paddle_source=sources[0],
            torch_source=sources[1],
        )
    ]
    whole = None
    if not check.auto_weights:
        with check.timed("whole run"):
            whole = check_whole(
                *engines,
                check.inputs.first,
                check.inputs.second,
                inputs=check.inputs.pairs,
                losses=check.losses.functions if check.losses else None,
                backward=check.options.backward,
                tolerance=check.tolerance,
            )
    passed, ordered = judge(Measured(check.options, whole), findings)
    return Report(
        passed=passed,
        findings=ordered,
        required_tolerance=whole.required if whole else {},
        timings=check.timings,
        compared=compared(None, None, whole),
        tolerance={"rtol": check.options.rtol, "atol": check.options.atol},
        notes=_once(*check.inputs.notes, *(whole.notes if whole else ())),
        models=_names(check),
        frameworks=check.frameworks,
        options=_given(check),
    )


def _given(check: _Check) -> dict[str, Any]:
    return {**check.options.as_dict(), "auto_weights": check.auto_weights, "steps": check.steps}


def _names(check: _Check) -> tuple[str, str]:
    first, second = (
        model if isinstance(model, str) else type(model).__name__ for model in check.models
    )
    return str(first), str(second)


def _once(*notes: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))
