"""The step that asks float64 of both models as a whole: where rounding is claimed, or draws part
the runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional
from padiff_graph.check.compared_counts import divergent_buffers
from padiff_graph.check.end_to_end import ApartUnder
from padiff_graph.check.far_apart import far_apart, left_open
from padiff_graph.check.scope import left_out
from padiff_graph.executor.output_pairs import named_pairs
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.region_parameters import share
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.obligations.remainders import WholeProof
from padiff_graph.obligations.whole_proof import prove_whole, whole_tensors
from padiff_graph.referee.known_divergence import variance_counts
from padiff_graph.referee.referee import measure
from padiff_graph.referee.tolerance import Quantity

__all__ = ["excuse_kinks", "prove_models"]

GRADIENTS = ("input", "parameter")
"""Kinds of compared values that are gradients."""
FRAMEWORKS = ("framework-divergence", "framework-defect")
AT_VALUES = ("framework.kink", "framework.overflow")
"""Causes that are the frameworks' own at some values and at none beside them."""
_Answer = TypeVar("_Answer")


def prove_models(request: CheckRequest, regional: Regional, log: CheckLog) -> Regional:
    """The record with what float64 leaves of both models; as it is where that needs no asking."""
    if not _can_ask(request, regional) or not _must_ask(request, regional):
        return regional
    asked = _Asked(request, regional)
    with log.timed("the whole under random cotangents"):
        if not _beyond(request, regional) and asked.alike():
            return replace(regional, alike=True)
    with log.timed("float64 of the whole"):
        proof = asked.proof().with_biased(divergent_buffers(regional.regions))
    return _telling_biased(replace(regional, proof=proof), request.frameworks)


def excuse_kinks(request: CheckRequest, regional: Regional, log: CheckLog) -> Regional:
    """The record without values that differ since the frameworks choose other slopes at a kink or
    overflow by themselves, where a region shows that, and both models agree as a whole in float64:
    beside the example, where it is at the kink itself."""
    proof = regional.proof
    if proof is None or proof.reason or not any(map(_of_frameworks, regional.findings)):
        return regional
    if not _can_ask(request, regional):
        return regional
    if proof.unclear:
        with log.timed("float64 of the whole beside a kink"):
            beside = _Asked(request, regional).off_kinks()
            beside = beside.with_biased(divergent_buffers(regional.regions))
        if beside.reason or beside.left:
            return regional
    assert regional.whole is not None
    names: set[tuple[str, str]] = {(entry.kind, entry.first) for entry in proof.unclear}
    names |= {
        (own.kind, own.first)
        for own in regional.whole.quantities
        if own.kind in GRADIENTS and not np.isfinite(own.error)
    }
    if not names:
        return regional
    whole = regional.whole.excusing(names, "the frameworks choose another slope, or overflow")
    return replace(regional, proof=proof.carrying(), whole=whole)


def _of_frameworks(finding: Finding) -> bool:
    """Whether it tells of a gradient that a framework chooses or loses at single values."""
    return finding.verdict in FRAMEWORKS and any(map(finding.reason.speaks_of, AT_VALUES))


