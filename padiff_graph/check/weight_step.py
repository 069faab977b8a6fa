"""The step of a check that settles which weights both models are compared with."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.capture.held_weights import held_weights
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.scope import scoped_differences, scoped_matching
from padiff_graph.findings.finding import Finding
from padiff_graph.layer_map.contradicted_rows import contradicted_rows
from padiff_graph.matching.difference.other_sizes import OtherSizes
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.weights.assignment import assign_parameters
from padiff_graph.weights.file_weights import FOLDED, TAKEN, taken_weights
from padiff_graph.weights.folded_weights import NOTE, folded, without_folded
from padiff_graph.weights.fused_branches import (
    FUSED,
    branch_findings,
    can_hold,
    fusions,
    with_branches,
)
from padiff_graph.weights.held_as_numbers import UNMATCHED
from padiff_graph.weights.lone_outputs import lone_weights
from padiff_graph.weights.parameter_findings import order_findings, parameter_findings
from padiff_graph.weights.unmapped import Unmapped, unmapped, unsure_weights
from padiff_graph.weights.weight_equality import weight_findings

__all__ = ["Weighted", "take_weights", "unify_weights", "with_folded_weights"]


@dataclass(frozen=True)
class Weighted:
    """Both models aligned, with the weights that they are compared with.

    Attributes:
        alignment: of the two models.
        matching, differences: the alignment's, as far as the layer map has them compared.
        loose: weights of both sides that no map was found between; None where there are none.
        findings: about weights.
    """

    alignment: Alignment
    matching: Matching
    differences: tuple[Difference, ...]
    loose: Unmapped | None
    findings: tuple[Finding, ...]

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same weights."""
        sized = any(difference.kind == "size" for difference in self.differences)
        return (
            self.loose is None
            and not sized
            and not any(finding.phase == "weights" and finding.fails for finding in self.findings)
        )


def take_weights(alignment: Alignment, log: CheckLog, undo: ExitStack) -> None:
    """The first model gets the weights of the ONNX file beside it; `undo` puts its own back."""
    engine = alignment.first_engine
    values, folded_away = taken_weights(alignment)
    before = {name: engine.array(tensor) for name, tensor in engine.parameters().items()}
    undo.callback(engine.assign, before)
    engine.assign(values)
    for note in (TAKEN, FOLDED)[: 1 + folded_away]:
        if note not in log.notes:
            log.notes.append(note)


def with_folded_weights(
    request: CheckRequest, alignment: Alignment, undo: ExitStack
) -> CheckRequest:
    """The request, where one model folded weights into others: then each side keeps its own, since
    there is nothing to copy.

    Where the first model has one operation for branches of the second, and weights are copied, it
    gets those that the branches add up to; `undo` puts its own back.
    """
    if request.deployed or not alignment.alive:
        return request
    if folded(alignment.matching, *alignment.engines):
        return replace(request, folded=True, auto_weights=False, notes=(*request.notes, NOTE))
    found = fusions(alignment.matching, alignment.engines)
    request = replace(request, branches=found)
    if not found or not all(can_hold(fusion, request.auto_weights) for fusion in found):
        return request
    if request.auto_weights:
        engine = alignment.first_engine
        undo.callback(engine.assign, held_weights(engine))
        engine.assign(with_branches(alignment, found))
        request = replace(request, branches=())
    notes = (*request.notes, FUSED[request.auto_weights])
    return replace(request, folded=True, auto_weights=False, notes=notes)


def _by_numbers(difference: Difference) -> Difference:
    """A difference of which numbers decide whether it is one."""
    return replace(difference, kind="attribute") if difference.kind == "size" else difference


def unify_weights(
    request: CheckRequest, alignment: Alignment, log: CheckLog, undo: ExitStack
) -> Weighted:
    """The second model's weights in the first where that was asked for, else both held against each
    other.

    `undo` puts the first model's own weights back.
    """
    if request.auto_weights:
        engine = alignment.first_engine
        undo.callback(engine.assign, held_weights(engine))
    matching = scoped_matching(alignment.matching, request.scope)
    lone = lone_weights(matching)
    if lone is not None:
        matching = lone.without(matching)
    differences = scoped_differences(alignment.differences, request.scope)
    if request.folded:  # a kernel of another size may hold another kernel too
        matching = without_folded(matching, *alignment.engines)
        differences = tuple([_by_numbers(each) for each in differences])
    sizes = OtherSizes.of(matching, differences)
    loose = None if request.deployed else unmapped(matching, sizes)
    findings = list(branch_findings(request.branches, matching, request.folded))
    if request.deployed:  # an exporter folds weights into others: numbers decide what is missing
        findings += order_findings(matching)
    else:
        about = unsure_weights(parameter_findings(matching, sizes), loose)
        told = UNMATCHED if findings else ()
        findings += [finding for finding in about if finding.cause_id not in told]
    if lone is not None:
        findings.append(lone.finding(request.frameworks))
    findings += contradicted_rows(alignment)
    with log.timed("weights"):
        if request.auto_weights:
            assign_parameters(alignment, *request.models, partly=True)
            alignment = replace(alignment, written=True)
        elif not request.deployed:
            findings += weight_findings(matching, *alignment.engines)
    return Weighted(alignment, matching, differences, loose, tuple(findings))