@dataclass(frozen=True)
class _Asked:
    """Both graphs, to be run as a whole."""

    request: CheckRequest
    regional: Regional

    def alike(self) -> bool:
        """Whether nothing that either graph yields is far apart once cotangents are random; from
        the replays that certified them, where these were asked."""
        assert self.regional.whole is not None
        apart = self.regional.whole.under_random
        if apart is None:
            try:
                tensors = self._run(whole_tensors)
            except NotRunnable:
                return False
            apart = tuple(
                ApartUnder(entry.kind, entry.first_name, measure(*entry.arrays()))
                for entry in tensors
            )
        excused = divergent_buffers(self.regional.regions)
        kept = [entry for entry in apart if entry.kind != "buffer" or entry.first not in excused]
        return not far_apart([(entry.kind, entry.measured) for entry in kept])

    def proof(self) -> WholeProof:
        """What float64 leaves of them."""
        return self._run(self._proving())

    def off_kinks(self) -> WholeProof:
        """The same beside the example, where nothing in it is equal by chance."""
        return self._run(self._proving(off_kinks=True), randomise=True)

    def _proving(self, *, off_kinks: bool = False) -> Callable[..., WholeProof]:
        counts = variance_counts(self.regional.weighted.matching)
        return partial(prove_whole, off_kinks=off_kinks, counts=counts)

    def _run(self, ask: Callable[..., _Answer], *, randomise: bool = False) -> _Answer:
        """Asks with the second model's weights in both; with own ones where an exporter folded."""
        assert self.regional.whole is not None
        alignment, matching = self.regional.weighted.alignment, self.regional.weighted.matching
        graphs = matching.first.graph, matching.second.graph
        with ExitStack() as stack:
            for engine, graph in zip(alignment.engines, graphs, strict=True):
                stack.enter_context(engine.quiet(values=graph.calls_back))
            own = self.request.deployed
            weights = share(matching, *alignment.engines, as_they_are=own, randomise=randomise)
            return ask(
                pair_of(matching, alignment.engines, weights),
                named_pairs(matching, self.regional.whole.answers.pairs),
                self.request.inputs.pairs,
                backward=self.request.options.backward,
            )


def _can_ask(request: CheckRequest, regional: Regional) -> bool:
    """Whether both models are to be the same as a whole: equal weights, or those that an exporter
    made of them, nothing left out, and
    nothing that draws random numbers which cannot be shared."""
    return (
        not left_out(request.scope)
        and regional.weighted.equal
        and regional.weighted.alignment.alive
        and not any(finding.fails for finding in regional.findings)
        and all(result.verdict != "not-comparable" for result in regional.regions.results)
        and not _exchanged(regional)
    )


def _exchanged(regional: Regional) -> bool:
    """Whether the eager runs have shown outputs in each other's place already."""
    assert regional.whole is not None
    answers = regional.whole.answers
    return not answers.random and any(entry.apart > 0.0 for entry in answers.crossed)


def _must_ask(request: CheckRequest, regional: Regional) -> bool:
    """Whether the eager runs leave it open whether both models are the same."""
    assert regional.whole is not None
    return _beyond(request, regional) or left_open(regional.whole.quantities)


def _beyond(request: CheckRequest, regional: Regional) -> bool:
    """Whether the eager runs cannot be held against each other, or something is beyond the
    tolerance: of the whole, or of a region where these are asked for."""
    whole = regional.whole
    assert whole is not None
    if whole.random:
        return True
    if request.options.single_step and _region_beyond(regional):
        return True
    return any(quantity.counted and not quantity.within for quantity in whole.quantities)


def _region_beyond(regional: Regional) -> bool:
    parts = [part for result in regional.regions.results for part in result.parts]
    return any(part.held is not None and not part.held.within for part in parts)


def _telling_biased(regional: Regional, frameworks: tuple[str, str]) -> Regional:
    """The record without running variances that only float64 shows to be updated otherwise by the
    frameworks: no region told of them, since a batch of many elements hides the factor."""
    whole, proof = regional.whole, regional.proof
    assert whole is not None and proof is not None
    told = divergent_buffers(regional.regions)
    names = {("buffer", entry.first) for entry in proof.biased if entry.first not in told}
    beyond = [
        entry
        for entry in whole.quantities
        if (entry.kind, entry.first) in names and not entry.within
    ]
    if not beyond:
        return regional
    counts = variance_counts(regional.weighted.matching)
    findings = [_biased(entry, counts[entry.second], frameworks) for entry in beyond]
    return replace(
        regional,
        findings=(*regional.findings, *findings),
        whole=whole.excusing(names, "a known divergence of the frameworks"),
    )


def _biased(own: Quantity, count: float, frameworks: tuple[str, str]) -> Finding:
    """That one running variance is updated with the biased variance on one side alone."""
    names = {"first_name": own.first, "second_name": own.second}
    factor = Cause.of("framework.biased_variance", factor=count / (count - 1))
    return Finding(
        "forward",
        "framework-divergence",
        Cause.of("statistics.differ", **names).showing(factor),
        error=own.error,
        relative=own.relative,
        frameworks=frameworks,
    )
